import { expect, it } from 'vitest';
import { intentOf } from '#src/ai/local/intent.ts';

it.each([
  ['oi, tudo bem?', 'greeting'],
  ['Boa tarde! Quanto custa a entrega no Centro?', 'pricing'],
  ['qual o valor do bolo de cenoura?', 'pricing'],
  ['vcs tem esse tênis no 42?', 'product_inquiry'],
  ['ainda tem da cor preta?', 'product_inquiry'],
  ['quero comprar dois, como faço?', 'purchase'],
  ['me manda o pix', 'purchase'],
  ['não consigo entrar na minha conta, esqueci a senha', 'support'],
  ['cadê meu pedido?', 'support'],
  ['Péssimo atendimento, ninguém responde', 'complaint'],
  ['meu pedido veio quebrado, quero reembolso', 'complaint'],
  ['qual o horário de funcionamento?', 'information'],
  ['vocês entregam em Niterói?', 'information'],
  ['quero agendar para terça às 10h', 'scheduling'],
  ['preciso cancelar meu pedido', 'cancellation'],
  ['How much is the blue one?', 'pricing'],
  ['do you have it in stock?', 'product_inquiry'],
  ['my order never arrived, I want my money back', 'complaint'],
  ['I want to cancel my subscription', 'cancellation'],
  ['can I book an appointment for tomorrow', 'scheduling'],
  ['¿cuánto cuesta el envío?', 'pricing'],
  ['quiero comprar dos unidades', 'purchase'],
  ['xyz', 'other'],
])('%s wants %s', (text, intent) => expect(intentOf(text).intent).toBe(intent));

it('is surer the more evidence points one way', () => {
  const thin = intentOf('frete');
  const strong = intentOf('Qual o valor? Quanto custa com desconto?');
  expect(strong.confidence).toBeGreaterThan(thin.confidence);
  expect(intentOf('quero comprar, mas primeiro: quanto custa?').subIntents.length).toBe(1);
});
