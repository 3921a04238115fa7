import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Context } from './context.ts';

async function* piecesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Writes what a GET answers to a file, readable by its owner alone (there are people in it), or for `-` to stdout. */
export async function download(context: Context, path: string, file: string): Promise<void> {
  const { signal } = context;
  const client = await context.connect();
  const { body } = await client.download(path, { signal, headers: { accept: '*/*' } });
  if (!body) throw new Error(`${path} answered nothing.`);
  if (file === '-') await pipeline(piecesOf(body), process.stdout, { end: false, signal });
  else await pipeline(piecesOf(body), createWriteStream(file, { mode: 0o600 }), { signal });
}
