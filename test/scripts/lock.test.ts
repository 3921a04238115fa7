import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readJson } from '../../scripts/lib/files.js';
import { lockPath, takeLock } from '../../scripts/lib/lock.js';
import { startOf } from '../../scripts/lib/processes.js';
import { Interrupted } from '../../scripts/lib/start-error.js';
import { supervise } from '../../scripts/lib/supervisor.js';

const LOCK = fileURLToPath(new URL('../../scripts/lib/lock.js', import.meta.url));
const FOREVER = 'setInterval(() => {}, 1000)';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'wh-lock-'));
});
afterEach(() => {
  rmSync(dataDir, { recursive: true, force: true });
});

/** A process that holds the lock and has a child; both share its standard output, which closes when both are gone. */
async function startHolder() {
  const program = `
    const { takeLock } = await import(${JSON.stringify(LOCK)});
    const lock = await takeLock(${JSON.stringify(dataDir)});
    const child = lock.spawn('child', 'process', process.execPath, ['-e', ${JSON.stringify(FOREVER)}], { stdio: ['ignore', 1, 1] });
    console.log(child.pid);
    ${FOREVER};`;
  const args = ['--input-type=module', '-e', program];
  const holder = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(holder.stdout, 'data');
  return { holder, childPid: Number(String(line)), allGone: once(holder.stdout, 'close') };
}

describe('the lock on a data folder', () => {
  it('is held by one process at a time', async () => {
    const lock = await takeLock(dataDir);
    await expect(takeLock(dataDir)).rejects.toThrow(`${dataDir} is in use by a running start (process ${process.pid})`);
    await lock.release();
    const next = await takeLock(dataDir);
    await next.release();
    expect(existsSync(lockPath(dataDir))).toBe(false);
  });

  it('is taken over from a dead process, also when its pid is somebody else now', async () => {
    writeFileSync(lockPath(dataDir), JSON.stringify({ owner: { pid: process.pid, start: 'long ago' }, children: [] }));
    const lock = await takeLock(dataDir);
    expect(readJson(lockPath(dataDir)).owner).toEqual({ pid: process.pid, start: startOf(process.pid) });
    await lock.release();
  });

  it('does not touch a stranger that has the pid of a child on record', async () => {
    const stranger = spawn(process.execPath, ['-e', FOREVER], { stdio: 'ignore' });
    const children = [{ name: 'web', stage: 'process', pid: stranger.pid, start: 'long ago' }];
    writeFileSync(lockPath(dataDir), JSON.stringify({ owner: { pid: 1, start: 'long ago' }, children }));
    const lock = await takeLock(dataDir);
    expect(startOf(stranger.pid ?? 0)).toBeDefined();
    await lock.release();
    stranger.kill('SIGKILL');
    await once(stranger, 'exit');
  });

  it('ends the children when its holder is killed', async () => {
    const { holder, childPid, allGone } = await startHolder();
    expect(startOf(childPid)).toBeDefined();
    holder.kill('SIGKILL');
    await allGone;
    // A dying process closes its end of the pipe an instant before the system calls it dead.
    await expect.poll(() => startOf(childPid)).toBeUndefined();
    const lock = await takeLock(dataDir);
    await lock.release();
  });

  it('kills a child that ignores the polite signal', async () => {
    const lock = await takeLock(dataDir);
    const program = `process.on('SIGTERM', () => {}); console.log('on'); ${FOREVER}`;
    const child = lock.spawn('deaf', 'process', process.execPath, ['-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout ?? child, 'data');
    const ended = once(child, 'exit');
    await lock.endAll({ graceMs: 50 });
    expect(await ended).toEqual([null, 'SIGKILL']);
    expect(() => lock.spawn('late', 'process', process.execPath, [], {})).toThrow(Error);
    await lock.release();
  });
});

describe('the supervisor', () => {
  const options = { node: process.execPath, root: tmpdir(), env: { PATH: process.env['PATH'] ?? '' }, watch: false };

  it('restarts what died', async () => {
    const lock = await takeLock(dataDir);
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const program = `require('node:net').connect(${port}, '127.0.0.1').on('close', () => process.exit(7)).resume()`;
    const said: string[] = [];
    let isStopping = false;
    const running = supervise({
      ...options,
      lock,
      own: [],
      processes: new Map([['flaky', ['node', '-e', program]]]),
      isStopping: () => isStopping,
      mayRestart: () => true,
      say: (line) => said.push(line),
    });
    const over = running.catch((error: unknown) => error);
    for (const life of ['first', 'second']) {
      const [socket] = await once(server, 'connection');
      if (life === 'second') isStopping = true;
      socket.end();
    }
    expect(await over).toBeInstanceOf(Interrupted);
    expect(said).toEqual(['flaky stopped with exit code 7: restarting it in 250 ms']);
    server.close();
    await lock.release();
  });

  it('does not restart what cannot even start', async () => {
    const lock = await takeLock(dataDir);
    const running = supervise({
      ...options,
      lock,
      own: [],
      processes: new Map([['broken', ['node', '-e', 'process.exit(3)']]]),
      isStopping: () => false,
      mayRestart: () => false,
      say: () => {},
    });
    await expect(running).rejects.toThrow('broken stopped with exit code 3 while starting');
    await lock.release();
  });
});
