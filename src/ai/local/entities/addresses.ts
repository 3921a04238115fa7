import type { FoundEntity, Reading } from '#src/ai/local/entities/found.ts';

const WAY = String.raw`rua|r\.|avenida|av\.?|travessa|tv\.|trav\.|alameda|al\.|praca|pca\.?|rodovia|rod\.|estrada|estr\.|largo|viela|beco|ladeira|calle|avda\.?`;
const NAME = String.raw`(?:(?:d[aeo]s?|e|del?|la)\s)?[\p{L}\d][\p{L}\d'’.ºª-]{0,24}`;
const NUMBER = String.raw`(?:,\s?|\s)(?:n[ºo°.]{0,2}\s?|numero\s|num\.?\s|km\s?|n\s)?(?:\d{1,5}(?:[.,]\d)?[a-z]?|s\/n)(?![\p{L}\d]|[.,:/]\d)`;
const UNIT = String.raw`(?:,?\s(?:-\s)?(?:apto?\.?|apartamento|ap\.?|bloco|bl\.?|casa|sala|conjunto|cj\.?|lote|quadra|loja|andar|fundos)(?:\s(?:n[ºo°]\s?)?(?:\d{1,5}[a-z]?|[a-z])(?![\p{L}\d]))?(?![\p{L}\d])){0,3}`;
const ADDRESS = new RegExp(
  String.raw`(?<![\p{L}\p{N}])(?:${WAY})\s(?:${NAME}\s){0,5}?${NAME}(?<number>${NUMBER})(?:${UNIT})`,
  'gu',
);
/** Of the sentence around the address, so that it is none: "rua alagada há 2 dias". */
const NO_NAME =
  /^(?:r\.|rua|avenida|av\.?|estrada|largo)\s(?:esta|ta|e|foi|era|que|onde|nao|sem|com|tem|atras|ao|principal de)\s/u;
/** A complement that is a bare "fundos" or "casa" is a word of the sentence as often as a part of the address. */
const LOOSE = /,?\s(?:-\s)?(?:fundos|casa|loja|sala|andar|lote|quadra|conjunto)$/u;

/** Streets with a house number or kilometre: "Rua das Acácias, 120", "av paulista 1578 apto 12". Streets without a number are not found. */
export function addressesIn({ typed, flat }: Reading): FoundEntity[] {
  return [...flat.matchAll(ADDRESS)].flatMap(({ index, 0: text }) => {
    if (NO_NAME.test(text)) return [];
    const end = index + text.replace(LOOSE, '').length;
    const isCapital = /^\p{Lu}/u.test(typed.slice(index));
    return [{ start: index, end, normalized: typed.slice(index, end), confidence: isCapital ? 0.9 : 0.75 }];
  });
}
