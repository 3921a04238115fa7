import type { Templates } from '#src/ai/local/templates.ts';

/** Replies in Portuguese. `{slot}` is filled from the conversation; a `[part]` whose slot is unknown is left out. They promise and state nothing. */
export const pt: Templates = {
  greeting: {
    friendly: 'Oi[, {name}]! Tudo bem? 😊 Como posso te ajudar?',
    neutral: 'Olá[, {name}]! Como posso ajudar?',
    formal: 'Olá[, {name}]. Agradecemos o seu contato. Em que podemos ajudar?',
  },
  thanks: {
    friendly: 'Eu que agradeço[, {name}]! 😊 Qualquer coisa é só chamar.',
    neutral: 'De nada[, {name}]! Fico à disposição.',
    formal: 'Agradecemos a sua mensagem[, {name}]. Permanecemos à disposição.',
  },
  product_inquiry: {
    friendly: 'Oi[, {name}]! Vou conferir a disponibilidade[ de {product}] e já te falo, tá?',
    neutral: 'Olá[, {name}]! Vou verificar a disponibilidade[ de {product}] e retorno em seguida.',
    formal:
      'Agradecemos o interesse[, {name}]. Verificaremos a disponibilidade[ de {product}] e retornaremos em seguida.',
  },
  pricing: {
    friendly: 'Oi[, {name}]! Vou confirmar o valor[ de {product}] e já te passo certinho 😉',
    neutral: 'Olá[, {name}]! Vou confirmar o valor[ de {product}] e envio em seguida.',
    formal: 'Agradecemos o contato[, {name}]. Confirmaremos o valor[ de {product}] e o enviaremos em seguida.',
  },
  priced: {
    friendly: 'Oi[, {name}]! O valor[ de {product}] é {price} 😉 Quer que eu já separe pra você?',
    neutral: 'Olá[, {name}]! O valor[ de {product}] é {price}. Deseja seguir com o pedido?',
    formal: 'Agradecemos o contato[, {name}]. O valor[ de {product}] é {price}. Deseja prosseguir com o pedido?',
  },
  purchase: {
    friendly:
      'Que ótimo[, {name}]! 😊 Me confirma a quantidade e a forma de pagamento pra eu seguir com o pedido[ de {product}]?',
    neutral:
      'Perfeito[, {name}]! Pode confirmar a quantidade e a forma de pagamento para seguirmos com o pedido[ de {product}]?',
    formal:
      'Agradecemos a preferência[, {name}]. Por gentileza, confirme a quantidade e a forma de pagamento para prosseguirmos com o pedido[ de {product}].',
  },
  support: {
    friendly: 'Oi[, {name}]! Vou te ajudar com isso. Me manda o número do pedido ou um print do que aparece aí?',
    neutral:
      'Olá[, {name}]! Vou verificar isso. Pode me enviar o número do pedido ou mais detalhes do que está acontecendo?',
    formal:
      'Olá[, {name}]. Para que possamos verificar, por gentileza, informe o número do pedido e descreva o ocorrido.',
  },
  complaint: {
    friendly: 'Poxa[, {name}], sinto muito por isso 😔 Me passa o número do pedido pra eu ver agora o que aconteceu?',
    neutral:
      'Sinto muito pelo transtorno[, {name}]. Pode me informar o número do pedido para eu verificar o que aconteceu?',
    formal:
      'Lamentamos o ocorrido[, {name}]. Por gentileza, informe o número do pedido para que possamos apurar o que aconteceu.',
  },
  information: {
    friendly: 'Oi[, {name}]! Deixa eu confirmar essa informação e já te respondo, tá bom?',
    neutral: 'Olá[, {name}]! Vou confirmar essa informação e respondo em seguida.',
    formal: 'Agradecemos o contato[, {name}]. Confirmaremos essa informação e responderemos em seguida.',
  },
  scheduling: {
    friendly: 'Claro[, {name}]! Qual dia e horário ficam melhores pra você?',
    neutral: 'Vamos agendar[, {name}]. Qual dia e horário você prefere?',
    formal: 'Será um prazer agendar[, {name}]. Por gentileza, informe o dia e o horário de sua preferência.',
  },
  cancellation: {
    friendly:
      'Entendi[, {name}]! Me passa o número do pedido pra eu ver o cancelamento? Se quiser, me conta o motivo também.',
    neutral: 'Certo[, {name}]. Pode me informar o número do pedido e o motivo do cancelamento?',
    formal:
      'Recebemos a sua solicitação[, {name}]. Por gentileza, informe o número do pedido e o motivo do cancelamento.',
  },
  other: {
    friendly: 'Oi[, {name}]! Me conta um pouquinho mais pra eu te ajudar melhor? 😊',
    neutral: 'Olá[, {name}]! Pode me dar mais detalhes para eu ajudar?',
    formal: 'Olá[, {name}]. Por gentileza, poderia fornecer mais detalhes?',
  },
  acknowledge: {
    friendly: 'Recebido[, {name}]! Vou dar uma olhada e já te respondo 👍',
    neutral: 'Mensagem recebida[, {name}]. Vou verificar e respondo em seguida.',
    formal: 'Recebemos a sua mensagem[, {name}]. Verificaremos e responderemos em seguida.',
  },
};
