// How fast personal data is found: MB/s on ordinary text, the time for 1 MB of the worst there is, and whether time grows with size alone.
import { recognize } from '#src/ai/pii/recognizers/index.ts';

const MB = 1_000_000;
const CHAT = `oi, tudo bem? queria saber se vocês ainda têm a bicicleta aro 29 que vi no site, e quanto fica o frete pra minha cidade
Bom dia! Temos sim 😊 o valor é R$ 1.899,00 à vista ou 12x de 175,90. Me passa o CEP por favor?
01310-100. Meu nome é Maria Clara, meu cpf é 529.982.247-25 e o zap é (11) 98765-4321
perfeito, pedido 48213 confirmado, previsão de entrega 12/12 até as 18h. Qualquer coisa é só chamar aqui!
obrigada viu, vou pagar no pix hoje mesmo, qual a chave? pode mandar no email maria.clara@example.com tbm\n`;

const HOSTILE: Record<string, string> = {
  digits: '1',
  'spelled digits': '1 ',
  'dotted digits': '529.982.247-2.',
  phones: '11 98765-4321 ',
  'at signs': '@',
  'long local parts': `${'a'.repeat(64)}@`,
  domains: `a@${'a'.repeat(62)}`,
  'dotted domain': '@a.a.a.a.a.a.a.a.a',
  addresses: 'http://',
  'http then brackets': `http://a${')'.repeat(1900)}`,
  'www.': 'www.',
  'BR codes': '000201',
  'BR code starts': `00020126${'9'.repeat(2)}`,
  colons: 'a:',
  'ipv4 dots': '1.1.1.',
  letters: 'A',
  'IBAN starts': 'BR12 ',
  'IBAN run': 'GB82WEST1234',
  names: 'Sr. A',
  capitals: 'Aa Bb ',
  introductions: 'meu nome é a ',
  'JWT starts': 'eyJ',
  'key starts': 'sk-',
  dashes: '-----BEGIN ',
  'PEM starts': '-----BEGIN PRIVATE KEY-----\n',
  backslashes: '\\n',
  contexts: 'cpf ',
  'births and dates': 'nasc 1/1/',
  passwords: 'senha: a',
  'zero width': '1\u200b',
  'full-width digits': '１',
  emoji: '👩‍👩‍👧',
  uuids: '123e4567-e89b-12d3-a456-42661417400',
};

/** Milliseconds of processor time: other programs of the machine do not count. */
function timeOf(text: string): number {
  const before = process.cpuUsage();
  recognize(text);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
const filled = (piece: string, length: number) => piece.repeat(Math.ceil(length / piece.length)).slice(0, length);
const best = (text: string, runs = 5) => Math.min(...Array.from({ length: runs }, () => timeOf(text)));

const small = filled(CHAT, MB / 4);
const large = filled(CHAT, 4 * MB);
best(small);
const [smallMs, largeMs] = [best(small), best(large)];
console.log(
  `ordinary text: ${(4000 / largeMs).toFixed(1)} MB/s; 16 times the text takes ${(largeMs / smallMs).toFixed(1)} times as long`,
);
const message = CHAT.slice(0, 200);
const rounds = 20_000;
const startedAt = performance.now();
for (let count = 0; count < rounds; count += 1) recognize(message);
console.log(`a message of 200 characters: ${(((performance.now() - startedAt) * 1000) / rounds).toFixed(1)} µs`);
for (const [name, piece] of Object.entries(HOSTILE)) {
  const [half, whole] = [best(filled(piece, MB / 2), 2), best(filled(piece, MB), 2)];
  console.log(`1 MB of ${name}: ${whole.toFixed(0)} ms, twice the text ${(whole / half).toFixed(1)} times as long`);
}
