import { contentWordsOf, fold, stemOf } from '#src/ai/local/words.ts';
import type { Slots } from '#src/ai/local/templates.ts';

/** A conversation as the rules read it. */
export interface Talk {
  /** The customer's last message. */
  message: string;
  /** What the customer wrote, all of it. */
  customer: string;
  /** What the business knows or said: the context and its own messages, one fact per line. */
  background: string;
}

const NAMED_IN_CONTEXT =
  /(?:^|[\n{,;])\s*"?(?:first ?name|contact ?name|customer ?name|name|customer|contact|client|nome|cliente|contato|nombre)"?\s*[:=]\s*"?(\p{Lu}[\p{L}'’-]{1,30})/iu;
const NAMED_IN_TALK =
  /\b(?:meu nome [eé]|me chamo|aqui [eé] [oa]|my name is|me llamo|mi nombre es)\s+(\p{Lu}[\p{L}'’-]{1,30})/u;
const PRICE =
  /(?:R\$|US\$|\$|€|£)\s?\d[\d.,]*\d|(?:R\$|US\$|\$|€|£)\s?\d|\d[\d.,]*\s?(?:reais|euros|dólares|dollars|pesos)\b/giu;
const THING = String.raw`(?:(?:o|a|os|as|um|uma|esse|essa|este|esta|the|this|a|an|any|el|la|los|las|un|una)\s+)?([\p{L}\p{N}-]{3,}(?:\s+(?:\p{N}+[.,]\p{N}+|[\p{L}\p{N}-]+)){0,3})`;
const ASKED_FOR = new RegExp(
  String.raw`(?:valor|pre[çc]o|price|precio)\s+(?:d[eoa]s?|of|del?)\s+${THING}` +
    String.raw`|(?:custam?|cuestan?|how much (?:is|are|for)|do you (?:have|sell)|vocês têm|vcs tem|ainda tem|tienen|comprar|buy|order)\s+${THING}`,
  'iu',
);
/** Words after which a thing's name is over. */
const THING_ENDS =
  /\s+(?:no|na|nos|nas|em|por|para|pra|pro|com|hoje|amanhã|por favor|e|ou|in|on|at|for|to|with|today|tomorrow|please|and|or|en|con|hoy|y|o|aí|ai|disponível|available|disponible)(?:\s.*)?$/iu;

/** The customer's first name, where someone wrote it down. */
function nameIn(talk: Talk): string | undefined {
  return NAMED_IN_TALK.exec(talk.customer)?.[1] ?? NAMED_IN_CONTEXT.exec(talk.background)?.[1];
}

/** What the last message asks about, in the customer's own words. */
function productIn(message: string): string | undefined {
  const match = ASKED_FOR.exec(message.slice(0, 500));
  return (match?.[1] ?? match?.[2])?.replace(THING_ENDS, '').trim() || undefined;
}

const PRICE_FIELD = /^\s*"?(?:preço|preco|price|precio)[^:]*:/iu;

/**
 * The price the background states for the product: in the same sentence, or in the price field of the same record. None where it names
 * several, and none from any other field: what a deal is worth or a customer once paid is not what a thing costs.
 */
function priceOf(product: string, background: string): string | undefined {
  const stems = new Set(contentWordsOf(product).map(stemOf));
  const isAbout = (text: string) => contentWordsOf(text).some((word) => stems.has(stemOf(word)));
  const told = background
    .split('\n')
    .filter(isAbout)
    .flatMap((line) => line.split(/;\s|\.\s/u).filter((part) => isAbout(part) || PRICE_FIELD.test(part)));
  const prices = new Set(told.flatMap((part) => part.match(PRICE) ?? []).map((price) => price.replace(/[.,]$/u, '')));
  return prices.size === 1 ? [...prices][0] : undefined;
}

/** What a conversation gives to fill a reply with; what it does not say stays empty. */
export function slotsOf(talk: Talk): Slots {
  const name = nameIn(talk);
  const product = productIn(talk.message);
  const price = product && priceOf(product, talk.background);
  return {
    ...(name && { name: name.charAt(0).toUpperCase() + name.slice(1) }),
    ...(product && fold(product).length > 2 && { product }),
    ...(price && { price }),
  };
}
