import { readFile, stat } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { Context } from './context.ts';
import { fileError, usageError } from './exit.ts';

const SPREADSHEET = 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet';
const ZIP = Buffer.from('PK\u0003\u0004');

/** A file that exists, or a pipe. */
async function read(path: string, signal: AbortSignal): Promise<Buffer> {
  try {
    const known = await stat(path);
    if (known.isDirectory()) throw usageError(`${path} is a directory.`);
    return await readFile(path, { signal });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      throw usageError(`There is no file ${path}.`);
    throw fileError(path, 'read', error);
  }
}

/** A file of contacts, `-` for stdin, to be uploaded. Whole: what is read while it is sent fails as if the network had. @throws CliError that names it */
export async function readInput({ stdin, signal }: Context, path: string): Promise<Blob> {
  const bytes = path === '-' ? await buffer(stdin) : await read(path, signal);
  const type = bytes.subarray(0, ZIP.length).equals(ZIP) ? SPREADSHEET : 'text/csv';
  return new Blob([new Uint8Array(bytes)], { type });
}

/** Whether both name one file, however. */
export async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => stat(path).catch(() => undefined)));
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

/** Whether it is a file that lies in a folder, and no pipe. */
export const isFile = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isFile() ?? false;
