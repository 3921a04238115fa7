import type { Templates } from '#src/ai/local/templates.ts';

/** Replies in Spanish; the same rules as the Portuguese ones. */
export const es: Templates = {
  greeting: {
    friendly: '¡Hola[, {name}]! 😊 ¿En qué te puedo ayudar?',
    neutral: 'Hola[, {name}]. ¿En qué puedo ayudar?',
    formal: 'Hola[, {name}]. Agradecemos su contacto. ¿En qué podemos ayudarle?',
  },
  thanks: {
    friendly: '¡Gracias a ti[, {name}]! 😊 Cualquier cosa, me escribes.',
    neutral: '¡De nada[, {name}]! Quedo a disposición.',
    formal: 'Agradecemos su mensaje[, {name}]. Quedamos a su disposición.',
  },
  product_inquiry: {
    friendly: '¡Hola[, {name}]! Reviso la disponibilidad[ de {product}] y te cuento.',
    neutral: 'Hola[, {name}]. Voy a verificar la disponibilidad[ de {product}] y respondo enseguida.',
    formal:
      'Agradecemos su interés[, {name}]. Verificaremos la disponibilidad[ de {product}] y le responderemos enseguida.',
  },
  pricing: {
    friendly: '¡Hola[, {name}]! Confirmo el precio[ de {product}] y te lo paso 😉',
    neutral: 'Hola[, {name}]. Voy a confirmar el precio[ de {product}] y lo envío enseguida.',
    formal: 'Agradecemos su contacto[, {name}]. Confirmaremos el precio[ de {product}] y se lo enviaremos enseguida.',
  },
  priced: {
    friendly: '¡Hola[, {name}]! El precio[ de {product}] es {price} 😉 ¿Te lo reservo?',
    neutral: 'Hola[, {name}]. El precio[ de {product}] es {price}. ¿Desea seguir con el pedido?',
    formal: 'Agradecemos su contacto[, {name}]. El precio[ de {product}] es {price}. ¿Desea continuar con el pedido?',
  },
  purchase: {
    friendly: '¡Genial[, {name}]! 😊 ¿Me confirmas la cantidad y la forma de pago[ de {product}]?',
    neutral: 'Perfecto[, {name}]. ¿Puede confirmar la cantidad y la forma de pago[ de {product}]?',
    formal: 'Agradecemos su preferencia[, {name}]. Por favor, confirme la cantidad y la forma de pago[ de {product}].',
  },
  support: {
    friendly: '¡Hola[, {name}]! Te ayudo con eso. ¿Me pasas el número de pedido o una captura?',
    neutral: 'Hola[, {name}]. Voy a revisarlo. ¿Puede enviar el número de pedido o más detalles?',
    formal: 'Hola[, {name}]. Para poder revisarlo, por favor indíquenos el número de pedido y lo ocurrido.',
  },
  complaint: {
    friendly: 'Lo siento mucho[, {name}] 😔 ¿Me pasas el número de pedido para ver qué pasó?',
    neutral: 'Lamento el inconveniente[, {name}]. ¿Puede enviar el número de pedido para verificar qué pasó?',
    formal: 'Lamentamos lo ocurrido[, {name}]. Por favor, indíquenos el número de pedido para revisar lo sucedido.',
  },
  information: {
    friendly: '¡Hola[, {name}]! Confirmo esa información y te respondo, ¿sí?',
    neutral: 'Hola[, {name}]. Voy a confirmar esa información y respondo enseguida.',
    formal: 'Agradecemos su contacto[, {name}]. Confirmaremos esa información y le responderemos enseguida.',
  },
  scheduling: {
    friendly: '¡Claro[, {name}]! ¿Qué día y hora te vienen mejor?',
    neutral: 'Vamos a agendarlo[, {name}]. ¿Qué día y hora prefiere?',
    formal: 'Será un placer agendarlo[, {name}]. Por favor, indíquenos el día y la hora de su preferencia.',
  },
  cancellation: {
    friendly:
      'Entiendo[, {name}]. ¿Me pasas el número de pedido para ver la cancelación? Si quieres, cuéntame el motivo.',
    neutral: 'De acuerdo[, {name}]. ¿Puede enviar el número de pedido y el motivo de la cancelación?',
    formal:
      'Hemos recibido su solicitud[, {name}]. Por favor, indíquenos el número de pedido y el motivo de la cancelación.',
  },
  other: {
    friendly: '¡Hola[, {name}]! ¿Me cuentas un poco más para poder ayudarte? 😊',
    neutral: 'Hola[, {name}]. ¿Puede darme más detalles para poder ayudar?',
    formal: 'Hola[, {name}]. Por favor, ¿podría darnos más detalles?',
  },
  acknowledge: {
    friendly: '¡Recibido[, {name}]! Lo reviso y te respondo 👍',
    neutral: 'Mensaje recibido[, {name}]. Voy a verificar y respondo enseguida.',
    formal: 'Hemos recibido su mensaje[, {name}]. Lo revisaremos y le responderemos enseguida.',
  },
};
