import { type Labelled, labelled } from '#src/ai/pii/__fixtures__/labelled.ts';

/** Numbers from 0 to 1 that a seed alone decides (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Draws and the check digits, written apart from the recognisers' own: one sums up what the other takes apart. */
class Draw {
  readonly #random: () => number;
  constructor(seed: number) {
    this.#random = randomOf(seed);
  }

  below = (count: number): number => Math.floor(this.#random() * count);
  of = <Item>(list: readonly Item[]): Item => {
    const item = list[this.below(list.length)];
    if (item === undefined) throw new RangeError('nothing to draw from');
    return item;
  };
  digits = (count: number): string => Array.from({ length: count }, () => this.below(10)).join('');

  #elevenDigit(text: string, weights: number[]): string {
    const sum = weights.reduce((all, weight, at) => all + weight * (text.charCodeAt(at) - 48), 0);
    return String(sum % 11 < 2 ? 0 : 11 - (sum % 11));
  }

  cpf(): string {
    let text = this.digits(9);
    text += this.#elevenDigit(text, [10, 9, 8, 7, 6, 5, 4, 3, 2]);
    return text + this.#elevenDigit(text, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
  }

  cnpj(alphabet: string): string {
    const weights = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
    let text = Array.from({ length: 12 }, () => alphabet.charAt(this.below(alphabet.length))).join('');
    text += this.#elevenDigit(text, weights.slice(1));
    return text + this.#elevenDigit(text, weights);
  }

  card(): string {
    const [prefix, length] = this.of([
      ['4', 16],
      ['51', 16],
      ['54', 16],
      ['37', 15],
      ['6362970', 16],
      ['650', 16],
      ['3604', 14],
    ] as const);
    const body = prefix + this.digits(length - 1 - prefix.length);
    const sum = Array.from(body)
      .toReversed()
      .reduce((all, digit, at) => {
        const value = Number(digit) * (at % 2 === 0 ? 2 : 1);
        return all + Math.floor(value / 10) + (value % 10);
      }, 0);
    return body + String((10 - (sum % 10)) % 10);
  }

  #ten(block: string): string {
    let sum = 0;
    let factor = 2;
    for (const digit of Array.from(block).toReversed()) {
      const value = Number(digit) * factor;
      sum += value > 9 ? value - 9 : value;
      factor = 3 - factor;
    }
    return String((10 - (sum % 10)) % 10);
  }

  boleto(): string {
    const head = this.of(['001', '033', '237', '341', '104']) + '9';
    const free = this.digits(25);
    const rest = this.digits(14);
    const code = head + rest + free;
    let factor = 2;
    let sum = 0;
    for (const digit of Array.from(code).toReversed()) {
      sum += Number(digit) * factor;
      factor = factor === 9 ? 2 : factor + 1;
    }
    const mark = 11 - (sum % 11);
    const fields = [head + free.slice(0, 5), free.slice(5, 15), free.slice(15)].map(
      (field) => field + this.#ten(field),
    );
    const [one = '', two = '', three = ''] = fields;
    return this.of([
      `${one}${two}${three}${mark > 9 ? 1 : mark}${rest}`,
      `${one.slice(0, 5)}.${one.slice(5)} ${two.slice(0, 5)}.${two.slice(5)} ${three.slice(0, 5)}.${three.slice(5)} ${mark > 9 ? 1 : mark} ${rest}`,
    ]);
  }

  iban(): string {
    const body = this.digits(18);
    const country = this.of(['DE', 'PT']);
    const account = country === 'PT' ? body + this.digits(3) : body;
    const number = BigInt(
      Array.from(`${account}${country}00`)
        .map((character) => Number.parseInt(character, 36))
        .join(''),
    );
    return country + String(98n - (number % 97n)).padStart(2, '0') + account;
  }

  uuid(): string {
    const hex = Array.from({ length: 32 }, () => this.below(16).toString(16)).join('');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
  }

  brCode(): string {
    const account = field(
      '26',
      field('00', 'br.gov.bcb.pix') + field('01', this.of([this.uuid(), `+55119${this.digits(8)}`])),
    );
    const text = `000201${account}520400005303986${field('54', `${this.below(900) + 1}.00`)}5802BR${field('59', 'LOJA BOA')}${field('60', 'SAO PAULO')}${field('62', field('05', '***'))}6304`;
    let crc = 0xffff;
    for (const byte of Buffer.from(text)) {
      for (let bit = 7; bit >= 0; bit -= 1) {
        const carry = ((crc >> 15) & 1) !== ((byte >> bit) & 1);
        crc = ((crc << 1) & 0xffff) ^ (carry ? 0x1021 : 0);
      }
    }
    return text + crc.toString(16).toUpperCase().padStart(4, '0');
  }

  phone(): string {
    const area = this.of(['11', '19', '21', '27', '31', '41', '48', '51', '61', '71', '81', '85', '91']);
    const [head, tail] = [`9${this.digits(4)}`, this.digits(4)];
    const fixed = `3${this.digits(3)}`;
    return this.of([
      `(${area}) ${head}-${tail}`,
      `${area} ${head}-${tail}`,
      `${area}${head}${tail}`,
      `+55 ${area} ${head}-${tail}`,
      `+55${area}${head}${tail}`,
      `55${area}${head}${tail}`,
      `${area} 9 ${head.slice(1)}-${tail}`,
      `(${area})${head}${tail}`,
      `${area} ${head} ${tail}`,
      `0${area} ${head}-${tail}`,
      `(${area}) ${fixed}-${tail}`,
      `${area} ${fixed}-${tail}`,
    ]);
  }

  email(): string {
    const name = this.of(['ana', 'joao.silva', 'maria_82', 'contato', 'lu-costa', 'pedro+nf', 'r.a.f.a']);
    return `${name}${this.below(99)}@${this.of(['example.com', 'example.com.br', 'mail.example.org', 'exemplo.net'])}`;
  }
}

const field = (id: string, value: string) => `${id}${String(value.length).padStart(2, '0')}${value}`;

const cut = (text: string, at: number[], gaps: string[]): string => {
  let from = 0;
  return (
    at
      .map((end, index) => {
        const part = text.slice(from, end) + (gaps[index] ?? '');
        from = end;
        return part;
      })
      .join('') + text.slice(from)
  );
};

const OPEN = [
  'oi, {}',
  '{} esse mesmo',
  'segue: {}',
  'anota aí {} por favor',
  '{}',
  'bom dia! {} ok?',
  'pode usar {}, obrigada 😊',
  'é {} viu',
  'manda nesse {} tá\nvlw',
];

const POSITIVES: Record<string, { per: number; around: string[]; make: (draw: Draw) => string }> = {
  cpf: {
    per: 900,
    around: [...OPEN, 'meu cpf é {}', 'CPF: {}', 'cpf {} pra nota'],
    make: (draw) => {
      const text = draw.cpf();
      return draw.of([
        text,
        cut(text, [3, 6, 9], ['.', '.', '-']),
        cut(text, [3, 6, 9], [' ', ' ', ' ']),
        cut(text, [9], ['-']),
        cut(text, [3, 6, 9], ['.', '.', '.']),
        cut(text, [3, 6, 9], ['-', '-', '-']),
      ]);
    },
  },
  cnpj: {
    per: 900,
    around: [...OPEN, 'cnpj {}', 'CNPJ: {}', 'faturar para {}'],
    make: (draw) => {
      const text = draw.cnpj(draw.below(2) ? '0123456789' : '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ');
      return draw.of([text, cut(text, [2, 5, 8, 12], ['.', '.', '/', '-']), text.toLowerCase()]);
    },
  },
  card: {
    per: 500,
    around: [...OPEN, 'cartão {}', 'meu cartão é {} val 12/29'],
    make: (draw) => {
      const text = draw.card();
      const at = text.length === 16 ? [4, 8, 12] : [4, 10];
      return draw.of([text, cut(text, at, [' ', ' ', ' ']), cut(text, at, ['-', '-', '-'])]);
    },
  },
  iban: {
    per: 300,
    around: [...OPEN, 'iban {}'],
    make: (draw) =>
      draw.of([(text: string) => text, (text: string) => text.replaceAll(/(.{4})(?=.)/g, '$1 ')])(draw.iban()),
  },
  boleto: { per: 300, around: [...OPEN, 'paguei o boleto {}'], make: (draw) => draw.boleto() },
  pix_code: { per: 300, around: [...OPEN, 'copia e cola: {}'], make: (draw) => draw.brCode() },
  pix_key: {
    per: 300,
    around: ['chave pix {}', 'minha chave aleatória é {}', 'pix: {}', 'faz o pix nessa chave {}'],
    make: (draw) => draw.of([draw.uuid(), draw.uuid().toUpperCase()]),
  },
  email: { per: 600, around: [...OPEN, 'email: {}', 'meu e-mail é {}'], make: (draw) => draw.email() },
  phone: { per: 900, around: [...OPEN, 'meu zap {}', 'me liga no {}'], make: (draw) => draw.phone() },
  cep: {
    per: 200,
    around: ['cep {}', 'meu cep é {}', 'frete pra {}?'],
    make: (draw) => `${draw.below(89) + 10}${draw.digits(3)}-${draw.digits(3)}`,
  },
  rg: {
    per: 100,
    around: ['rg {}', 'meu RG é {}', 'identidade {}'],
    make: (draw) => cut(`${draw.below(8) + 1}${draw.digits(8)}`, [2, 5, 8], ['.', '.', '-']),
  },
};

/** Look like personal data and are not: the last digit of a document changed, and the numbers shops write. */
const NEGATIVES: ((draw: Draw) => string)[] = [
  (draw) => `pedido ${draw.digits(7)}`,
  (draw) => `pedido nº ${draw.below(9) + 1}${draw.digits(9)}`,
  (draw) => `protocolo 2025${draw.digits(10)}`,
  (draw) => `R$ ${draw.below(900) + 1}.${draw.digits(3)},${draw.digits(2)}`,
  (draw) => `${draw.below(28) + 1}/${draw.below(12) + 1}/2025 às ${draw.below(24)}:${draw.below(50) + 10}`,
  (draw) => `ean 789${draw.digits(10)}`,
  (draw) => `rastreio AB${draw.digits(9)}BR`,
  (draw) => `id ${draw.uuid()}`,
  (draw) => `transação ${draw.uuid()} recusada`,
  (draw) => `nf ${draw.digits(9)}`,
  (draw) => `sku-${draw.digits(5)}-${draw.digits(2)}`,
  (draw) => `medidas ${draw.digits(3)}x${draw.digits(3)}x${draw.digits(2)}`,
  (draw) => `versão ${draw.below(20)}.${draw.below(20)}.${draw.below(9999)}`,
  (draw) => `lote 2025${draw.digits(6)}`,
  (draw) =>
    `${draw.below(60) + 1} ${draw.below(60) + 1} ${draw.below(60) + 1} ${draw.below(60) + 1} ${draw.below(60) + 1} ${draw.below(60) + 1}`,
  (draw) => `processo ${draw.digits(7)}-${draw.digits(2)}.2024.8.26.0100`,
  (draw) => broken(draw, cut(draw.cpf(), [3, 6, 9], ['.', '.', '-'])),
  (draw) => broken(draw, cut(draw.cnpj('0123456789'), [2, 5, 8, 12], ['.', '.', '/', '-'])),
  (draw) => broken(draw, cut(draw.cnpj('0123456789ABCDEFGHJKLMNPQRSTUVWXYZ'), [2, 5, 8, 12], ['.', '.', '/', '-'])),
  // The check digit of a field: the one of the whole has values that several rests share.
  (draw) => {
    const line = draw.boleto().replaceAll(/\D/g, '');
    return broken(draw, line.slice(0, 10)) + line.slice(10);
  },
  (draw) => broken(draw, draw.iban()),
  (draw) => broken(draw, cut(draw.card(), [4, 8, 12], [' ', ' ', ' '])),
  (draw) => `serial ${draw.digits(4)}-${draw.digits(4)}-${draw.digits(4)}`,
  (draw) => `total ${draw.below(9) + 1}${draw.digits(10)} pontos`,
];

function broken(draw: Draw, text: string): string {
  const last = Number(text.at(-1));
  return text.slice(0, -1) + String((last + 1 + draw.below(8)) % 10);
}

/** Over 5 000 positives with right check digits and 5 000 hard negatives; the same for the same seed. */
export function generated(seed: number): { positives: Labelled[]; negatives: Labelled[] } {
  const draw = new Draw(seed);
  const positives = Object.entries(POSITIVES).flatMap(([type, { per, around, make }]) =>
    Array.from({ length: per }, () =>
      labelled(draw.of(around).replace('{}', () => `<${type}>${make(draw)}</${type}>`)),
    ),
  );
  const negatives = Array.from({ length: 5000 }, () =>
    labelled(draw.of(OPEN).replace('{}', () => draw.of(NEGATIVES)(draw))),
  );
  return { positives, negatives };
}
