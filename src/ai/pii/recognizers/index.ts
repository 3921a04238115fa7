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

const inOrder = (a: Found, b: Found): number => a.start - b.start;

/** What stays of spans of which each overlaps another, in order. `taken` marks places of the text. */
function bestOf(cluster: Found[], taken: Uint8Array): Found[] {
  const kept = cluster.toSorted(before).filter(({ start, end }) => {
    // What is taken already is no shorter, so where it overlaps it covers an end.
    if (taken[start] || taken[end - 1]) return false;
    taken.fill(1, start, end);
    return true;
  });
  return kept.length > 1 ? kept.toSorted(inOrder) : kept;
}

/**
 * Of spans that overlap the longest stays, of equals the surest, of equals the more telling type. Most stand alone or in twos, which costs no
 * array of their own. Sorts `found`. @returns them in order of the text
 */
function withoutOverlaps(found: Found[], length: number): Found[] {
  if (found.length < 2) return found;
  let taken: Uint8Array | undefined;
  const kept: Found[] = [];
  found.sort(inOrder);
  for (let from = 0; from < found.length;) {
    const first = found[from];
    if (!first) break;
    // What begins behind all before it overlaps none of them.
    let to = from + 1;
    let { end } = first;
    for (let next = found[to]; next && next.start < end; next = found[to]) {
      end = Math.max(end, next.end);
      to += 1;
    }
    const second = found[from + 1];
    if (to - from === 1 || !second) kept.push(first);
    else if (to - from === 2) kept.push(before(first, second) <= 0 ? first : second);
    else for (const one of bestOf(found.slice(from, to), (taken ??= new Uint8Array(length)))) kept.push(one);
    from = to;
  }
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
