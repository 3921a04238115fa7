import { expect, it } from 'vitest';
import { isOptOut } from '#src/modules/campaigns/opt-out-words.ts';

it.each([
  'SAIR',
  'sair!',
  ' Parar. ',
  'quero sair',
  'Sair, por favor',
  'STOP',
  'Please stop',
  'unsubscribe',
  'Opt-out',
  'não quero mais receber',
  '🛑 stop',
])('takes %s for a no', (text) => expect(isOptOut(text)).toBe(true));

it.each([
  '',
  '🛑',
  'não posso sair hoje',
  'stop by tomorrow?',
  'quero',
  'quero cancelar o pedido 17',
  'saír daqui vou mais tarde',
  's'.repeat(100),
])('leaves %s to people', (text) => expect(isOptOut(text)).toBe(false));

it('knows the words of a workspace besides', () => {
  expect(isOptOut('Chega!')).toBe(false);
  expect(isOptOut('Chega!', ['chega'])).toBe(true);
});
