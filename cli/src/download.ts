import { pipeline } from 'node:stream/promises';
import { NetworkError } from '../../client/src/index.ts';
import { notTheBackend } from './answers.ts';
import type { Context } from './context.ts';
import { writeFresh } from './fresh-file.ts';

async function* piecesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw new NetworkError('The answer broke off.', error);
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Writes the CSV that a GET answers to a file, readable by its owner alone (there are people in it), or for `-` to stdout. */
export async function download(context: Context, path: string, file: string): Promise<void> {
  const { signal, stdout } = context;
  const fetchBody = async () => {
    const client = await context.connect();
    const { body, headers } = await client.download(path, { signal, headers: { accept: '*/*' } });
    const isCsv = headers.get('content-type')?.startsWith('text/csv') ?? false;
    if (!body || !isCsv) throw notTheBackend(`GET ${path} answered something else`);
    return piecesOf(body);
  };
  if (file === '-') await pipeline(await fetchBody(), stdout, { end: false, signal });
  else {
    await writeFresh(file, async (handle) => {
      for await (const piece of await fetchBody()) {
        signal.throwIfAborted();
        await handle.writeFile(piece);
      }
    });
  }
}
