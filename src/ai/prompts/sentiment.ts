import type { Language } from '#src/ai/local/language.ts';
import { EMOTIONS } from '#src/ai/local/lexicons/emotions.ts';
import { definePrompt, FENCED } from '#src/ai/prompts/define.ts';

const ITEM = `{"sentiment": "positive|neutral|negative", "score": 0.0, "confidence": 0.0, "emotions": []}`;
const EMOTION_LIST = EMOTIONS.join(', ');

/** Asks for the sentiment of one text or of a numbered list. */
export const sentimentPrompt = definePrompt({
  version: 'sentiment-2',
  variables: {
    messages: {
      description: 'What is to be judged: one message, or each of so many',
      required: false,
      sample: 'uma mensagem',
    },
  },
  fixed: ['mark', 'shape'],
  instruction: {
    pt: `Classifique o sentimento de {{messages}} de cliente, como quem atende entenderia; atenção a ironia e gírias.`,
    en: `Classify the sentiment of {{messages}}, as a support agent would read it; mind irony and slang.`,
    es: `Clasifica el sentimiento de {{messages}} de cliente, como lo entendería quien atiende; atención a la ironía y la jerga.`,
  },
  format: {
    pt: `${FENCED.pt}
score vai de -1 (muito negativo) a 1 (muito positivo) e concorda com sentiment; confidence vai de 0 a 1; emotions só com: ${EMOTION_LIST}.
Responda só com JSON: {{shape}}.`,
    en: `${FENCED.en}
score goes from -1 (very negative) to 1 (very positive) and agrees with sentiment; confidence goes from 0 to 1; emotions only from: ${EMOTION_LIST}.
Answer with JSON only: {{shape}}.`,
    es: `${FENCED.es}
score va de -1 (muy negativo) a 1 (muy positivo) y concuerda con sentiment; confidence va de 0 a 1; emotions solo de: ${EMOTION_LIST}.
Responde solo con JSON: {{shape}}.`,
  },
});

const ASKED: Record<Language, { one: string; each: (count: number) => string; exactly: (count: number) => string }> = {
  pt: {
    one: 'uma mensagem',
    each: (count) => `cada uma das ${count} mensagens`,
    exactly: (count) => `exatamente ${count} itens, na mesma ordem`,
  },
  en: {
    one: 'a customer message',
    each: (count) => `each of ${count} customer messages`,
    exactly: (count) => `exactly ${count} items, in the same order`,
  },
  es: {
    one: 'un mensaje',
    each: (count) => `cada uno de los ${count} mensajes`,
    exactly: (count) => `exactamente ${count} elementos, en el mismo orden`,
  },
};

/** What is asked and in which shape: for one text (`count` undefined) or for a numbered list of `count` texts. */
export function askedItems(language: Language, count: number | undefined): { messages: string; shape: string } {
  const { one, each, exactly } = ASKED[language];
  if (count === undefined) return { messages: one, shape: ITEM };
  return { messages: each(count), shape: `{"items": [${ITEM}, ...]}, ${exactly(count)}` };
}
