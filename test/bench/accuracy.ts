// How good and how fast the built-in provider is, on the messages of the repository; with `--reviews file.csv` also on a file of reviews with
// the columns review_score and review_comment_message (Olist's public data set has them): 1 and 2 stars are negative, 4 and 5 positive. With
// `--held-out` only those that nothing was tuned on: the file must then be Olist's table as it is published.
import { readFileSync } from 'node:fs';
import { negatives, positives } from '#src/ai/local/__fixtures__/generated-documents.ts';
import { entitiesOf } from '#src/ai/local/entities/index.ts';
import { intentOf } from '#src/ai/local/intent.ts';
import { macroF1, readCases, readChats, readMarked, scoresOf } from '#src/ai/local/measure.ts';
import { sentimentOf } from '#src/ai/local/sentiment.ts';
import { seeded } from '#src/ai/local/training/fit.ts';

interface Pair {
  label: string;
  guess: string;
}

/** The held-out reviews, fixed before any of them was read: this many characters from each of these places of Olist's table. */
const STRETCHES = { from: Array.from({ length: 15 }, (_, at) => 300_000 + 20_000 * at), characters: 16_000 };

/** How often the reviews are drawn anew to tell how much their figure is worth. */
const SAMPLES = 2000;

const CLOCK = { now: new Date('2026-03-11T10:00:00-03:00'), timeZone: 'America/Sao_Paulo' };
const say = (line: string) => process.stdout.write(`${line}\n`);
const percent = (value: number) => (100 * value).toFixed(1).padStart(5);

function report(name: string, pairs: Pair[]): void {
  const right = pairs.filter(({ label, guess }) => label === guess).length;
  say(
    `${name.padEnd(46)} ${String(pairs.length).padStart(6)}  macro-F1 ${percent(macroF1(pairs))}  right ${percent(right / pairs.length)}`,
  );
}

const CELL = /(?:"((?:[^"]|"")*)"|([^,"\n\r]*))(,|\r?\n|$)/gy;

/** The rows of a CSV file (RFC 4180). */
function rowsOf(text: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain = '', end] of text.matchAll(CELL)) {
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end === '') break;
    if (end !== ',') rows.push([]);
  }
  return rows;
}

const chats = readChats('chat-heldout');
report(
  'sentiment, chat, held out',
  chats.map(({ label, text }) => ({ label, guess: sentimentOf(text).sentiment })),
);
for (const name of ['tuning', 'heldout', 'hard']) {
  report(
    `sentiment, first messages: ${name}`,
    readCases(`sentiment-${name}`).map(({ label, text }) => ({ label, guess: sentimentOf(text).sentiment })),
  );
}
report(
  'intent, chat, held out',
  chats.map(({ intent, text }) => ({ label: intent, guess: intentOf(text).intent })),
);
report(
  'intent, three languages, held out',
  readCases('intent-heldout').map(({ label, text }) => ({ label, guess: intentOf(text).intent })),
);

const marked = readMarked('entities-heldout').map(({ text, spans }) => ({
  wanted: spans.map(({ key }) => key),
  found: Object.entries(entitiesOf(text, CLOCK)).flatMap(([type, list]) =>
    list.map(({ start, end }) => `${type}:${start}-${end}`),
  ),
}));
const ofType = (type: string) => (keys: string[]) => keys.filter((key) => key.startsWith(`${type}:`));
for (const type of ['person', 'email', 'phone', 'company', 'date', 'money', 'document', 'address', 'url']) {
  const only = ofType(type);
  const { precision, recall, wanted } = scoresOf(
    marked.map((pair) => ({ wanted: only(pair.wanted), found: only(pair.found) })),
  );
  say(
    `${`entities, by hand: ${type}`.padEnd(46)} ${String(wanted).padStart(6)}  precision ${percent(precision)}  recall ${percent(recall)}`,
  );
}
const documents = scoresOf(
  [...positives(5000, 11), ...negatives(5000, 12)].map(({ text, documents: wanted }) => ({
    wanted,
    found: entitiesOf(text, CLOCK).document.map(({ normalized }) => normalized),
  })),
);
say(
  `${'documents, 5 000 made and 5 000 hard negatives'.padEnd(46)} ${String(documents.wanted).padStart(6)}  precision ${percent(documents.precision)}  recall ${percent(documents.recall)}`,
);

/** The macro-F1 between which 95 of 100 samples of the same size lie, drawn from the pairs with replacement (Efron's percentile bootstrap). */
function intervalOf(pairs: Pair[]): [from: number, to: number] {
  const random = seeded(SAMPLES);
  const sample = () => pairs.flatMap(() => pairs[Math.floor(random() * pairs.length)] ?? []);
  const scores = Array.from({ length: SAMPLES }, () => macroF1(sample())).toSorted((a, b) => a - b);
  return [scores[Math.floor(SAMPLES * 0.025)] ?? 0, scores[Math.floor(SAMPLES * 0.975)] ?? 0];
}

/** The whole rows of the held-out stretches: the first and the last of each are cut. */
const heldOutRows = (text: string): string[][] =>
  STRETCHES.from.flatMap((from) => rowsOf(text.slice(from, from + STRETCHES.characters)).slice(1, -1));

const file = process.argv[process.argv.indexOf('--reviews') + 1];
if (process.argv.includes('--reviews') && file) {
  const text = readFileSync(file, 'utf8');
  const [head = [], ...rows] = rowsOf(text);
  const [score, message] = ['review_score', 'review_comment_message'].map((column) => head.indexOf(column));
  const reviews = (process.argv.includes('--held-out') ? heldOutRows(text) : rows)
    .map((row) => ({ stars: Number(row[score ?? -1]), text: row[message ?? -1] ?? '' }))
    .filter(({ stars, text }) => stars >= 1 && stars !== 3 && text.trim() !== '')
    .map(({ stars, text }) => ({ label: stars > 3 ? 'positive' : 'negative', read: sentimentOf(text) }));
  for (const [name, pairs] of Object.entries({
    'reviews, by the sign of the score': reviews.map(({ label, read }) => ({
      label,
      guess: read.score > 0 ? 'positive' : 'negative',
    })),
    'reviews, "neutral" counted as an error': reviews.map(({ label, read }) => ({ label, guess: read.sentiment })),
  })) {
    report(name, pairs);
    say(`${''.padEnd(53)}  95 % between ${intervalOf(pairs).map(percent).join(' and ')}`);
  }
}

/** Texts a second of processor time, the best of five rounds. */
function speedOf(work: (text: string) => unknown): number {
  const texts = chats.map(({ text }) => text);
  const rounds = Array.from({ length: 5 }, () => {
    const started = process.cpuUsage();
    for (let round = 0; round < 20; round += 1) for (const text of texts) work(text);
    return (20 * texts.length) / (process.cpuUsage(started).user / 1e6);
  });
  return Math.max(...rounds);
}

// What any reading of a text costs at least here: lower case, no accents, words.
const plain = speedOf((text) =>
  text
    .toLowerCase()
    .normalize('NFD')
    .replace(/\p{M}+/gu, '')
    .match(/\p{L}+/gu),
);
for (const [name, work] of Object.entries({
  sentiment: sentimentOf,
  intent: intentOf,
  entities: (text: string) => entitiesOf(text, CLOCK),
})) {
  const speed = speedOf(work);
  say(
    `${`${name}, texts a second of one core`.padEnd(46)} ${String(Math.round(speed)).padStart(6)}  ${(plain / speed).toFixed(1)} times the cost of splitting into words`,
  );
}
