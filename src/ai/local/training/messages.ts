import { readFileSync } from 'node:fs';
import { type Intent, INTENTS } from '#src/ai/local/intent-cues.ts';
import type { Sentiment } from '#src/ai/local/sentiment.ts';

export interface Message {
  sentiment: Sentiment['sentiment'];
  intent: Intent;
  language: string;
  text: string;
}

export const SENTIMENTS = ['positive', 'neutral', 'negative'] as const;

function oneOf<const Label extends string>(labels: readonly Label[], name: string | undefined): Label {
  const found = labels.find((label) => label === name);
  if (found === undefined) throw new Error(`No such label: ${name}`);
  return found;
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
      head = { sentiment: oneOf(SENTIMENTS, sentiment), intent: oneOf(INTENTS, intent), language: language ?? 'pt' };
      return [];
    });
  });
}
