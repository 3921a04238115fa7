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

/** The messages of a file: under each line `= sentiment intent language`, one message a line. */
function messagesOf(file: string): Message[] {
  const lines = readFileSync(new URL(`${file}.txt`, import.meta.url), 'utf8').split('\n');
  let head: Omit<Message, 'text'> | undefined;
  return lines.flatMap((text) => {
    if (!text.startsWith('= ')) return head && text.trim() ? [{ ...head, text }] : [];
    const [, sentiment, intent, language] = text.split(' ');
    head = { sentiment: oneOf(SENTIMENTS, sentiment), intent: oneOf(INTENTS, intent), language: language ?? 'pt' };
    return [];
  });
}

/** The messages both models learn from. */
export const trainingMessages = (): Message[] =>
  ['messages-neutral', 'messages-positive', 'messages-negative'].flatMap(messagesOf);

/** What people write of things they bought, for sentiment alone: so many of two intents would make the others rare. */
export const trainingReviews = (): Message[] => messagesOf('reviews');
