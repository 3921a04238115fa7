import { randomBytes, randomInt } from 'node:crypto';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  blindIndex,
  headOf,
  normalise,
  open,
  seal,
  unwrapKey,
  versionOf,
  wrapKey,
  type Place,
} from '#src/lib/envelope.ts';
import { anyChar } from '#test/any-char.ts';

const key = randomBytes(32);
const place: Place = { table: 'channel', column: 'credentials', workspaceId: 'w1', rowId: 'r1' };

it('opens what it sealed, and says which version it was sealed with', () => {
  fc.assert(
    fc.property(fc.string({ unit: anyChar }), fc.nat(), (text, version) => {
      const sealed = seal(key, version, place, text);
      expect(open(key, place, sealed)).toBe(text);
      expect(versionOf(sealed)).toBe(version);
      expect(sealed.subarray(0, 5).equals(headOf(version))).toBe(true);
    }),
  );
  expect(() => seal(key, 1, place, 'half \ud800 a pair')).toThrow(TypeError);
});

it.each([
  ['another table', { table: 'webhook' }],
  ['another column', { column: 'secret' }],
  ['another workspace', { workspaceId: 'w2' }],
  ['another row', { rowId: 'r2' }],
  ['a row whose id borrows of the workspace', { workspaceId: 'w1|r', rowId: '1' }],
])('opens nothing in %s', (_, moved) => {
  const sealed = seal(key, 1, place, 'segredo');
  expect(() => open(key, { ...place, ...moved }, sealed)).toThrow();
});

it('opens nothing with another key, nothing that was changed, nothing cut short', () => {
  const sealed = seal(key, 1, place, 'segredo');
  expect(() => open(randomBytes(32), place, sealed)).toThrow();
  for (let round = 0; round < 1000; round += 1) {
    const changed = Buffer.from(sealed);
    const bit = randomInt(changed.length * 8);
    changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    expect(() => open(key, place, changed)).toThrow();
  }
  for (let length = 0; length < sealed.length; length += 1) {
    expect(() => open(key, place, sealed.subarray(0, length))).toThrow();
  }
});

it('never seals twice alike', () => {
  const seen = new Set(Array.from({ length: 20_000 }, () => seal(key, 1, place, '').toString('base64')));
  expect(seen.size).toBe(20_000);
});

it('wraps a key under its name only', () => {
  const wrapped = wrapKey(key, 'a', randomBytes(32));
  expect(unwrapKey(key, 'a', wrapped)).toHaveLength(32);
  expect(() => unwrapKey(key, 'b', wrapped)).toThrow();
  expect(() => unwrapKey(randomBytes(32), 'a', wrapped)).toThrow();
});

it('finds all spellings of an address or a phone, and nothing across workspaces, tables and columns', () => {
  const column = { table: 'contact', column: 'phone' };
  const code = (value: string, over = {}, with_ = key) =>
    blindIndex(with_, { ...column, ...over }, 'phone', value).toString('hex');
  const one = code('+55 (11) 98765-4321');
  expect(code('+5511987654321')).toBe(one);
  expect(one).toHaveLength(16);
  const others = [
    code('+5511987654322'),
    code('+5511987654321', { table: 'suppression' }),
    code('+5511987654321', { column: 'mobile' }),
    code('+5511987654321', {}, randomBytes(32)),
  ];
  expect(new Set([one, ...others]).size).toBe(5);
  expect(normalise('email', ' Ana.Ｓouza@Example.COM ')).toBe('ana.souza@example.com');
  for (const wrong of ['11987654321', '+0511', 'ana', '+55119876543219999']) {
    expect(() => normalise('phone', wrong)).toThrow(TypeError);
  }
});
