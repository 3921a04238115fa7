import { readFileSync } from 'node:fs';
import { recognize } from '#src/ai/pii/recognizers/index.ts';
import type { PiiType } from '#src/ai/pii/span.ts';

/** A text and where its personal data stands. */
export interface Labelled {
  text: string;
  spans: { type: string; start: number; end: number }[];
}

/** Reads `cpf <cpf>529.982.247-25</cpf>`. */
export function labelled(line: string): Labelled {
  const spans: Labelled['spans'] = [];
  let text = '';
  let from = 0;
  for (const match of line.matchAll(/<(\w+)>(.*?)<\/\1>/g)) {
    const [whole, type = '', value = ''] = match;
    text += line.slice(from, match.index);
    spans.push({ type, start: text.length, end: text.length + value.length });
    text += value;
    from = match.index + whole.length;
  }
  return { text: text + line.slice(from), spans };
}

/** The hand-written messages. */
export function handWritten(): Labelled[] {
  const lines = readFileSync(new URL('messages.txt', import.meta.url), 'utf8').split('\n');
  return lines.filter((line) => line !== '' && !line.startsWith('#')).map(labelled);
}

export interface Figures {
  right: number;
  missed: number;
  wrong: number;
  recall: number;
  precision: number;
}

/** Counts by type: a span is right if type, start and end are. Web addresses are not labelled. */
export function measure(texts: Iterable<Labelled>, types?: ReadonlySet<PiiType>): Map<string, Figures> {
  const counts = new Map<string, Figures>();
  const of = (type: string) => {
    const known = counts.get(type) ?? { right: 0, missed: 0, wrong: 0, recall: 1, precision: 1 };
    counts.set(type, known);
    return known;
  };
  for (const { text, spans } of texts) {
    const found = recognize(text, types && { types }).filter(({ type }) => type !== 'url');
    const isIn = (list: Labelled['spans'], one: Labelled['spans'][number]) =>
      list.some(({ type, start, end }) => type === one.type && start === one.start && end === one.end);
    for (const span of spans) of(span.type)[isIn(found, span) ? 'right' : 'missed'] += 1;
    for (const span of found) if (!isIn(spans, span)) of(span.type).wrong += 1;
  }
  for (const one of counts.values()) {
    one.recall = one.right / Math.max(1, one.right + one.missed);
    one.precision = one.right / Math.max(1, one.right + one.wrong);
  }
  return counts;
}
