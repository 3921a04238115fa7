import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import { Writable } from 'node:stream';
import type { Context } from './context.ts';

/** Whether somebody is there to be asked. */
export const canAsk = ({ stdin, out }: Pick<Context, 'stdin' | 'out'>): boolean => stdin.isTTY === true && out.isHeard;

/** Asks on the terminal. @throws the signal's reason */
export async function ask(
  question: string,
  signal: AbortSignal,
  options: { isSecret?: boolean } = {},
): Promise<string> {
  // The line editor would show a secret as it is typed.
  if (options.isSecret) process.stderr.write(question);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const output = options.isSecret ? nowhere : process.stderr;
  const lines = createInterface({ input: process.stdin, output, terminal: true });
  // In raw mode Ctrl-C is a character.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    const answer = await lines.question(options.isSecret ? '' : question, { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error;
    });
    return answer.trim();
  } finally {
    lines.close();
    if (options.isSecret) process.stderr.write('\n');
  }
}

/** Whether the answer is yes; no is the default. */
export const confirm = async (question: string, signal: AbortSignal): Promise<boolean> =>
  /^(y|yes|s|sim)$/i.test(await ask(`${question} [y/N] `, signal));

/** All that is piped in. */
export const readPiped = async (stdin: NodeJS.ReadableStream): Promise<string> => (await text(stdin)).trim();
