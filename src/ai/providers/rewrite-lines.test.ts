import { expect, test } from 'vitest';
import { type LineRewriter, rewriteLines } from '#src/ai/providers/rewrite-lines.ts';

const shout: LineRewriter = {
  line: (line) => (line === 'skip' ? '' : `${line.toUpperCase()}!\n`),
  end: (rest) => `<${rest}>`,
};

function sent(...pieces: Uint8Array[]): typeof globalThis.fetch {
  return async () =>
    new Response(
      new ReadableStream<Uint8Array>({
        pull(stream) {
          const piece = pieces.shift();
          if (piece) stream.enqueue(piece);
          else stream.close();
        },
      }),
      { status: 201, headers: { 'x-kept': 'yes' } },
    );
}

const bytes = (text: string) => new TextEncoder().encode(text);

test('lines are changed whole, wherever the pieces are cut, also inside a character', async () => {
  const whole = bytes('olá\r\nskip\n🚚 é\n\nrest ç');
  for (const size of [1, 2, 3, 5, whole.length]) {
    const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, at) =>
      whole.subarray(at * size, (at + 1) * size),
    );
    const response = await rewriteLines(sent(...pieces), shout)('http://x');
    expect(await response.text()).toBe('OLÁ!\n🚚 É!\n!\n<rest ç>');
    expect([response.status, response.headers.get('x-kept')]).toEqual([201, 'yes']);
  }
});

test('a connection that breaks breaks the answer, after what came before', async () => {
  const broken: typeof globalThis.fetch = async () =>
    new Response(
      new ReadableStream<Uint8Array>({
        start: (stream) => stream.enqueue(bytes('one\n')),
        pull: (stream) => stream.error(new Error('reset')),
      }),
    );
  const reader = (await rewriteLines(broken, shout)('http://x')).body?.getReader();
  expect(new TextDecoder().decode((await reader?.read())?.value)).toBe('ONE!\n');
  await expect(reader?.read()).rejects.toThrow('reset');
});

test('what has no body passes as it is', async () => {
  const empty: typeof globalThis.fetch = async () => new Response(null, { status: 204 });
  expect((await rewriteLines(empty, shout)('http://x')).status).toBe(204);
});
