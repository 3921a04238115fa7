import { phraseTable } from '#src/ai/local/lexicon.ts';
import { polarityNumbers, polarityOf } from '#src/ai/local/polarity.ts';
import { wordsOf } from '#src/ai/local/words.ts';

/** What customers write to a shop for. */
export const INTENTS = [
  'greeting',
  'product_inquiry',
  'pricing',
  'purchase',
  'support',
  'complaint',
  'information',
  'scheduling',
  'cancellation',
  'other',
] as const;
export type Intent = (typeof INTENTS)[number];

/** Cues in Portuguese, English and Spanish by intent and weight; spelling rules as in the sentiment lists. */
const CUES: Partial<Record<Intent, [weight: number, cues: string][]>> = {
  greeting: [
    [
      1,
      `oi, oie, oii, ola, opa, e ai, eai, bom dia, boa tarde, boa noite, tudo bem, td bem, hello, hi, hey, good morning, good afternoon,
      good evening, hola, buenos dias, buenas tardes, buenas noches, buen dia, que tal`,
    ],
  ],
  product_inquiry: [
    [
      2,
      `tem disponivel, tem em estoque, tem na cor, tem no tamanho, tem tamanho, ainda tem, voces tem, vcs tem, voces vendem, vcs vendem, quais modelos, quais cores,
      quais os modelos, quais sabores, catalogo, cardapio, estoque, pronta entrega, do you have, do you sell, in stock, available in, catalog*, which models, what colors, what sizes,
      tienen, venden, hay stock, disponibilidad, catalogo`,
    ],
    [
      1,
      `produto*, modelo*, tamanho*, cor, cores, voltagem, marca, material, garantia, disponive*, medidas, sabores, product*, model, size, sizes, color*, colour*, brand,
      warranty, available, talla, color, modelo, tamano, medida*`,
    ],
  ],
  pricing: [
    [
      3,
      `quanto custa, quanto e, quanto fica, quanto sai, quanto ta, qual o valor, qual valor, qual o preco, qual e o preco, qual e o valor, qual preco, valor do, preco do, preco da, valor da,
      how much, what's the price, price of, cuanto cuesta, cuanto es, cuanto vale, que precio, cual es el precio`,
    ],
    [
      2,
      `preco*, valor, valores, orcamento, desconto*, promocao, promocoes, parcel*, frete gratis, tabela de precos, custo, custa, price*, pricing, cost, costs, quote, discount*,
      cheaper, installments, precio*, costo, descuento*, cuotas, presupuesto`,
    ],
    [1, `frete, caro, barato, pix, boleto, shipping, envio`],
  ],
  purchase: [
    [
      3,
      `quero comprar, vou querer, vou levar, quero levar, quero fechar, pode fechar, fechar pedido, fazer um pedido, fazer o pedido, quero pedir, quero encomendar, como compro, como faco para comprar,
      i want to buy, i'd like to buy, i'll take, want to order, place an order, i'd like to order, quiero comprar, me lo llevo, quiero pedir, hacer un pedido`,
    ],
    [
      2,
      `comprar, encomendar, reservar um, link de pagamento, chave pix, me manda o pix, como pago, forma de pagamento, formas de pagamento, aceita cartao, aceitam cartao, aceitam pix, aceita pix,
      segue o comprovante, comprovante, buy, purchase, checkout, payment link, pay by card, how do i pay, pagar, forma de pago, medios de pago`,
    ],
  ],
  support: [
    [
      3,
      `nao funciona, nao funcionou, nao liga, nao abre, nao carrega, nao consigo, nao consegui, esqueci a senha, esqueci minha senha, trocar a senha, deu erro, da erro, suporte tecnico, assistencia tecnica,
      doesn't work, not working, can't log, cannot log, can't access, forgot my password, technical support, reset my password, no funciona, no puedo entrar, olvide mi contrasena`,
    ],
    [
      2,
      `ajuda, suporte, problema*, erro, senha, acesso, login, instalar, instalacao, configurar, travou, travando, defeito, trocar o produto, troca, garantia do meu,
      help, support, issue*, problem*, error, password, install*, configur*, broken, ayuda, soporte, contrasena, cambio`,
    ],
    [
      2,
      `rastreio, rastrear, rastreamento, codigo de rastreio, onde esta meu pedido, status do pedido, status do meu pedido, cade meu pedido, meu pedido, tracking, track my, where is my order, my order,
      order status, mi pedido, donde esta mi`,
    ],
  ],
  complaint: [
    [
      3,
      `pessim*, horrive*, absurdo, descaso, inaceitave*, reclama*, procon, decepcion*, indignad*, vergonha, palhacada, nunca mais, dinheiro de volta, ninguem responde, ninguem resolve, propaganda enganosa,
      terrible, horrible, awful, worst, unacceptable, complain*, disappoint*, money back, nobody answers, scam, pesim*, quej*, inaceptable, estafa, devuelvan`,
    ],
    [
      2,
      `demora, demorou, atras*, nao chegou, ainda nao, veio errado, veio quebrad*, veio com defeito, quebrad*, insatisfeit*, reembolso, estorno, cobraram, late, delay*, still waiting, never arrived,
      didn't arrive, hasn't arrived, wrong item, wrong size, refund, rude, no llego, no ha llegado, tarde y, roto, rota, reembolso, mala atencion`,
    ],
  ],
  information: [
    [
      3,
      `qual o endereco, qual e o endereco, onde fica, onde voces ficam, que horas abre*, horario de funcionamento, horario de atendimento, qual o horario, abrem no, abre no, aberto*, aos domingos, aos sabados,
      loja fisica, where are you, what's your address, opening hours, what time do you, are you open, donde estan, donde queda, horario de atencion, a que hora abren`,
    ],
    [
      2,
      `entregam em, entrega em, fazem entrega, prazo de entrega, quanto tempo, qual o prazo, como funciona, mais informacoes, informacao, informacoes, saber mais, gostaria de saber, queria saber, endereco, horario,
      nota fiscal, segunda via, politica de, do you ship, do you deliver, how long, more information, how does it work, address, hours, invoice, hacen envios, cuanto tarda, mas informacion, direccion, factura`,
    ],
  ],
  scheduling: [
    [
      3,
      `agendar, agendamento, marcar um horario, marcar horario, marcar uma, marcar consulta, remarcar, reagendar, tem horario, tem vaga, horario disponivel, desmarcar, schedul*, reschedul*, book an, book a, appointment*,
      set up a call, agendar, cita, reservar turno, turno, reprogramar`,
    ],
    [
      1,
      `reuniao, visita, consulta, amanha, segunda feira, terca feira, quarta feira, quinta feira, sexta feira, sabado, domingo, meeting, visit, tomorrow, monday, tuesday, wednesday, thursday, friday, saturday,
      reunion, manana, lunes, martes, miercoles, jueves, viernes`,
    ],
  ],
  cancellation: [
    [
      4,
      `cancelar, cancelamento, cancela, cancelem, cancelei, quero cancelar, encerrar minha conta, encerrar a conta, desistir da compra, desisti, cancel, cancellation, cancel my, unsubscribe, close my account, cancelar mi,
      cancelacion, dar de baja, darme de baja`,
    ],
  ],
};

const table = phraseTable(
  INTENTS.flatMap((intent) =>
    (CUES[intent] ?? []).map(([weight, list]) => [{ intent, weight }, list] as const),
  ).toSorted((a, b) => b[0].weight - a[0].weight),
);

const READ_AT_MOST = 4000;

/** The weight of a text's cues for each intent that has any. Linear in the text. */
export function cuesOf(text: string): Map<Intent, number> {
  const words = wordsOf(text.slice(0, READ_AT_MOST));
  const scores = new Map<Intent, number>();
  for (let at = 0; at < words.length;) {
    const found = table.find(words, at);
    if (found) scores.set(found.value.intent, (scores.get(found.value.intent) ?? 0) + found.value.weight);
    at += found?.length ?? 1;
  }
  return scores;
}

/** What a model of intents reads beside words: each intent's cues as 0 to 1, 1 where there are none, and how the text feels. */
export function intentNumbers(text: string): number[] {
  const cues = cuesOf(text);
  const scores = INTENTS.map((intent) => cues.get(intent) ?? 0);
  return [...scores.map((score) => score / (score + 2)), cues.size === 0 ? 1 : 0, ...polarityNumbers(polarityOf(text))];
}
