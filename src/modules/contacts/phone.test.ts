import { describe, expect, it } from 'vitest';
import { parsePhone, phoneForms, phoneOfWaId } from '#src/modules/contacts/phone.ts';

describe('phone numbers', () => {
  it.each([
    ['(11) 98765-4321', '+5511987654321'],
    ['11 8765-4321', '+5511987654321'],
    ['+55 11 8765-4321', '+5511987654321'],
    ['0 11 98765 4321', '+5511987654321'],
    ['(11) 3456-7890', '+551134567890'],
    ['+1 212 555 2368', '+12125552368'],
    ['+351 912 345 678', '+351912345678'],
  ])('reads %s', (text, phone) => expect(parsePhone(text)).toBe(phone));

  it.each(['', 'Ana', '123', '+55 11 1234', '+999 1234567', '00 98765-4321'])('refuses %j', (text) =>
    expect(parsePhone(text)).toBeNull(),
  );

  it('takes the country of the workspace for numbers without one', () =>
    expect(parsePhone('912 345 678', 'PT')).toBe('+351912345678'));

  it('knows a Brazilian mobile also without its ninth digit, and nothing else under two forms', () => {
    expect(phoneForms('+5511987654321')).toEqual(['+5511987654321', '+551187654321']);
    expect(phoneForms('+551134567890')).toEqual(['+551134567890']);
    expect(phoneForms('+12125552368')).toEqual(['+12125552368']);
  });

  it('reads the phone out of a WhatsApp id, in either form', () => {
    expect(phoneOfWaId('551187654321@c.us')).toBe('+5511987654321');
    expect(phoneOfWaId('5511987654321')).toBe('+5511987654321');
    expect(phoneOfWaId('128312839@lid')).toBeNull();
  });
});
