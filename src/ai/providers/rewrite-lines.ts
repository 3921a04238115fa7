/** Changes the lines of one answer on their way from the provider to its SDK. */
export interface LineRewriter {
  /** @param line without its end; returns what the SDK reads in its place, with its end, or nothing */
  line(line: string): string;
  /** @param rest what came after the last line end; returns what the SDK reads last */
  end(rest: string): string;
}

/** A `fetch` whose answers have their lines changed; for SDKs that misread what providers really send. */
export function rewriteLines(fetch: typeof globalThis.fetch, rewriter: LineRewriter): typeof globalThis.fetch {
  return async (input, init) => {
    const response = await fetch(input, init);
    const reader = response.body?.getReader();
    if (!reader) return response;
    return new Response(rewritten(reader, rewriter), { status: response.status, headers: response.headers });
  };
}

function rewritten(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  rewriter: LineRewriter,
): ReadableStream<Uint8Array> {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let kept = '';
  return new ReadableStream<Uint8Array>(
    {
      async pull(stream) {
        for (;;) {
          const { done, value } = await reader.read();
          const lines = (kept + decoder.decode(value, { stream: !done })).split('\n');
          kept = lines.pop() ?? '';
          let passed = lines.map((line) => rewriter.line(line.endsWith('\r') ? line.slice(0, -1) : line)).join('');
          if (done) passed += rewriter.end(kept);
          if (passed !== '') stream.enqueue(encoder.encode(passed));
          if (done) return stream.close();
          if (passed !== '') return;
        }
      },
    },
    // Read ahead of the SDK by nothing.
    { highWaterMark: 0 },
  );
}
