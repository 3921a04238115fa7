import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { INHERITED } from '#test/inherited.ts';
import { run } from '../cli/src/main.ts';

const BIN = fileURLToPath(new URL('../cli/bin.js', import.meta.url));

export interface Ended {
  exitCode: number | null;
  stdout: string;
  stderr: string;
  /** The lines of stdout, as JSON. */
  json: () => Record<string, unknown>[];
}

const linesOf = (stdout: string): Record<string, unknown>[] =>
  stdout.split('\n').flatMap((line): Record<string, unknown>[] => (line === '' ? [] : [JSON.parse(line)]));

/** A command of `whatshybrid` in this process: for what is of no process. With `columns` stdout is a terminal. */
export async function callCli(
  args: string[],
  env: Record<string, string>,
  { input = '', columns }: { input?: string; columns?: number } = {},
): Promise<Ended> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  if (columns !== undefined) Object.assign(out, { isTTY: true, columns });
  const said = Promise.all([text(out), text(err)]);
  const stdin = Readable.from([Buffer.from(input)]);
  const exitCode = await run(args, { env, stdin, stdout: out, stderr: err, signal: new AbortController().signal });
  out.end();
  err.end();
  const [stdout, stderr] = await said;
  return { exitCode, stdout, stderr, json: () => linesOf(stdout) };
}

/** A command of `whatshybrid` in a process of its own, without a terminal. */
export function startCli(args: string[], env: Record<string, string>, input = '') {
  const child = spawn(process.execPath, [BIN, ...args], { env: { ...INHERITED, ...env } });
  let stdout = '';
  let stderr = '';
  const checks = new Set<() => void>();
  const heard = () => checks.forEach((check) => check());
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString();
    heard();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString();
    heard();
  });
  child.stdin.end(input);
  const ended = once(child, 'close').then(([exitCode]): Ended => {
    heard();
    return { exitCode, stdout, stderr, json: () => linesOf(stdout) };
  });
  return {
    ended,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    /** Resolves when what it has written so far fits; throws what it wrote when it ends before. */
    said: (pattern: RegExp) =>
      new Promise<void>((resolve, reject) => {
        const check = () => {
          const isSaid = pattern.test(stdout + stderr);
          if (!isSaid && child.exitCode === null) return;
          checks.delete(check);
          if (isSaid) resolve();
          else reject(new Error(`It ended with ${child.exitCode}, without ${String(pattern)}:\n${stdout}${stderr}`));
        };
        checks.add(check);
        check();
      }),
  };
}
