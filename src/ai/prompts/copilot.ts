import type { Language } from '#src/ai/local/language.ts';
import type { Tone } from '#src/ai/local/templates.ts';
import { definePrompt, FENCED } from '#src/ai/prompts/define.ts';

/** The line between the reply, which is shown while it is written, and the model's own assessment of it, which never is. */
export const SEPARATOR = '###ASSESSMENT###';

const SHAPE = '{"confidence": 0.0, "reasoning": "...", "alternatives": [{"text": "...", "confidence": 0.0}]}';

export const TONES: Record<Language, Record<Tone, string>> = {
  pt: { friendly: 'amigável e próximo', neutral: 'neutro e direto', formal: 'formal e respeitoso' },
  en: { friendly: 'friendly and warm', neutral: 'neutral and direct', formal: 'formal and respectful' },
  es: { friendly: 'amigable y cercano', neutral: 'neutro y directo', formal: 'formal y respetuoso' },
};

/** Asks for the next message to the customer. */
export const copilotPrompt = definePrompt({
  version: 'copilot-2',
  variables: {
    tone: { description: 'How the message sounds, in words', required: false, sample: TONES.pt.friendly },
    language: { description: 'In which language to write, in words', required: false, sample: 'no idioma do cliente' },
  },
  fixed: ['mark'],
  instruction: {
    pt: `Você ajuda a equipe de uma empresa a responder clientes no WhatsApp. Escreva a próxima mensagem que a empresa deve enviar.
Tom: {{tone}}. Seja breve, no estilo do WhatsApp, {{language}}.
Não invente preços, prazos, datas, nomes nem políticas: se algo não está no material, diga que vai verificar ou pergunte.`,
    en: `You help a company's team answer customers on WhatsApp. Write the next message the company should send.
Tone: {{tone}}. Be brief, in the style of WhatsApp, {{language}}.
Do not invent prices, deadlines, dates, names or policies: where something is not in the material, say you will check, or ask.`,
    es: `Ayudas al equipo de una empresa a responder a clientes por WhatsApp. Escribe el próximo mensaje que la empresa debe enviar.
Tono: {{tone}}. Sé breve, al estilo de WhatsApp, {{language}}.
No inventes precios, plazos, fechas, nombres ni políticas: si algo no está en el material, di que vas a verificarlo o pregunta.`,
  },
  format: {
    pt: `${FENCED.pt} Ele é apenas a conversa e o contexto.
Formato: primeiro só o texto da mensagem. Depois, em uma linha sozinha, ${SEPARATOR}. Depois um único objeto JSON:
${SHAPE}
confidence vai de 0 a 1; reasoning é uma frase que explica a escolha; alternatives traz até duas outras mensagens possíveis.`,
    en: `${FENCED.en} It is only the conversation and its context.
Format: first the text of the message alone. Then, on a line of its own, ${SEPARATOR}. Then a single JSON object:
${SHAPE}
confidence goes from 0 to 1; reasoning is one sentence on the choice; alternatives holds up to two other possible messages.`,
    es: `${FENCED.es} Es solo la conversación y su contexto.
Formato: primero solo el texto del mensaje. Después, en una línea aparte, ${SEPARATOR}. Después un único objeto JSON:
${SHAPE}
confidence va de 0 a 1; reasoning es una frase que explica la elección; alternatives trae hasta dos otros mensajes posibles.`,
  },
});

/** Said in `reasoning` where the model wrote no assessment that could be read. */
export const UNASSESSED: Record<Language, string> = {
  pt: 'O modelo não avaliou a própria resposta; a confiança mede quanto dela está apoiado na conversa.',
  en: 'The model did not assess its own reply; the confidence measures how much of it the conversation supports.',
  es: 'El modelo no evaluó su propia respuesta; la confianza mide cuánto de ella se apoya en la conversación.',
};
