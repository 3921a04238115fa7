import { definePrompt, FENCED } from '#src/ai/prompts/define.ts';

const SHAPE = '{"points": {"<feature>": 0, ...}, "recommendation": "..."}';

/** Asks how much each known thing about a lead speaks for a sale. */
export const scoreLeadPrompt = definePrompt({
  version: 'score-lead-1',
  variables: {},
  fixed: ['mark'],
  instruction: {
    pt: `Avalie um lead de uma empresa que vende pelo WhatsApp. Diga quantos pontos cada característica dá ou tira da chance de ele comprar em breve.
Interesse claro, orçamento, urgência e contato recente dão pontos; silêncio, reclamação e falta de perfil tiram. O que não diz nada vale 0.`,
    en: `Judge a lead of a company that sells on WhatsApp. Tell how many points each feature gives to, or takes from, the chance that they buy soon.
Clear interest, budget, urgency and recent contact give points; silence, complaints and a poor fit take some. What says nothing is worth 0.`,
    es: `Evalúa un lead de una empresa que vende por WhatsApp. Di cuántos puntos cada característica da o quita a la probabilidad de que compre pronto.
El interés claro, el presupuesto, la urgencia y el contacto reciente dan puntos; el silencio, las quejas y la falta de perfil los quitan. Lo que no dice nada vale 0.`,
  },
  format: {
    pt: `${FENCED.pt} Ele tem uma característica por linha: "nome": valor.
A soma dos pontos é a nota: 0 é sem chance, 100 é compra certa. Dê pontos (-100 a 100) para cada característica, com o nome exatamente como está.
Responda só com JSON: ${SHAPE}. recommendation é uma frase em português com o próximo passo para quem vende.`,
    en: `${FENCED.en} It has one feature a line: "name": value.
The sum of the points is the score: 0 is no chance, 100 is a sure sale. Give points (-100 to 100) for every feature, its name exactly as it stands.
Answer with JSON only: ${SHAPE}. recommendation is one sentence in English with the next step for whoever sells.`,
    es: `${FENCED.es} Tiene una característica por línea: "nombre": valor.
La suma de los puntos es la nota: 0 es sin posibilidad, 100 es compra segura. Da puntos (-100 a 100) a cada característica, con su nombre exactamente como está.
Responde solo con JSON: ${SHAPE}. recommendation es una frase en español con el próximo paso para quien vende.`,
  },
});
