import { type Intent, intentOf } from '#src/ai/local/intent.ts';
import type { Language } from '#src/ai/local/language.ts';
import { sentimentOf } from '#src/ai/local/sentiment.ts';
import { slotsOf, type Talk } from '#src/ai/local/slots.ts';
import { fill, type Situation, TEMPLATES, type Tone, TONES } from '#src/ai/local/templates.ts';

export interface Reply {
  text: string;
  tone: Tone;
  /** 0 to 1: how sure the intent is, less for a second-choice tone or situation. */
  confidence: number;
}

const LATER_TONE = 0.9;
const LATER_SITUATION = 0.6;

/** What the last message calls for, best first; always ends with the two that fit anything. */
function situationsOf(
  message: string,
  hasPrice: boolean,
): { intent: Intent; confidence: number; situations: Situation[] } {
  const guess = intentOf(message);
  const mood = sentimentOf(message);
  const vague = guess.intent === 'other' || guess.intent === 'greeting';
  const upset = mood.sentiment === 'negative' && mood.confidence > 0.5 && (vague || guess.intent === 'support');
  const intent = upset ? 'complaint' : guess.intent;
  const first: Situation =
    hasPrice && (intent === 'pricing' || intent === 'product_inquiry')
      ? 'priced'
      : vague && mood.sentiment === 'positive' && mood.score >= 0.3
        ? 'thanks'
        : intent;
  const confidence = upset || first === 'thanks' ? mood.confidence : guess.confidence;
  return {
    intent,
    confidence,
    situations: [...new Set<Situation>([first, ...guess.subIntents, 'other', 'acknowledge'])],
  };
}

/**
 * Replies to the last message from the built-in templates, all different, best first: each situation in each tone, the wanted tone first.
 * Slots are filled only with what the conversation says. There are at least six.
 */
export function repliesTo(
  talk: Talk,
  language: Language,
  tone: Tone = 'friendly',
): { intent: Intent; replies: Reply[] } {
  const slots = slotsOf(talk);
  const { intent, confidence, situations } = situationsOf(talk.message, slots.price !== undefined);
  const tones = [tone, ...TONES.filter((other) => other !== tone)];
  const replies = situations.flatMap((situation, rank) =>
    tones.map((tone, place) => ({
      text: fill(TEMPLATES[language][situation][tone], slots),
      tone,
      confidence: Math.round(confidence * LATER_SITUATION ** Math.min(rank, 2) * LATER_TONE ** place * 100) / 100,
    })),
  );
  return { intent, replies };
}
