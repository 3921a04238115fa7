import { Worker } from 'node:worker_threads';

/** A published vocabulary of tokens. */
export type Vocabulary = 'o200k_base' | 'cl100k_base';

export interface Tokenizer {
  /**
   * Counts the tokens of texts, together.
   * @throws Error when the thread that counts is lost
   */
  count(vocabulary: Vocabulary, texts: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

/** After so long without a question the thread ends, and its memory is free again. */
const IDLE_MS = 5 * 60_000;

/** Counts in a thread of its own, which starts with the first question and ends when nobody asks any more. */
export function createTokenizer(idleMs = IDLE_MS): Tokenizer {
  const waiting = new Map<number, PromiseWithResolvers<number>>();
  let thread: Worker | undefined;
  let asked = 0;
  let idle: NodeJS.Timeout | undefined;

  const lost = (which: Worker, error: Error): void => {
    if (thread !== which) return;
    thread = undefined;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const end = async (): Promise<void> => {
    clearTimeout(idle);
    const ending = thread;
    if (!ending) return;
    lost(ending, new Error('The tokenizer was closed.'));
    await ending.terminate();
  };
  const open = (): Worker => {
    const fresh = new Worker(new URL('./tokenizer-thread.ts', import.meta.url));
    fresh.unref();
    fresh.on('message', ({ id, tokens }: { id: number; tokens: number }) => {
      waiting.get(id)?.resolve(tokens);
      waiting.delete(id);
      if (waiting.size > 0) return;
      idle = setTimeout(() => void end(), idleMs);
      idle.unref();
    });
    fresh.on('error', (error) => lost(fresh, error));
    fresh.on('exit', () => lost(fresh, new Error('The tokenizer ended.')));
    return fresh;
  };

  return {
    count(vocabulary, texts) {
      clearTimeout(idle);
      thread ??= open();
      const id = (asked += 1);
      const answer = Promise.withResolvers<number>();
      waiting.set(id, answer);
      thread.postMessage({ id, vocabulary, texts }, []);
      return answer.promise;
    },
    close: end,
  };
}
