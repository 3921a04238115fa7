import { newId } from '#src/lib/ids.ts';
import { canonicalPhone, phoneForms, phoneOfWaId } from '#src/modules/contacts/phone.ts';

/** What is known of somebody, from a message, a row of a file or a form. */
export interface Known {
  /** In E.164, with or without Brazil's ninth digit. */
  phone?: string | null;
  /** WhatsApp's id of them, as `5511987654321@c.us` or its digits alone. */
  waId?: string | null;
  /** WhatsApp's id that says no number, as `128312839@lid` or its digits alone. */
  lid?: string | null;
  email?: string | null;
  /** Their id in the system of the workspace. */
  externalId?: string | null;
  name?: string | null;
}

/** From the surest on: an e-mail address may be several people's, and finds only who has no other number. */
export const IDENTITY_KINDS = ['external', 'wa_id', 'lid', 'phone', 'email'] as const;
export type IdentityKind = (typeof IDENTITY_KINDS)[number];

export interface Identity {
  kind: IdentityKind;
  value: string;
}

/** Who an identity leads to, and what is to be written of them. */
export interface Person {
  id: string;
  isNew: boolean;
  name: string;
  phone: string | null;
  email: string | null;
  ownerId: string | null;
  /** Whether they want no marketing. */
  isDenied: boolean;
  /** Which of the three were learnt just now. */
  learnt: Set<'name' | 'phone' | 'email'>;
}

export type PersonKey = `${IdentityKind}:${string}`;
export const keyOf = ({ kind, value }: Identity): PersonKey => `${kind}:${value}`;

const MAX_LENGTH = 254;
const MAX_NAME = 200;
const clean = (text: string | null | undefined, maxLength = MAX_LENGTH): string | null =>
  text
    ?.replaceAll(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, maxLength)
    .toWellFormed() || null;

const digitsOf = (phone: string): string => phone.slice(1);
const waIdOf = (known: Known): string | null => clean(known.waId?.replace(/@(c\.us|s\.whatsapp\.net)$/, ''));

function phoneOf(known: Known): string | null {
  const phone = clean(known.phone);
  if (phone !== null) return canonicalPhone(phone);
  const waId = waIdOf(known);
  return waId === null ? null : phoneOfWaId(waId);
}

/** What somebody is to be found by again. */
export function identitiesOf(known: Known): Identity[] {
  const values: Record<IdentityKind, string | null> = {
    external: clean(known.externalId),
    wa_id: waIdOf(known),
    lid: clean(known.lid?.replace(/@lid$/, '')),
    phone: phoneOf(known),
    email: clean(known.email)?.toLowerCase() ?? null,
  };
  return IDENTITY_KINDS.flatMap((kind) => (values[kind] === null ? [] : [{ kind, value: values[kind] }]));
}

/** What somebody may be found by: their identities, and the other forms of their phone number, also as WhatsApp's id. */
export function lookupsOf(known: Known): Identity[] {
  return identitiesOf(known).flatMap((identity) => {
    if (identity.kind !== 'phone') return [identity];
    const forms = phoneForms(identity.value);
    const asWaIds = forms.map((form) => ({ kind: 'wa_id' as const, value: digitsOf(form) }));
    return [...forms.map((value) => ({ kind: 'phone' as const, value })), ...asWaIds];
  });
}

/** Who this is among people whose identities are known. */
export function findPerson<One extends Pick<Person, 'phone'>>(
  people: Pick<ReadonlyMap<PersonKey, One>, 'get'>,
  known: Known,
): One | undefined {
  const phone = phoneOf(known);
  for (const lookup of lookupsOf(known)) {
    const person = people.get(keyOf(lookup));
    if (!person) continue;
    const isOther = phone !== null && person.phone !== null && person.phone !== phone;
    if (lookup.kind !== 'email' || !isOther) return person;
  }
  return undefined;
}

/** An identity to be written down. */
export interface NewIdentity extends Identity {
  person: Person;
}

/** Whether whoever has an identity is the person: an e-mail address alone says it only of who has no number. */
export const isTelling = ({ kind, person }: { kind: IdentityKind; person: Pick<Person, 'phone'> }): boolean =>
  kind !== 'email' || person.phone === null;

/**
 * Who each of these is: somebody known, somebody earlier among them, or somebody new.
 * @param people by identity; those who are new and what was learnt are added
 * @returns the people, and the identities they get. One that leads to somebody else stays where it is.
 */
export function settlePeople(
  people: Map<PersonKey, Person>,
  knowns: readonly Known[],
  ownerId: string | null,
): { persons: Person[]; identities: NewIdentity[] } {
  const identities = new Map<PersonKey, NewIdentity>();
  const held = new Set(people.keys());
  const persons = knowns.map((known) => {
    const person = findPerson(people, known) ?? newPerson(known, ownerId);
    for (const lookup of lookupsOf(known)) if (!people.has(keyOf(lookup))) people.set(keyOf(lookup), person);
    for (const identity of identitiesOf(known)) {
      const key = keyOf(identity);
      if (people.get(key) !== person) continue;
      if (!held.has(key)) identities.set(key, { ...identity, person });
      held.add(key);
      if (identity.kind === 'phone' || identity.kind === 'email') learn(person, identity.kind, identity.value);
    }
    const name = clean(known.name, MAX_NAME);
    // Until a name is known, a contact is called by what else is.
    const isUnnamed = person.name === person.phone || identitiesOf(known).some(({ value }) => value === person.name);
    if (name !== null && isUnnamed && person.name !== name) {
      person.name = name;
      person.learnt.add('name');
    }
    return person;
  });
  return { persons, identities: [...identities.values()] };
}

function learn(person: Person, field: 'phone' | 'email', value: string): void {
  if (person[field] !== null) return;
  person[field] = value;
  person.learnt.add(field);
}

function newPerson(known: Known, ownerId: string | null): Person {
  const first = identitiesOf(known).at(-1)?.value;
  const phone = phoneOf(known);
  const email = clean(known.email)?.toLowerCase() ?? null;
  return {
    id: newId(),
    isNew: true,
    name: clean(known.name, MAX_NAME) ?? phone ?? first ?? '',
    phone,
    email,
    ownerId,
    isDenied: false,
    learnt: new Set(),
  };
}
