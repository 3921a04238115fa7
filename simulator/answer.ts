/** FNV-1a: the same text always gives the same number. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return value;
}

const WORDS = {
  pt: /\b(o|os|um|uma|que|não|para|com|você|quero|preço|obrigad[oa]|olá|oi|bom|dia|pedido|está|tem|meu|minha)\b/giu,
  es: /\b(el|los|un|una|que|no|para|con|usted|quiero|precio|gracias|hola|buenos|días|pedido|está|tiene|mi|muy)\b/giu,
  en: /\b(the|a|an|that|not|for|with|you|want|price|thanks|hello|hi|good|order|is|have|my|please|what)\b/giu,
} as const;
type Language = keyof typeof WORDS;
const LANGUAGES: readonly Language[] = ['pt', 'es', 'en'];

/** The language whose small words a text has most of; Portuguese where it has none. */
export function languageOf(text: string): Language {
  const sample = text.slice(0, 4000);
  const scored = LANGUAGES.map((language) => ({
    language,
    score: sample.match(WORDS[language])?.length ?? 0,
  }));
  return scored.reduce((best, next) => (next.score > best.score ? next : best)).language;
}

const SENTENCES: Record<Language, readonly (readonly string[])[]> = {
  pt: [
    ['Olá!', 'Oi, tudo bem?', 'Obrigado pela mensagem.'],
    [
      'Já verifiquei o seu pedido e ele está em separação.',
      'Temos esse produto à disposição no estoque.',
      'Posso preparar uma proposta com as condições atuais.',
    ],
    [
      'A entrega leva de dois a três dias úteis.',
      'O pagamento pode ser feito por Pix ou cartão.',
      'O desconto vale até sexta-feira.',
    ],
    ['Posso ajudar em algo mais?', 'Quer que eu siga com isso?', 'Fico à disposição.'],
  ],
  es: [
    ['¡Hola!', 'Buenos días, ¿qué tal?', 'Gracias por su mensaje.'],
    [
      'Ya revisé su pedido y está en preparación.',
      'Tenemos ese producto disponible.',
      'Puedo preparar una propuesta con las condiciones actuales.',
    ],
    [
      'La entrega tarda de dos a tres días hábiles.',
      'Puede pagar con tarjeta o transferencia.',
      'El descuento vale hasta el viernes.',
    ],
    ['¿Puedo ayudarle en algo más?', '¿Quiere que siga adelante?', 'Quedo a su disposición.'],
  ],
  en: [
    ['Hello!', 'Hi, how are you?', 'Thank you for your message.'],
    [
      'I checked your order and it is being prepared.',
      'We have that product in stock.',
      'I can prepare an offer with the current terms.',
    ],
    [
      'Delivery takes two to three working days.',
      'You can pay by card or bank transfer.',
      'The discount is valid until Friday.',
    ],
    ['Can I help with anything else?', 'Shall I go ahead?', 'I am here if you need me.'],
  ],
};

/** One sentence in the language of the prompt; another `turn` gives another one, up to twelve. */
export function sentenceFor(prompt: string, turn: number): string {
  const groups = SENTENCES[languageOf(prompt)];
  const at = (hash(prompt) + turn) % 12;
  return groups[at % 4]?.[Math.floor(at / 4)] ?? '';
}

/** A short, sensible-looking answer in the language of the prompt; the same prompt always gets the same one. */
export function answerFor(prompt: string): string {
  const seed = hash(prompt);
  return SENTENCES[languageOf(prompt)].map((group, at) => group[(seed >>> (at * 4)) % group.length]).join(' ');
}

/** Cuts text into `count` pieces, or into words with the space before them; never inside a surrogate pair. */
export function pieces(text: string, count?: number): string[] {
  if (count === undefined) return text.match(/\s*\S+\s*$|\s*\S+|\s+/gu) ?? [];
  const points = Array.from(text);
  const size = points.length / count;
  return Array.from({ length: count }, (_, at) =>
    points.slice(Math.round(at * size), Math.round((at + 1) * size)).join(''),
  ).filter((piece) => piece !== '');
}
