import { definePrompt, FENCED } from '#src/ai/prompts/define.ts';

const SHAPE = '{"intent": "...", "confidence": 0.0, "subIntents": []}';

/** Asks under which label a customer's text belongs. */
export const intentPrompt = definePrompt({
  version: 'intent-1',
  variables: {
    labels: { description: 'The labels to choose from', required: false, sample: '"pricing", "support", "other"' },
  },
  fixed: ['mark'],
  instruction: {
    pt: `Diga o que o cliente quer com o texto que escreveu a uma empresa no WhatsApp. Considere gírias, abreviações e erros de digitação.
Se o texto traz mais de um pedido, intent é o principal: o que a empresa deve atender primeiro.`,
    en: `Tell what a customer wants with the text they wrote to a company on WhatsApp. Mind slang, abbreviations and typing errors.
Where the text asks for more than one thing, intent is the main one: what the company should attend to first.`,
    es: `Di qué quiere el cliente con el texto que escribió a una empresa por WhatsApp. Considera jerga, abreviaturas y errores de tipeo.
Si el texto trae más de un pedido, intent es el principal: lo que la empresa debe atender primero.`,
  },
  format: {
    pt: `${FENCED.pt}
Escolha só entre estes rótulos, escritos exatamente assim: {{labels}}.
Responda só com JSON: ${SHAPE}. confidence vai de 0 a 1; subIntents traz os outros rótulos que o texto também pede, ou nada.`,
    en: `${FENCED.en}
Choose only from these labels, spelled exactly so: {{labels}}.
Answer with JSON only: ${SHAPE}. confidence goes from 0 to 1; subIntents holds the other labels the text asks for too, or nothing.`,
    es: `${FENCED.es}
Elige solo entre estas etiquetas, escritas exactamente así: {{labels}}.
Responde solo con JSON: ${SHAPE}. confidence va de 0 a 1; subIntents trae las otras etiquetas que el texto también pide, o nada.`,
  },
});
