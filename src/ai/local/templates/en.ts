import type { Templates } from '#src/ai/local/templates.ts';

/** Replies in English; the same rules as the Portuguese ones. */
export const en: Templates = {
  greeting: {
    friendly: 'Hi[ {name}]! 😊 How can I help you?',
    neutral: 'Hello[ {name}]! How can I help?',
    formal: 'Hello[ {name}]. Thank you for contacting us. How may we help you?',
  },
  thanks: {
    friendly: "You're very welcome[, {name}]! 😊 Just message me any time.",
    neutral: "You're welcome[, {name}]! I'm here if you need anything else.",
    formal: 'Thank you for your message[, {name}]. We remain at your disposal.',
  },
  product_inquiry: {
    friendly: 'Hi[ {name}]! Let me check the availability[ of {product}] and get right back to you.',
    neutral: 'Hello[ {name}]! I will check the availability[ of {product}] and reply shortly.',
    formal: 'Thank you for your interest[, {name}]. We will verify the availability[ of {product}] and reply shortly.',
  },
  pricing: {
    friendly: "Hi[ {name}]! Let me confirm the price[ of {product}] and I'll get right back to you 😉",
    neutral: 'Hello[ {name}]! I will confirm the price[ of {product}] and send it to you shortly.',
    formal:
      'Thank you for contacting us[, {name}]. We will confirm the price[ of {product}] and send it to you shortly.',
  },
  priced: {
    friendly: 'Hi[ {name}]! The price[ of {product}] is {price} 😉 Shall I set it aside for you?',
    neutral: 'Hello[ {name}]! The price[ of {product}] is {price}. Would you like to order?',
    formal:
      'Thank you for contacting us[, {name}]. The price[ of {product}] is {price}. Would you like to proceed with the order?',
  },
  purchase: {
    friendly: 'Great[, {name}]! 😊 How many would you like, and how do you want to pay?',
    neutral: 'Perfect[, {name}]! Could you confirm the quantity and the payment method[ for {product}]?',
    formal: 'Thank you for your order[, {name}]. Please confirm the quantity and the payment method[ for {product}].',
  },
  support: {
    friendly: "Hi[ {name}]! Let's sort this out. Could you send me your order number or a screenshot?",
    neutral: 'Hello[ {name}]! I will look into this. Could you send the order number or more details of what happens?',
    formal:
      'Hello[ {name}]. So that we can look into this, please send us the order number and describe what happened.',
  },
  complaint: {
    friendly:
      "I'm really sorry about that[, {name}] 😔 Could you send me your order number so I can check what happened?",
    neutral:
      'I am sorry about the trouble[, {name}]. Could you send the order number so that I can check what happened?',
    formal:
      'We apologise for the inconvenience[, {name}]. Please send us the order number so that we can look into what happened.',
  },
  information: {
    friendly: 'Hi[ {name}]! Let me confirm that and get right back to you, ok?',
    neutral: 'Hello[ {name}]! I will confirm this information and reply shortly.',
    formal: 'Thank you for contacting us[, {name}]. We will confirm this information and reply shortly.',
  },
  scheduling: {
    friendly: 'Sure[, {name}]! What day and time work best for you?',
    neutral: "Let's schedule it[, {name}]. Which day and time do you prefer?",
    formal: 'We will be pleased to schedule it[, {name}]. Please tell us the day and time you prefer.',
  },
  cancellation: {
    friendly:
      "Got it[, {name}]! Could you send me the order number so I can look at the cancellation? I'd also love to know why.",
    neutral: 'Understood[, {name}]. Could you send the order number and the reason for the cancellation?',
    formal:
      'We have received your request[, {name}]. Please send us the order number and the reason for the cancellation.',
  },
  other: {
    friendly: 'Hi[ {name}]! Could you tell me a bit more so I can help? 😊',
    neutral: 'Hello[ {name}]! Could you give me more details so that I can help?',
    formal: 'Hello[ {name}]. Could you please provide us with more details?',
  },
  acknowledge: {
    friendly: "Got it[, {name}]! I'll take a look and get right back to you 👍",
    neutral: 'Message received[, {name}]. I will check and reply shortly.',
    formal: 'We have received your message[, {name}]. We will review it and reply shortly.',
  },
};
