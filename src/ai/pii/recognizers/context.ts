import type { PiiType } from '#src/ai/pii/span.ts';

/** Words that tell what the number after them is, as people write them: Portuguese, English, Spanish. */
const WORDS: [words: string, ...types: PiiType[]][] = [
  ['cpfs?|c\\.p\\.f\\.?|cic|cadastro de pessoa f[ií]sica', 'cpf'],
  ['cnpjs?|c\\.n\\.p\\.j\\.?|cadastro nacional', 'cnpj'],
  ['documentos?|docs?|document', 'cpf', 'cnpj', 'rg'],
  ['rgs?|r\\.g\\.?|identidade|registro geral|identity card', 'rg'],
  ['cnh|habilita[cç][aã]o|carteira de motorista|carta de motorista|driver.?s licen[sc]e', 'cnh'],
  ['pis|pasep|pis/pasep|nis|nit|n[uú]mero do trabalhador', 'pis'],
  ['t[ií]tulo(?: de eleitor| eleitoral)?|eleitor', 'voter_id'],
  ['ceps?|c[oó]digo postal|zip(?: ?code)?|postal code|endere[cç]o|rua|avenida', 'cep'],
  [
    'tel|tels|telefones?|telef|fones?|fixo|cel|cels|celular|celulares|zap|zapzap|whats|whatsapp|wpp|wapp|ligar|liga|ligue|ligo|ligou|ligaram|liguem|contatos?|phones?|mobile|cell|call|tel[eé]fonos?|m[oó]vil|ramal|recado|n[uú]mero|ddd',
    'phone',
  ],
  ['cart[aã]o|card|cr[eé]dito|d[eé]bito|visa|mastercard|master|elo|amex|hipercard|tarjeta', 'card'],
  ['pix|chave|chaves|evp|aleat[oó]ria', 'pix_key'],
  ['placas?|carros?|ve[ií]culos?|moto|autom[oó]vel|license plate|plate', 'plate'],
  [
    'nascimento|nasc|dn|nasci|nasceu|nascid[oa]|anivers[aá]rio|niver|dob|born|birth|birthday|birthdate|nacimiento|nac[ií]|nacid[oa]|cumplea[nñ]os',
    'birth_date',
  ],
];
const FOUND = new RegExp(
  String.raw`(?<![A-Za-z\u00c0-\u024f])(?:${WORDS.map(([words]) => words).join('|')})(?![A-Za-z\u00c0-\u024f])`,
  'gi',
);
const WHOLE = WORDS.map(([words, ...types]) => ({ words: new RegExp(`^(?:${words})$`, 'i'), types }));
/** What each spelling says; there are some hundreds of them at most, since the patterns repeat nothing. */
const typesOf = new Map<string, readonly PiiType[]>();
function typesOfWord(word: string): readonly PiiType[] {
  let types = typesOf.get(word);
  if (!types) {
    types = WHOLE.find(({ words }) => words.test(word))?.types ?? [];
    typesOf.set(word, types);
  }
  return types;
}
/** About five words. */
const REACH = 48;

interface Hit {
  end: number;
  types: readonly PiiType[];
}

/** The context words of one text, found when first asked for. */
export class Contexts {
  readonly #text: string;
  #hits: Hit[] | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /** All context words of a type. */
  of(type: PiiType): number[] {
    const ends: number[] = [];
    for (const { end, types } of this.#all()) if (types.includes(type)) ends.push(end);
    return ends;
  }

  /** What the words shortly before `start` say for a type: 1 for the nearest context word, 0.5 for one behind another's, 0 for none. */
  weight(type: PiiType, start: number, reach = REACH): number {
    const hits = this.#all();
    let nearest: Hit | undefined;
    for (let at = this.#before(start); at >= 0; at -= 1) {
      const hit = hits[at];
      if (!hit || start - hit.end > reach) return 0;
      nearest ??= hit;
      if (hit.types.includes(type)) return hit === nearest ? 1 : 0.5;
    }
    return 0;
  }

  #all(): Hit[] {
    if (this.#hits) return this.#hits;
    const hits: Hit[] = [];
    FOUND.lastIndex = 0;
    for (let match = FOUND.exec(this.#text); match; match = FOUND.exec(this.#text)) {
      hits.push({ end: FOUND.lastIndex, types: typesOfWord(match[0].toLowerCase()) });
    }
    this.#hits = hits;
    return hits;
  }

  /** The last hit that ends at or before `start`. */
  #before(start: number): number {
    const hits = this.#all();
    let low = 0;
    let high = hits.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((hits[middle]?.end ?? 0) <= start) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** What a recogniser reads. */
export interface Subject {
  /** The folded text. */
  text: string;
  contexts: Contexts;
}
