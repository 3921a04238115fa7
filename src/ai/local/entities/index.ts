import type { Entity, EntityType } from '#src/ai/engines/extract-entities.ts';
import { addressesIn } from '#src/ai/local/entities/addresses.ts';
import { type Clock, datesIn } from '#src/ai/local/entities/dates.ts';
import { type FoundEntity, readingOf } from '#src/ai/local/entities/found.ts';
import { moneyIn } from '#src/ai/local/entities/money.ts';
import { companiesIn, peopleIn } from '#src/ai/local/entities/names.ts';
import { domainsIn, serviceNumbersIn } from '#src/ai/local/entities/reach.ts';
import { recognize } from '#src/ai/pii/recognizers/index.ts';
import type { PiiSpan, PiiType } from '#src/ai/pii/span.ts';

export type Entities = Record<EntityType, Entity[]>;

/** What the recognisers of personal data find, and what it is here. */
const FROM_PII: Partial<Record<PiiType, EntityType>> = {
  cpf: 'document',
  cnpj: 'document',
  email: 'email',
  phone: 'phone',
  cep: 'address',
  url: 'url',
  name: 'person',
};
/** Looked for too, so that a card number or a barcode is not read as something else. */
const TELLS: ReadonlySet<PiiType> = new Set<PiiType>([
  'cpf',
  'cnpj',
  'email',
  'phone',
  'cep',
  'url',
  'name',
  'card',
  'boleto',
  'pix_code',
  'pix_key',
  'iban',
  'ip',
]);
/** Who keeps a place that several claim: forms with check digits or a grammar of their own before guesses. */
const STRENGTH: EntityType[] = ['email', 'url', 'document', 'phone', 'address', 'money', 'date', 'company', 'person'];

type Typed = FoundEntity & { type: EntityType };

function fromPii(span: PiiSpan): Typed[] {
  const type = FROM_PII[span.type];
  const { start, end, normalized, score } = span;
  if (!type) return [];
  const isBareUrl = type === 'url' && !/^https?:/iu.test(normalized);
  const written =
    span.type === 'cep'
      ? normalized.replace(/^(\d{5})(\d{3})$/u, '$1-$2')
      : isBareUrl
        ? `https://${normalized}`
        : normalized;
  return [{ type, start, end, normalized: written, confidence: Math.round(score * 100) / 100 }];
}

/** The strongest first, of equals the longest, of equals the surest: each keeps its place unless it is taken. */
function withoutOverlaps(found: readonly Typed[], taken: Uint8Array): Typed[] {
  const ranked = found.toSorted(
    (a, b) =>
      STRENGTH.indexOf(a.type) - STRENGTH.indexOf(b.type) ||
      b.end - b.start - (a.end - a.start) ||
      b.confidence - a.confidence ||
      a.start - b.start,
  );
  return ranked
    .filter(({ start, end }) => {
      for (let at = start; at < end; at += 1) if (taken[at]) return false;
      taken.fill(1, start, end);
      return true;
    })
    .toSorted((a, b) => a.start - b.start);
}

/**
 * Names, ways to reach, documents, dates, money and addresses in a text, by form, check digits, word lists and the words around. Lists are in the
 * order of the text and do not overlap, not even those of different types. Linear in the text.
 * @throws RangeError where there is no such time zone
 */
export function entitiesOf(text: string, clock: Clock): Entities {
  const reading = readingOf(text);
  const pii = recognize(text, { types: TELLS });
  const taken = new Uint8Array(text.length);
  for (const { type, start, end } of pii) if (!FROM_PII[type]) taken.fill(1, start, end);
  const own = (type: EntityType, found: FoundEntity[]): Typed[] =>
    found.map((one) => ({ ...one, type, ...reading.original(one.start, one.end) }));
  const found = [
    ...pii.flatMap(fromPii),
    ...own('url', domainsIn(reading)),
    ...own('phone', serviceNumbersIn(reading)),
    ...own('address', addressesIn(reading)),
    ...own('money', moneyIn(reading)),
    ...own('date', datesIn(reading, clock)),
    ...own('company', companiesIn(reading)),
    ...own('person', peopleIn(reading)),
  ];
  const entities: Entities = {
    person: [],
    email: [],
    phone: [],
    company: [],
    date: [],
    money: [],
    document: [],
    address: [],
    url: [],
  };
  for (const { type, start, end, normalized, confidence } of withoutOverlaps(found, taken)) {
    entities[type].push({ value: text.slice(start, end), normalized, start, end, confidence });
  }
  return entities;
}
