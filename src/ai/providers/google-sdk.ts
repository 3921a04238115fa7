import type { EnhancedGenerateContentResponse, GenerateContentStreamResult } from '@google/generative-ai';
import { failedAs } from '#src/ai/providers/failure.ts';
import { readFailure } from '#src/ai/providers/google-failure.ts';

/**
 * Calls Google's SDK with a `fetch` of ours. It takes none, and without one a call could be neither closed nor classified: its errors
 * have no headers, and no cause. It looks up the global `fetch` before its first `await`, so ours is there only while that one
 * synchronous stretch runs, in which nothing else can.
 * @param start makes the SDK's call
 * @throws what `fetch` threw, with Google's error in it read; else what the SDK throws
 */
export async function callWithFetch<Answer>(
  fetch: typeof globalThis.fetch,
  start: () => Promise<Answer>,
): Promise<Answer> {
  let thrown: { error: unknown } | undefined;
  const usual = globalThis.fetch;
  globalThis.fetch = (input, init) =>
    fetch(input, init).catch((error: unknown) => {
      thrown = { error };
      throw error;
    });
  let called: Promise<Answer>;
  try {
    called = start();
  } finally {
    globalThis.fetch = usual;
  }
  try {
    return await called;
  } catch (error) {
    throw readFailure(thrown ? thrown.error : error);
  }
}

/** The responses of a stream. @throws ProviderError `stream_truncated` for what is no JSON; else what the SDK throws */
export function readStream({
  stream,
  response,
}: GenerateContentStreamResult): AsyncIterable<EnhancedGenerateContentResponse> {
  // The SDK's second promise fails with the stream, and Node ends a process for that where nobody looks.
  response.catch(() => undefined);
  return read(stream);
}

async function* read<Part>(stream: AsyncIterable<Part>): AsyncGenerator<Part, void, undefined> {
  try {
    yield* stream;
  } catch (error) {
    // Its text has what the model wrote in it.
    if (error instanceof Error && error.message.includes('Error parsing JSON'))
      throw failedAs('google', 'stream_truncated');
    throw error;
  }
}
