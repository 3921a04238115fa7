import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';

const SOURCES = join(import.meta.dirname, '..');
const POLL_MS = 50;

let made: Promise<(file: string) => string> | undefined;

/**
 * Where a test finds the platform's programs. WH_PROGRAMS_DIR names a folder that is there for one run: the first test process that starts a
 * program fills it with bundles of the sources, while the others wait. Without the variable a program is its source.
 * @returns what to give to node for an entry point, such as src/server.ts; a file that is not bundled is given as it is
 * @throws what the bundler says
 */
export function findPrograms(): Promise<(file: string) => string> {
  const dir = process.env['WH_PROGRAMS_DIR'];
  return (made ??= dir ? bundleOnce(dir) : Promise.resolve((file) => file));
}

async function bundleOnce(dir: string): Promise<(file: string) => string> {
  const lock = `${dir}.lock`;
  while (!existsSync(dir)) {
    const isMine = await mkdir(lock).then(
      () => true,
      () => false,
    );
    if (!isMine) await wait(POLL_MS);
    else {
      try {
        if (!existsSync(dir)) await bundle(dir);
      } finally {
        await rmdir(lock);
      }
    }
  }
  return (file) => {
    const bundled = join(dir, file.replace(/\.ts$/, '.js'));
    return existsSync(bundled) ? bundled : file;
  };
}

async function bundle(dir: string): Promise<void> {
  // Made beside and moved into place whole.
  const draft = `${dir}.new`;
  await promisify(execFile)(process.execPath, [join(SOURCES, 'test/bundle.ts'), draft]);
  await rename(draft, dir);
}
