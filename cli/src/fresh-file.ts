import { randomUUID } from 'node:crypto';
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { fileError } from './exit.ts';

interface Fresh {
  file: FileHandle;
  /** Where it is written, and where it goes when it is whole: the same for what is no file (`/dev/null`, a pipe). */
  path: string;
  target: string;
}

/** @throws CliError that names it, where nothing can be written there */
async function openFresh(path: string): Promise<Fresh> {
  try {
    const known = await stat(path).catch(() => undefined);
    if (known && !known.isFile() && !known.isDirectory()) return { file: await open(path, 'w'), path, target: path };
    const target = known ? await realpath(path) : path;
    // A directory cannot be replaced; opened for writing it says so.
    if (known?.isDirectory()) await (await open(path, 'w')).close();
    const fresh = `${target}.${randomUUID().slice(0, 8)}`;
    return { file: await open(fresh, 'wx', 0o600), path: fresh, target };
  } catch (error) {
    throw fileError(path, 'written', error);
  }
}

/**
 * Writes a file for its owner's eyes only, whoever could read the one that was there, and whole or not at all.
 * @throws CliError that names it, where it cannot be written; what `write` throws
 */
export async function writeFresh(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const fresh = await openFresh(path);
  const isApart = fresh.path !== fresh.target;
  try {
    try {
      await write(fresh.file);
      if (isApart) await fresh.file.sync();
    } finally {
      await fresh.file.close();
    }
    if (isApart) await rename(fresh.path, fresh.target);
  } catch (error) {
    if (isApart) await rm(fresh.path, { force: true });
    throw fileError(path, 'written', error);
  }
}

/** Tries it, so that it is known before there is something to write. @throws CliError that names it */
export async function mustBeWritable(path: string): Promise<void> {
  const fresh = await openFresh(path);
  await fresh.file.close();
  if (fresh.path !== fresh.target) await rm(fresh.path, { force: true });
}
