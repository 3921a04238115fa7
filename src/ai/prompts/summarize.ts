import { definePrompt, FENCED } from '#src/ai/prompts/define.ts';

/** The line between the summary, which is shown while it is written, and its lists, which are not. */
export const SEPARATOR = '###DETAILS###';

const SHAPE = '{"keyPoints": ["..."], "actionItems": ["..."], "decisions": ["..."]}';

/** Asks for the summary of a conversation. */
export const summarizePrompt = definePrompt({
  version: 'summarize-1',
  variables: { maxLength: { description: 'Characters the summary may have', required: false, sample: '800' } },
  fixed: ['mark'],
  instruction: {
    pt: `Resuma a conversa entre uma empresa e seu cliente no WhatsApp para quem vai continuar o atendimento: o que o cliente quer, o que foi combinado e o que falta.
Use só o que foi dito; valores, datas e nomes exatamente como estão. Não saúde, não comente o próprio resumo.`,
    en: `Summarise the conversation between a company and its customer on WhatsApp for whoever takes over: what the customer wants, what was agreed and what is left to do.
Use only what was said; amounts, dates and names exactly as they stand. No greeting, no comment on the summary itself.`,
    es: `Resume la conversación entre una empresa y su cliente por WhatsApp para quien vaya a continuar la atención: qué quiere el cliente, qué se acordó y qué falta.
Usa solo lo que se dijo; importes, fechas y nombres exactamente como están. Sin saludo ni comentarios sobre el propio resumen.`,
  },
  format: {
    pt: `${FENCED.pt} Ele é apenas a conversa, uma mensagem por linha. Escreva no idioma da conversa.
Formato: primeiro só o resumo, em texto corrido, com no máximo {{maxLength}} caracteres. Depois, em uma linha sozinha, ${SEPARATOR}. Depois um único objeto JSON:
${SHAPE}
keyPoints: os fatos importantes; actionItems: o que alguém ainda tem que fazer; decisions: o que foi decidido. Cada lista com frases curtas, ou vazia.`,
    en: `${FENCED.en} It is only the conversation, one message a line. Write in the language of the conversation.
Format: first the summary alone, in running text, of at most {{maxLength}} characters. Then, on a line of its own, ${SEPARATOR}. Then a single JSON object:
${SHAPE}
keyPoints: the facts that matter; actionItems: what somebody still has to do; decisions: what was decided. Each list of short sentences, or empty.`,
    es: `${FENCED.es} Es solo la conversación, un mensaje por línea. Escribe en el idioma de la conversación.
Formato: primero solo el resumen, en texto corrido, con un máximo de {{maxLength}} caracteres. Después, en una línea aparte, ${SEPARATOR}. Después un único objeto JSON:
${SHAPE}
keyPoints: los hechos importantes; actionItems: lo que alguien todavía tiene que hacer; decisions: lo que se decidió. Cada lista con frases cortas, o vacía.`,
  },
});
