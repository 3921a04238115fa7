import { connect } from 'node:net';

export interface RawAnswer {
  /** 0 when the server closed without an answer. */
  status: number;
  /** By lower-case name. */
  headers: Record<string, string>;
  body: string;
}

/** The first answer in what came over a connection: bytes behind a request without a body are a second one, with its own. */
export function readAnswer(received: string): RawAnswer {
  // What goes before it only says to go on.
  const text = received.replace(/^HTTP\/1\.1 100 [^\r]*\r\n\r\n/, '');
  const [head = ''] = text.split('\r\n\r\n', 1);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
  const lines = head.split('\r\n').slice(1);
  const headers = Object.fromEntries(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const lengthBytes = Number(headers['content-length'] ?? 0);
  return { status, headers, body: text.slice(head.length + 4, head.length + 4 + lengthBytes) };
}

/**
 * Sends bytes over a connection of their own, and reads until the server closes it.
 * @throws when the server has not within `withinMs`
 */
export function speak(port: number, bytes: Buffer, withinMs = 10_000): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    // Half-closing would be the end of bytes that are no whole request, but Node drops what it is still answering then.
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Error(`The server kept a connection open for ${withinMs} ms after: ${bytes.toString('latin1')}`));
    }, withinMs);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(late);
      resolve(readAnswer(Buffer.concat(chunks).toString('latin1')));
    });
  });
}
