import { readFileSync } from 'node:fs';
import type { Intent } from '#src/ai/local/intent.ts';
import type { Sentiment } from '#src/ai/local/sentiment.ts';

export interface Message {
  sentiment: Sentiment['sentiment'];
  intent: Intent;
  language: string;
  text: string;
}

const FILES = ['neutral', 'positive', 'negative'];

/** The messages the models learn from: under each line `= sentiment intent language`, one message a line. */
export function trainingMessages(): Message[] {
  return FILES.flatMap((file) => {
    const lines = readFileSync(new URL(`messages-${file}.txt`, import.meta.url), 'utf8').split('\n');
    let head: Omit<Message, 'text'> | undefined;
    return lines.flatMap((text) => {
      if (!text.startsWith('= ')) return head && text.trim() ? [{ ...head, text }] : [];
      const [, sentiment, intent, language] = text.split(' ');
      head = { sentiment, intent, language } as Omit<Message, 'text'>;
      return [];
    });
  });
}
