import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { csvLine, withoutGuard } from '#src/lib/csv.ts';
import { maskText, redact } from '#src/lib/redact.ts';

const CANARY = 'canary-5f1c9e';

describe('redact', () => {
  it.each([
    'password',
    'newPassword',
    'password_hash',
    'secret',
    'clientSecret',
    'token',
    'refreshToken',
    'accessTokens',
    'apiKey',
    'APIKey',
    'api_key',
    'refreshKey',
    'keys',
    'ai.providerKey.openai',
    'totpSeed',
    'otp',
    'pin',
    'hash',
    'salt',
    'Authorization',
    'proxy-authorization',
    'cookie',
    'Set-Cookie',
    'credentials',
    'recoveryCodes',
    'x-signature',
    'jwt',
  ])('blanks what stands under %s, whatever it is', (key) => {
    for (const value of [CANARY, [CANARY], { deep: { er: CANARY } }, 123_456]) {
      expect(redact({ outer: [{ [key]: value }] })).toEqual({ outer: [{ [key]: '[redacted]' }] });
    }
    expect(redact({ [key]: null, [`${key}Set`]: true })).toEqual({ [key]: null, [`${key}Set`]: true });
  });

  it.each([
    ['ana.lima@example.com', 'a***@example.com'],
    ['to Ana <ana.lima@example.com>, now', 'to Ana <a***@example.com>, now'],
    ['+55 (11) 98765-4321', '***21'],
    ['call 11987654321 or 011 98765 4322', 'call ***21 or ***22'],
    ['123.456.789-09', '***09'],
    ['12.345.678/0001-95', '***95'],
    ['5511987654321@s.whatsapp.net', '5***@s.whatsapp.net'],
    ['0199f2a0-1234-7123-8123-123456789012', '0199f2a0-1234-7123-8123-123456789012'],
    ['2026-11-24T03:05:31.123Z', '2026-11-24T03:05:31.123Z'],
    ['due 2026-11-24, 3 of 12', 'due 2026-11-24, 3 of 12'],
    ['R$ 1.250,00', 'R$ 1.250,00'],
    ['a\0b\ud800', 'ab\ufffd'],
  ])('writes %j as %j', (text, masked) => {
    expect(maskText(text)).toBe(masked);
    expect(redact([{ [text]: true, text }])).toEqual([{ [masked]: true, text: masked }]);
  });

  it('masks numbers under names of contact data, and only those', () => {
    expect(redact({ phone: 11_987_654_321, cpf: '111', amountMinor: 11_987_654_321 })).toEqual({
      phone: '***21',
      cpf: '***',
      amountMinor: 11_987_654_321,
    });
  });

  it('ends for cycles, depth, size and strange values, and is always JSON', () => {
    const cycle: Record<string, unknown> = { name: 'x' };
    cycle['self'] = cycle;
    const shared = { a: 1 };
    let deep: unknown = 'end';
    for (let level = 0; level < 20_000; level += 1) deep = [deep];
    expect(redact(cycle)).toEqual({ name: 'x', self: '[circular]' });
    expect(redact([shared, shared])).toEqual([{ a: 1 }, { a: 1 }]);
    expect(JSON.stringify(redact(deep))).toContain('[deep]');
    expect(JSON.stringify(redact(Array.from({ length: 1e6 }, (_, index) => index))).length).toBeLessThan(20_000);
    expect(JSON.stringify(redact('a'.repeat(5e6))).length).toBeLessThan(2000);
    expect(
      redact({ at: new Date(0), no: new Date(NaN), big: 5n, bytes: Buffer.from('abc'), nan: NaN, f() {} }),
    ).toEqual({ at: '1970-01-01T00:00:00.000Z', no: null, big: '5', bytes: '[3 bytes]', nan: null });
    expect(redact(JSON.parse('{"__proto__":{"x":1}}'))).toEqual(JSON.parse('{"__proto__":{"x":1}}'));
  });

  it('shows no half of an address where a long text is cut', () => {
    for (let pad = 7900; pad < 8010; pad += 1) {
      expect(maskText(`${'x '.repeat(20)}${' '.repeat(pad)}${CANARY}@example.com`)).not.toContain(CANARY);
    }
  });

  it('lets no secret and no contact through, whatever is around them', () => {
    const secretKey = fc.constantFrom('password', 'apiKey', 'token', 'set-cookie', 'clientSecret', 'totp_seed');
    const planted = fc.oneof(
      secretKey.map((key) => ({ [key]: CANARY })),
      secretKey.map((key) => ({ [key]: [{ x: CANARY }] })),
      fc.constant({ note: `write to ${CANARY}@example.com` }),
      fc.constant({ [`${CANARY}@example.com`]: 1 }),
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small' },
        planted,
        fc.anything({
          withBigInt: true,
          withDate: true,
          withNullPrototype: true,
          withTypedArray: true,
          withSparseArray: true,
        }),
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.dictionary(fc.string(), tie('tree'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        const text = JSON.stringify(redact(value));
        expect(text).not.toContain(CANARY);
      }),
      { numRuns: 500 },
    );
  });
});

describe('csvLine', () => {
  it.each([
    '=1+1',
    '+55 11',
    '-x',
    '@ana',
    "'=1",
    "''+x",
    'a;=1',
    'a\n-b',
    '  =1',
    "D'Ávila",
    "'Ana",
    "O'-x",
    '＝1',
    'a\n\n@b',
    "a;'=1",
  ])('is read again as it was: %j', (text) => {
    const cell = csvLine([text]).slice(1, -3);
    expect(cell).not.toMatch(/^\s*[=+\-@＝＋－＠]/);
    expect(withoutGuard(cell)).toBe(text);
  });

  it('quotes every cell, and gives no spreadsheet a formula', () => {
    expect(csvLine(['a"b', 5, null, 'x,\ny'])).toBe('"a""b","5","","x,\ny"\r\n');
    for (const cell of ['=1+1', '+1', '-1', '@x', ' =1', '\ttext', '＝1+1', ' ＠x']) {
      expect(csvLine([cell])).toBe(`"'${cell}"\r\n`);
    }
    expect(csvLine(['\t=1', '\r=1'])).toBe(`"'\t'=1","'\r'=1"\r\n`);
  });

  it('gives none where cells are parted by semicolons either', () => {
    expect(csvLine(['Ana; =1+1;-2;b', ';@x', 'a\n＝1'])).toBe(`"Ana;' =1+1;'-2;b",";'@x","a\n'＝1"\r\n`);
    expect(csvLine(['a; b', 'a=1', '12:30-13:00'])).toBe('"a; b","a=1","12:30-13:00"\r\n');
  });
});
