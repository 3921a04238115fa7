import { ibans, lettersCnpj, pixCodes, pixKeys, plates } from '#src/ai/pii/recognizers/codes.ts';
import { Contexts, type Subject } from '#src/ai/pii/recognizers/context.ts';
import { fold } from '#src/ai/pii/recognizers/fold.ts';
import { emails, ips, urls } from '#src/ai/pii/recognizers/internet.ts';
import { numbers } from '#src/ai/pii/recognizers/numbers.ts';
import { birthDates, names } from '#src/ai/pii/recognizers/people.ts';
import { secrets } from '#src/ai/pii/recognizers/secrets.ts';
import { type Found, PII_TYPES, type PiiSpan, type PiiType } from '#src/ai/pii/span.ts';

type Recognizer = (subject: Subject) => Found[];

const DIGITS: readonly Recognizer[] = [numbers, lettersCnpj, ibans, pixKeys, pixCodes, plates, birthDates];
const OTHERS: readonly Recognizer[] = [emails, urls, ips, names, secrets];

const RANK = new Map(PII_TYPES.map((type, rank) => [type, rank]));
const MIN_SCORE = 0.5;

export interface RecognizeOptions {
  /** Which types are looked for; all if left out. What is left out gives its place to what lies inside it. */
  types?: ReadonlySet<PiiType>;
  /** Values, as written or normalized, that are nobody's secret: the company's own phone number. */
  allow?: ReadonlySet<string>;
}

const before = (a: Found, b: Found): number =>
  b.end - b.start - (a.end - a.start) ||
  b.score - a.score ||
  (RANK.get(a.type) ?? 0) - (RANK.get(b.type) ?? 0) ||
  a.start - b.start;

/** Of spans that overlap the longest stays, of equals the surest, of equals the more telling type. @returns them in order of the text */
function withoutOverlaps(found: Found[], length: number): Found[] {
  if (found.length < 2) return found;
  const taken = new Uint8Array(length);
  const kept: Found[] = [];
  let cluster: Found[] = [];
  let clusterEnd = 0;
  const keepBest = (): void => {
    if (cluster.length > 1) {
      cluster = cluster.toSorted(before).filter(({ start, end }) => {
        // What is taken already is no shorter, so where it overlaps it covers an end.
        if (taken[start] || taken[end - 1]) return false;
        taken.fill(1, start, end);
        return true;
      });
      if (cluster.length > 1) cluster.sort((a, b) => a.start - b.start);
    }
    for (const one of cluster) kept.push(one);
  };
  for (const one of found.toSorted((a, b) => a.start - b.start)) {
    // What begins behind all before it overlaps none of them.
    if (one.start >= clusterEnd) {
      keepBest();
      cluster = [];
    }
    cluster.push(one);
    clusterEnd = Math.max(clusterEnd, one.end);
  }
  keepBest();
  return kept;
}

/**
 * Finds personal data in a text by its form, its check digits and the words before it. Pure, and linear in the text.
 * @returns spans that do not overlap, in order
 */
export function recognize(text: string, { types, allow }: RecognizeOptions = {}): PiiSpan[] {
  const folded = fold(text);
  const subject = { text: folded.text, contexts: new Contexts(folded.text) };
  const recognizers = /\d/.test(subject.text) ? [...DIGITS, ...OTHERS] : OTHERS;
  const found: Found[] = [];
  for (const find of recognizers)
    for (const one of find(subject)) if (one.score >= MIN_SCORE && (types?.has(one.type) ?? true)) found.push(one);
  const spans: PiiSpan[] = [];
  for (const one of withoutOverlaps(found, folded.text.length)) {
    const { type, normalized, score } = one;
    const { start, end } = folded.original(one.start, one.end);
    const value = text.slice(start, end);
    if (!allow?.has(value) && !allow?.has(normalized)) spans.push({ type, start, end, value, normalized, score });
  }
  return spans;
}
