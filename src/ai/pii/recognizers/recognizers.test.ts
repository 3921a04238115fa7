import { describe, expect, it } from 'vitest';
import { recognize } from '#src/ai/pii/recognizers/index.ts';

const EVP = '123e4567-e89b-12d3-a456-426614174000';
const BR_CODE =
  '00020126580014br.gov.bcb.pix0136123e4567-e12b-12d1-a456-4266554400005204000053039865802BR5913Fulano de Tal6008BRASILIA62070503***63041D3D';

/** Text, the one span expected in it, its normalized value. */
const FOUND: [text: string, type: string, value: string, normalized: string][] = [
  ['cpf: 529.982.247-25.', 'cpf', '529.982.247-25', '52998224725'],
  ['cpf52998224725', 'cpf', '52998224725', '52998224725'],
  ['meu doc 529 982 247 25 ok', 'cpf', '529 982 247 25', '52998224725'],
  ['5 2 9 9 8 2 2 4 7 2 5', 'cpf', '5 2 9 9 8 2 2 4 7 2 5', '52998224725'],
  ['CPF ５２９．９８２．２４７－２５', 'cpf', '５２９．９８２．２４７－２５', '52998224725'],
  ['é ٥٢٩٩٨٢٢٤٧٢٥', 'cpf', '٥٢٩٩٨٢٢٤٧٢٥', '52998224725'],
  ['😀 𝟓𝟐𝟗𝟗𝟖𝟐𝟐𝟒𝟕𝟐𝟓!', 'cpf', '𝟓𝟐𝟗𝟗𝟖𝟐𝟐𝟒𝟕𝟐𝟓', '52998224725'],
  ['é 529\u200b982\u200b24725 viu', 'cpf', '529\u200b982\u200b24725', '52998224725'],
  ['{"text":"oi\\n52998224725"}', 'cpf', '52998224725', '52998224725'],
  ['CNPJ 11.222.333/0001-81', 'cnpj', '11.222.333/0001-81', '11222333000181'],
  ['CNPJ 12.ABC.345/01DE-35', 'cnpj', '12.ABC.345/01DE-35', '12ABC34501DE35'],
  ['o da loja é 12abc34501de35', 'cnpj', '12abc34501de35', '12ABC34501DE35'],
  ['(11) 98765-4321', 'phone', '(11) 98765-4321', '+5511987654321'],
  ['+55 (21) 3456-7890', 'phone', '+55 (21) 3456-7890', '+552134567890'],
  ['chama no 011 98765 4321', 'phone', '011 98765 4321', '+5511987654321'],
  ['11987654321', 'phone', '11987654321', '+5511987654321'],
  ['meu zap é 98765-4321', 'phone', '98765-4321', '987654321'],
  ['call me +1 (415) 555-2671', 'phone', '+1 (415) 555-2671', '+14155552671'],
  ['+351 912 345 678', 'phone', '+351 912 345 678', '+351912345678'],
  ['é Joao.Silva+1@Example.com.br.', 'email', 'Joao.Silva+1@Example.com.br', 'joao.silva+1@example.com.br'],
  ['veja https://loja.example/p?a=1.', 'url', 'https://loja.example/p?a=1', 'https://loja.example/p?a=1'],
  ['01310-100', 'cep', '01310-100', '01310100'],
  ['meu cep 01310100', 'cep', '01310100', '01310100'],
  ['cartão 4111 1111 1111 1111', 'card', '4111 1111 1111 1111', '4111111111111111'],
  ['378282246310005', 'card', '378282246310005', '378282246310005'],
  ['GB82 WEST 1234 5698 7654 32 ok', 'iban', 'GB82 WEST 1234 5698 7654 32', 'GB82WEST12345698765432'],
  [`a chave pix é ${EVP}`, 'pix_key', EVP, EVP],
  [`copia e cola ${BR_CODE}`, 'pix_code', BR_CODE, BR_CODE],
  [
    '23793.38128 60007.827136 95000.063305 9 75520000370000',
    'boleto',
    '23793.38128 60007.827136 95000.063305 9 75520000370000',
    '23793381286000782713695000063305975520000370000',
  ],
  [
    '83620000000-5 66780048100-0 18097565731-3 00158963608-1',
    'boleto',
    '83620000000-5 66780048100-0 18097565731-3 00158963608-1',
    '836200000005667800481000180975657313001589636081',
  ],
  ['RG 12.345.678-X', 'rg', '12.345.678-X', '12345678X'],
  ['pis 120.52983.94-7', 'pis', '120.52983.94-7', '12052983947'],
  ['cnh 62472927637', 'cnh', '62472927637', '62472927637'],
  ['título de eleitor 1023 8501 0671', 'voter_id', '1023 8501 0671', '102385010671'],
  ['do ip 200.147.3.157', 'ip', '200.147.3.157', '200.147.3.157'],
  ['2001:db8::8a2e:370:7334', 'ip', '2001:db8::8a2e:370:7334', '2001:db8::8a2e:370:7334'],
  ['BRA2E19', 'plate', 'BRA2E19', 'BRA2E19'],
  ['a placa é abc-1234', 'plate', 'abc-1234', 'ABC1234'],
  ['nasci em 12 de março de 1990', 'birth_date', '12 de março de 1990', '1990-03-12'],
  ['data de nascimento: 05/11/85', 'birth_date', '05/11/85', '1985-11-05'],
  ['meu nome é Ana Clara de Souza e queria', 'name', 'Ana Clara de Souza', 'Ana Clara de Souza'],
  ['falar com a Dra. Helena', 'name', 'Helena', 'Helena'],
];

const NOTHING = [
  '529.982.247-26',
  '111.111.111-11',
  '00.000.000/0000-00',
  'LBNXQOB5000163',
  '12.ABC.345/01DE-36',
  'pedido 123456789',
  'R$ 1.234.567,89',
  '4111 1111 1111 1112',
  'GB82 WEST 1234 5698 7654 33',
  EVP,
  BR_CODE.replace('1D3D', '1D3E'),
  '23793.38128 60007.827136 95000.063305 8 75520000370000',
  'versão 1.2.3',
  'das 12:30 às 18:00',
  'entrega em 12/12/2025',
  '10 20 30 40 50 60',
  '(20) 8765-4321',
  '+999 12345678',
  'meu nome é importante',
  'a senha é fácil',
  'ABC-1234',
  'a@b',
];

const typeIn = (text: string) => recognize(text).map(({ type }) => type);

describe('recognize', () => {
  it.each(FOUND)('%s → %s', (text, type, value, normalized) => {
    const start = text.indexOf(value);
    const [span, ...more] = recognize(text);
    expect(span).toMatchObject({ type, value, normalized, start, end: start + value.length });
    expect(more).toEqual([]);
    expect(span?.score).toBeGreaterThanOrEqual(0.5);
    expect(span?.score).toBeLessThanOrEqual(1);
  });

  it.each(NOTHING)('finds nothing in %s', (text) => {
    expect(recognize(text)).toEqual([]);
  });

  it('lets the words before decide what eleven digits are', () => {
    // A valid CPF that is also a mobile number of São Paulo.
    const both = '11987654374';
    expect(typeIn(`cpf ${both}`)).toEqual(['cpf']);
    expect(typeIn(`meu zap é ${both}`)).toEqual(['phone']);
    expect(typeIn(`cpf 529.982.247-25 e telefone ${both}`)).toEqual(['cpf', 'phone']);
  });

  it.each([
    ['an OpenAI key', `sk-proj-${'aB3'.repeat(12)}`],
    ['an AWS key', 'AKIAIOSFODNN7EXAMPLE'],
    ['a signed token', `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.${'x'.repeat(20)}`],
  ])('finds %s', (_, key) => {
    expect(recognize(`usa ${key} aí`)).toMatchObject([{ type: 'secret', value: key }]);
  });

  it('finds each line of a private key, also in quoted text', () => {
    const lines = ['MIIEvQIBADANBgkqhkiG9w0B', 'AQEFAASCBKcwggSjAgEAAoIB'];
    const pem = `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----`;
    for (const text of [pem, JSON.stringify(pem)]) expect(recognize(text).map(({ value }) => value)).toEqual(lines);
  });

  it('gives the place of a type that is not looked for to what lies inside it', () => {
    const text = 'https://loja.example/c?cpf=529.982.247-25';
    expect(recognize(text)).toMatchObject([{ type: 'url' }]);
    expect(recognize(text, { types: new Set(['cpf']) })).toMatchObject([{ type: 'cpf', value: '529.982.247-25' }]);
  });

  it('leaves out what is allowed, however it is written', () => {
    const allow = new Set(['+5511987654321']);
    expect(recognize('(11) 98765-4321 ou (11) 98765-4322', { allow })).toMatchObject([{ value: '(11) 98765-4322' }]);
  });
});
