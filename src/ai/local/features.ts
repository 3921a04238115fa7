import { fold } from '#src/ai/local/words.ts';

/** Spellings of chat and what they stand for; both sides folded. */
const SPELLED: Readonly<Record<string, string>> = {
  mto: 'muito', mt: 'muito', mtoo: 'muito', muitoo: 'muito', mta: 'muita', n: 'nao', naum: 'nao', nn: 'nao', vc: 'voce', vcs: 'voces', ce: 'voce', q: 'que', oq: 'o que',
  pq: 'porque', tb: 'tambem', tbm: 'tambem', msm: 'mesmo', obg: 'obrigado', obgd: 'obrigado', brigado: 'obrigado', brigada: 'obrigado', obrigada: 'obrigado', obrigadao: 'obrigado', brigadao: 'obrigado',
  vlw: 'valeu', blz: 'beleza', td: 'tudo', tdo: 'tudo', hj: 'hoje', ta: 'esta', to: 'estou', tava: 'estava', tao: 'tao', pra: 'para', pro: 'para', p: 'para', c: 'com', cmg: 'comigo',
  qdo: 'quando', qnd: 'quando', qto: 'quanto', qt: 'quanto', kd: 'cade', ngm: 'ninguem', nd: 'nada', agr: 'agora', dps: 'depois', pfv: 'por favor', pf: 'por favor', fds: 'fim de semana', msg: 'mensagem', msgs: 'mensagem',
  entao: 'entao', eh: 'e', ne: 'ne', aki: 'aqui', mds: 'meu deus', sla: 'sei la', vdd: 'verdade', qlqr: 'qualquer', cm: 'com', so: 'so', dms: 'demais',
}; // prettier-ignore
const spelled = new Map(Object.entries(SPELLED));

const TOKEN = /\p{L}[\p{L}\p{N}]*(?:['’]\p{L}+)?|\p{N}+(?:[.,:/]\p{N}+)*|\p{Extended_Pictographic}|[!?]/gu;
const LAUGH = /^(?:k{2,}|(?:ha|he|rs|ja){2,}h?)$/u;
const NEGATORS = new Set(
  "nao nem nunca jamais sem nenhum nenhuma ninguem nada not no never don't doesn't didn't isn't can't sin nadie".split(
    ' ',
  ),
);
const NEGATION_REACH = 3;
const STEM = 5;

/** The tokens a classifier reads: words in one spelling, numbers as `0`, laughs as `kkk`, emoji and `!?` as they are. */
export function tokensToRead(text: string): string[] {
  const typed = text.replace(/\bd\+/giu, 'demais').match(TOKEN) ?? [];
  return typed.flatMap((token) => {
    const word = fold(token);
    if (LAUGH.test(token.toLowerCase())) return 'kkk';
    if (/^\p{N}/u.test(word)) return '0';
    return spelled.get(word)?.split(' ') ?? word;
  });
}

/** FNV-1a, 32 bits (Fowler, Noll, Vo). */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/**
 * What a text shows a linear model, each once: words, their beginnings, pairs of neighbours, and words within reach of a negator marked as
 * such, hashed into `buckets` places (Weinberger et al., 2009). Linear in the text.
 */
export function featuresOf(tokens: readonly string[], buckets: number): number[] {
  const seen = new Set<number>();
  const add = (name: string) => seen.add(hashOf(name) % buckets);
  let before = '^';
  let sinceNegator = Infinity;
  for (const token of tokens) {
    sinceNegator = NEGATORS.has(token) ? 0 : sinceNegator + 1;
    const mark = sinceNegator > 0 && sinceNegator <= NEGATION_REACH ? '!' : '';
    add(`w${mark}${token}`);
    if (token.length > STEM) add(`s${mark}${token.slice(0, STEM)}`);
    add(`b${before} ${token}`);
    before = token;
  }
  add(`b${before} $`);
  return [...seen];
}
