import { definePrompt, FENCED } from '#src/ai/prompts/define.ts';

const SHAPE = '{"replies": [{"text": "...", "tone": "formal|neutral|friendly", "confidence": 0.0}]}';

/** Asks for short replies to one message. */
export const smartRepliesPrompt = definePrompt({
  version: 'smart-replies-2',
  variables: {
    count: { description: 'How many replies', required: false, sample: '3' },
    language: { description: 'In which language to write, in words', required: false, sample: 'no idioma do cliente' },
  },
  fixed: ['mark'],
  instruction: {
    pt: `Você sugere respostas curtas que a equipe de uma empresa pode enviar a um cliente no WhatsApp com um toque.
Responda à mensagem do cliente, {{language}}. Não invente preços, prazos nem datas.`,
    en: `You suggest short replies that a company's team can send to a customer on WhatsApp with one tap.
Answer the customer's message, {{language}}. Do not invent prices, deadlines or dates.`,
    es: `Sugieres respuestas cortas que el equipo de una empresa puede enviar a un cliente por WhatsApp con un toque.
Responde al mensaje del cliente, {{language}}. No inventes precios, plazos ni fechas.`,
  },
  format: {
    pt: `${FENCED.pt}
Dê exatamente {{count}} respostas, todas diferentes, variando o tom (formal, neutral, friendly).
Responda só com JSON: ${SHAPE}. confidence vai de 0 a 1.`,
    en: `${FENCED.en}
Give exactly {{count}} replies, all different, varying the tone (formal, neutral, friendly).
Answer with JSON only: ${SHAPE}. confidence goes from 0 to 1.`,
    es: `${FENCED.es}
Da exactamente {{count}} respuestas, todas distintas, variando el tono (formal, neutral, friendly).
Responde solo con JSON: ${SHAPE}. confidence va de 0 a 1.`,
  },
});
