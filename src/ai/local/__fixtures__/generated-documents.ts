import { seeded } from '#src/ai/local/training/fit.ts';

/** A message and the documents in it, as they are normalized; none in a hard negative. */
export interface DocumentCase {
  text: string;
  documents: string[];
}

type Random = () => number;
const LETTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ';

const digitsFrom = (random: Random, count: number) =>
  Array.from({ length: count }, () => Math.floor(random() * 10)).join('');
const pick = <Item>(random: Random, items: readonly [Item, ...Item[]]): Item =>
  items[Math.floor(random() * items.length)] ?? items[0];
const valueAt = (text: string, at: number) => text.charCodeAt(at) - 48;

// Written again here, and not taken from the recogniser: a fault in its sums must not be a fault in the test's.
function mod11(text: string, weights: readonly number[]): number {
  const sum = weights.reduce((total, weight, at) => total + weight * valueAt(text, at), 0);
  return sum % 11 < 2 ? 0 : 11 - (sum % 11);
}
const CPF_WEIGHTS = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2];
const CNPJ_WEIGHTS = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];

function checked(base: string, weights: readonly number[]): string {
  const first = base + String(mod11(base, weights.slice(1)));
  return first + String(mod11(first, weights));
}

const cpf = (random: Random) => checked(digitsFrom(random, 9), CPF_WEIGHTS);
const cnpj = (random: Random) => checked(`${digitsFrom(random, 8)}000${pick(random, ['1', '2', '3'])}`, CNPJ_WEIGHTS);
function lettersCnpj(random: Random): string {
  const base = Array.from({ length: 12 }, () => LETTERS.charAt(Math.floor(random() * LETTERS.length)));
  base[Math.floor(random() * 8)] = 'K';
  return checked(base.join(''), CNPJ_WEIGHTS);
}

const cpfDots = (text: string) => text.replace(/(.{3})(.{3})(.{3})(.{2})/u, '$1.$2.$3-$4');
const cnpjDots = (text: string) => text.replace(/(.{2})(.{3})(.{3})(.{4})(.{2})/u, '$1.$2.$3/$4-$5');
const cpfSpaces = (text: string) => text.replace(/(.{3})(.{3})(.{3})(.{2})/u, '$1 $2 $3 $4');
const cpfDash = (text: string) => text.replace(/(.{9})(.{2})/u, '$1-$2');

const BEFORE = [
  'meu cpf é ',
  'CPF: ',
  'cpf ',
  'segue o documento ',
  'o cpf do meu marido é ',
  'anota aí o cpf ',
] as const;
const BEFORE_CNPJ = ['CNPJ ', 'cnpj da loja: ', 'a nota é pro cnpj ', 'nosso CNPJ é '] as const;
const AROUND = ['', 'oi, ', 'boa tarde! ', 'pode emitir a nota? ', 'é pra cadastro, '] as const;
const AFTER = ['', '.', ' obrigada', ', tá?', ' e o nome é Ana Souza', '\nqualquer coisa me avisa', ' 👍'] as const;

/** Messages with one document each, in the spellings people use: with dots, without, in groups. */
export function positives(count: number, seed: number): DocumentCase[] {
  const random = seeded(seed);
  return Array.from({ length: count }, () => {
    const kind = random();
    const around = pick(random, AROUND);
    const after = pick(random, AFTER);
    if (kind < 0.6) {
      const document = cpf(random);
      const written = pick(random, [cpfDots, cpfDots, cpfSpaces, cpfDash, (text: string) => text])(document);
      const isDotted = written.includes('.');
      return {
        text: `${around}${isDotted && random() < 0.4 ? '' : pick(random, BEFORE)}${written}${after}`,
        documents: [document],
      };
    }
    const document = kind < 0.85 ? cnpj(random) : lettersCnpj(random);
    const written = random() < 0.7 ? cnpjDots(document) : document;
    const isDotted = written.includes('/');
    return {
      text: `${around}${isDotted && random() < 0.4 ? '' : pick(random, BEFORE_CNPJ)}${written}${after}`,
      documents: [document],
    };
  });
}

function broken(text: string, random: Random): string {
  const last = (Number(text.at(-1)) + 1 + Math.floor(random() * 8)) % 10;
  return text.slice(0, -1) + String(last);
}

const NEGATIVES: ((random: Random) => string)[] = [
  (random) => `CPF ${cpfDots(broken(cpf(random), random))}`,
  (random) => `meu cpf é ${broken(cpf(random), random)}`,
  (random) => `cnpj ${cnpjDots(broken(cnpj(random), random))}`,
  (random) => `CNPJ ${broken(lettersCnpj(random), random)}`,
  (random) => `cpf ${cpfDots(pick(random, ['1', '2', '5', '9']).repeat(11))}`,
  (random) => `pedido ${digitsFrom(random, 8)} não chegou`,
  (random) => `protocolo 2026${digitsFrom(random, 10)}`,
  (random) => `código de rastreio BR${digitsFrom(random, 9)}BR`,
  (random) => `código de barras 789${digitsFrom(random, 10)}`,
  (random) => `meu zap é (11) 9${digitsFrom(random, 4)}-${digitsFrom(random, 4)}`,
  (random) => `liga 21 9${digitsFrom(random, 8)}`,
  (random) => `ficou R$ ${digitsFrom(random, 1)}.${digitsFrom(random, 3)},${digitsFrom(random, 2)} no total`,
  (random) => `vence 1${digitsFrom(random, 1)}/0${1 + Math.floor(random() * 9)}/2026 às 18:30`,
  (random) => `cep 0${digitsFrom(random, 4)}-${digitsFrom(random, 3)}`,
  (random) => `nota fiscal ${digitsFrom(random, 6)} série ${digitsFrom(random, 1)}`,
  (random) =>
    `versão ${digitsFrom(random, 1)}.${digitsFrom(random, 2)}.${digitsFrom(random, 3)} build ${digitsFrom(random, 5)}`,
  (random) => `id 123e4567-e89b-12d3-a456-${digitsFrom(random, 12)}`,
  (random) => `imei ${digitsFrom(random, 15)}`,
];

/** Messages with numbers that look like documents and are none: wrong check digits, orders, phones, prices, tracking codes. */
export function negatives(count: number, seed: number): DocumentCase[] {
  const random = seeded(seed);
  return Array.from({ length: count }, (_, at) => ({
    text: `${pick(random, AROUND)}${NEGATIVES[at % NEGATIVES.length]?.(random) ?? ''}${pick(random, AFTER)}`,
    documents: [],
  }));
}
