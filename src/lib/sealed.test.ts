import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { openText, sealText } from '#src/lib/sealed.ts';

const secret = randomBytes(32).toString('base64');

it('opens what it sealed, at its own place and with its own secret only', () => {
  for (const text of ['', 'segredo', 'ação 💬', 'x'.repeat(100_000)]) {
    expect(openText(secret, 'table.column:1', sealText(secret, 'table.column:1', text))).toBe(text);
  }
  const sealed = sealText(secret, 'table.column:1', 'segredo');
  expect(sealed.includes('segredo')).toBe(false);
  expect(sealText(secret, 'table.column:1', 'segredo')).not.toEqual(sealed);
  expect(() => openText(secret, 'table.column:2', sealed)).toThrow();
  expect(() => openText(randomBytes(32).toString('base64'), 'table.column:1', sealed)).toThrow();
});

it('opens nothing of which a bit was changed, or a part cut off', () => {
  const sealed = sealText(secret, 'p', 'segredo');
  for (let bit = 0; bit < sealed.length * 8; bit += 1) {
    const changed = Buffer.from(sealed);
    changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    expect(() => openText(secret, 'p', changed)).toThrow();
  }
  for (let length = 0; length < sealed.length; length += 1) {
    expect(() => openText(secret, 'p', sealed.subarray(0, length))).toThrow();
  }
});
