import { featuresOf, tokensToRead } from '#src/ai/local/features.ts';
import { INTENTS, intentNumbers } from '#src/ai/local/intent-cues.ts';
import { polarityNumbers, polarityOf } from '#src/ai/local/polarity.ts';
import { type Example, seeded } from '#src/ai/local/training/fit.ts';
import { type Message, SENTIMENTS } from '#src/ai/local/training/messages.ts';

export const BUCKETS = 2 ** 14;

type Labelled = Pick<Message, 'text' | 'sentiment' | 'intent'>;

export function sentimentExample({ text, sentiment }: Labelled): Example {
  return {
    features: featuresOf(tokensToRead(text), BUCKETS),
    dense: polarityNumbers(polarityOf(text)),
    label: SENTIMENTS.indexOf(sentiment),
  };
}

export function intentExample({ text, intent }: Labelled): Example {
  return {
    features: featuresOf(tokensToRead(text), BUCKETS),
    dense: intentNumbers(text),
    label: INTENTS.indexOf(intent),
  };
}

const JOINTS = [', ', '. ', ' ', ' e ', '! ', '\n'];
const CONTRASTS = [', mas ', ' mas ', ', porém ', ', só que ', '. Mas '];

/** How often a made text has which parts, and what it then is: a feeling beats none, and what follows "mas" beats what precedes it. */
const MIXES = [
  { share: 0.3, parts: ['positive', 'positive'], is: 'positive' },
  { share: 0.3, parts: ['negative', 'negative'], is: 'negative' },
  { share: 0.08, parts: ['neutral', 'positive'], is: 'positive' },
  { share: 0.1, parts: ['neutral', 'negative'], is: 'negative' },
  { share: 0.06, parts: ['positive', 'mas', 'negative'], is: 'negative' },
  { share: 0.04, parts: ['negative', 'mas', 'positive'], is: 'positive' },
  { share: 0.12, parts: ['neutral', 'neutral'], is: 'neutral' },
] as const;

/** Longer texts made from the short ones, so that the model learns how their parts add up. The same for the same seed. */
export function longerTexts(messages: readonly Message[], count: number, seed: number): Labelled[] {
  const random = seeded(seed);
  const pick = <Item>(items: readonly Item[]): Item | undefined => items[Math.floor(random() * items.length)];
  const pools = Map.groupBy(
    messages.filter(({ sentiment, text }) => sentiment !== 'neutral' || !text.includes('?')),
    ({ sentiment }) => sentiment,
  );
  const part = (name: Message['sentiment']) => pick(pools.get(name) ?? [])?.text ?? '';
  return Array.from({ length: count }, () => {
    let left = random();
    const mix = MIXES.find(({ share }) => (left -= share) < 0) ?? MIXES[0];
    const joint = pick(JOINTS) ?? ' ';
    const contrast = pick(CONTRASTS) ?? ' mas ';
    const [first, second, third] = mix.parts;
    const text = second === 'mas' ? `${part(first)}${contrast}${part(third)}` : `${part(first)}${joint}${part(second)}`;
    const longer = mix.share === 0.3 && random() < 0.4 ? `${text}${pick(JOINTS) ?? ' '}${part(first)}` : text;
    return { text: longer, sentiment: mix.is, intent: 'other' };
  });
}

/** A greeting or a name before what is wanted does not change it. */
export function greetedTexts(messages: readonly Message[], count: number, seed: number): Labelled[] {
  const random = seeded(seed);
  const pick = (items: readonly Message[]) => items[Math.floor(random() * items.length)];
  const byLanguage = Map.groupBy(
    messages.filter(({ intent }) => intent === 'greeting'),
    ({ language }) => language,
  );
  const wanting = messages.filter(({ intent }) => intent !== 'greeting' && intent !== 'other');
  return Array.from({ length: count }, () => {
    const wanted = pick(wanting);
    const greeting = pick(byLanguage.get(wanted?.language ?? 'pt') ?? []);
    const intent = wanted?.intent ?? 'other';
    return {
      text: `${greeting?.text ?? ''}${random() < 0.5 ? ', ' : ' '}${wanted?.text ?? ''}`,
      sentiment: 'neutral',
      intent,
    };
  });
}
