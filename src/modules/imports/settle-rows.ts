import { newId } from '#src/lib/ids.ts';
import {
  findPerson,
  identitiesOf,
  keyOf,
  lookupsOf,
  type Identity,
  type Known,
  type PersonKey,
} from '#src/modules/contacts/identities.ts';
import { MAX_LABELS } from '#src/modules/contacts/contacts.schemas.ts';
import type { RowOutcome } from '#src/modules/imports/imports.query.ts';
import { isSomebody, type CustomValue, type Draft } from '#src/modules/imports/row-draft.ts';

/** An identity, or `id:` and the id of a contact. */
export type LookupKey = PersonKey | `id:${string}`;
export type ImportMode = 'skip' | 'update' | 'merge';
export type Consent = 'unknown' | 'granted' | 'denied';

/** A contact as an import knows and leaves it. */
export interface ImportPerson {
  id: string;
  name: string;
  phone: string | null;
  email: string | null;
  company: string | null;
  position: string | null;
  consent: Consent;
  /** All they are known by, in E.164. */
  phones: string[];
  ownerId: string | null;
  customFields: Record<string, unknown>;
  /** Names, in small letters. */
  labels: string[];
}

export interface Settling {
  mode: ImportMode;
  /** Whose contacts alone may be touched; undefined for everybody's. */
  onlyOwnerId?: string | undefined;
  /** Numbers that are not written to: whose they are does not agree without proof. */
  suppressed: ReadonlySet<string>;
  /** How many contacts more there may be. */
  room: number;
}

export interface PersonIdentity extends Identity {
  contactId: string;
}

/** What rows come to. */
export interface Settled {
  outcomes: RowOutcome[];
  created: ImportPerson[];
  /** Those that were known, with what changed of them. */
  updated: Map<ImportPerson, Set<string>>;
  identities: PersonIdentity[];
  /** By contact, what they are to be sorted by and were not. */
  labels: { contactId: string; name: string }[];
  /** What was decided, in the order of the rows. */
  decisions: { contactId: string; decision: 'granted' | 'denied' }[];
  /** Those who want no marketing and said so just now, or got a number. */
  denied: Set<string>;
}

const knownsOf = ({ known, otherPhones }: Draft): Known[] => [known, ...otherPhones.map((phone) => ({ phone }))];

/** Everything the people of some rows may be found by. */
export function lookupsOfDrafts(drafts: readonly Draft[]): Identity[] {
  const all = drafts.flatMap(knownsOf).flatMap(lookupsOf);
  return [...new Map(all.map((identity) => [keyOf(identity), identity])).values()];
}

/** The contacts some rows name by their ids. */
export const idsOfDrafts = (drafts: readonly Draft[]): string[] => [
  ...new Set(drafts.flatMap(({ contactId }) => contactId ?? [])),
];

/** Fields of a contact that a row says something of, each with whether the contact has something there. */
function fill(person: ImportPerson, draft: Draft, mode: ImportMode): Set<string> {
  const changed = new Set<string>();
  const isUnnamed = person.name === person.phone || person.name === person.email;
  if (draft.name !== undefined && draft.name !== person.name && (mode === 'update' || isUnnamed)) {
    person.name = draft.name;
    changed.add('name');
  }
  for (const field of ['company', 'position'] as const) {
    const value = draft[field];
    if (value === undefined || value === person[field] || (mode === 'merge' && person[field] !== null)) continue;
    person[field] = value;
    changed.add(field);
  }
  for (const [key, value] of Object.entries<CustomValue>(draft.custom)) {
    const before = Object.hasOwn(person.customFields, key) ? person.customFields[key] : undefined;
    if (before === value || (mode === 'merge' && before !== undefined)) continue;
    person.customFields = { ...person.customFields, [key]: value };
    changed.add('customFields');
  }
  return changed;
}

/** Whether a contact would have more labels than one can have; who has more by a merge may keep them. */
function isOverLabelled(labels: readonly string[], draft: Draft): boolean {
  const fresh = new Set(draft.labels.map((name) => name.toLowerCase())).difference(new Set(labels));
  return fresh.size > 0 && labels.length + fresh.size > MAX_LABELS;
}

/** Who said no has to say yes themselves, with what proves it. @returns whether they decided now, or a number of theirs is in the way */
function decide(
  person: ImportPerson,
  draft: Draft,
  { mode, suppressed }: Settling,
): 'decided' | 'suppressed' | undefined {
  const { consent } = draft;
  const mayDecide = person.consent === 'unknown' || (mode === 'update' && person.consent === 'granted');
  if (consent === undefined || consent === person.consent || !mayDecide) return undefined;
  if (consent === 'granted' && person.phones.some((phone) => suppressed.has(phone))) return 'suppressed';
  person.consent = consent;
  return 'decided';
}

/** Every number of some rows that say yes, and of whom they may be about. */
export function phonesToAgree(people: ReadonlyMap<LookupKey, ImportPerson>, drafts: readonly Draft[]): string[] {
  if (!drafts.some(({ consent }) => consent === 'granted')) return [];
  const known = [...new Set(people.values())].flatMap(({ phones }) => phones);
  return [
    ...new Set([...known, ...drafts.flatMap(({ known: { phone }, otherPhones }) => [phone ?? [], otherPhones].flat())]),
  ];
}

/**
 * Decides what becomes of each row, one after the other: a later row sees what an earlier one made.
 * @param people who is known, by what they are known by; those who are new are added
 */
export function settleRows(
  people: Map<LookupKey, ImportPerson>,
  drafts: readonly Draft[],
  settling: Settling,
): Settled {
  const { mode, onlyOwnerId } = settling;
  const held = new Set<LookupKey>(people.keys());
  const fresh = new Set<ImportPerson>();
  const settled: Settled = {
    outcomes: [],
    created: [],
    updated: new Map(),
    identities: [],
    labels: [],
    decisions: [],
    denied: new Set(),
  };

  /** What somebody is known by now, and was not; what leads to somebody else stays there. */
  const learn = (person: ImportPerson, draft: Draft): Set<string> => {
    const changed = new Set<string>();
    for (const known of knownsOf(draft)) {
      for (const lookup of lookupsOf(known)) if (!people.has(keyOf(lookup))) people.set(keyOf(lookup), person);
      for (const identity of identitiesOf(known)) {
        const key = keyOf(identity);
        if (people.get(key) !== person) continue;
        if (!held.has(key)) {
          held.add(key);
          settled.identities.push({ ...identity, contactId: person.id });
          changed.add('identities');
          if (identity.kind === 'phone') {
            person.phones.push(identity.value);
            if (person.consent === 'denied') settled.denied.add(person.id);
          }
        }
        const { kind, value } = identity;
        if ((kind === 'phone' || kind === 'email') && person[kind] === null) {
          person[kind] = value;
          changed.add(kind);
        }
      }
    }
    return changed;
  };
  const sort = (person: ImportPerson, draft: Draft): Set<string> => {
    const changed = new Set<string>();
    for (const name of draft.labels) {
      const folded = name.toLowerCase();
      if (person.labels.includes(folded)) continue;
      person.labels = [...person.labels, folded];
      settled.labels.push({ contactId: person.id, name });
      changed.add('labels');
    }
    return changed;
  };
  const agree = (person: ImportPerson, draft: Draft): ReturnType<typeof decide> => {
    const outcome = decide(person, draft, settling);
    if (outcome === 'decided')
      settled.decisions.push({ contactId: person.id, decision: person.consent === 'granted' ? 'granted' : 'denied' });
    if (draft.consent === 'denied' && person.consent === 'denied') settled.denied.add(person.id);
    return outcome;
  };
  const tell = (draft: Draft, status: RowOutcome['status'], contactId: string | null, reason: string | null): void =>
    void settled.outcomes.push({ rowNo: draft.rowNo, status, contactId, reason, columnNo: null, cells: null });

  for (const draft of drafts) {
    const named = draft.contactId === undefined ? undefined : people.get(`id:${draft.contactId}`);
    const known =
      named ??
      knownsOf(draft)
        .map((one) => findPerson(people, one))
        .find((person) => person !== undefined);
    if (!known && !isSomebody(draft)) tell(draft, 'invalid', null, 'no_identity');
    else if (known && onlyOwnerId !== undefined && known.ownerId !== onlyOwnerId)
      tell(draft, 'invalid', null, 'not_yours');
    else if (known && mode === 'skip') tell(draft, 'skipped', known.id, 'known');
    else if (isOverLabelled(known?.labels ?? [], draft)) tell(draft, 'invalid', null, 'too_many_labels');
    else if (!known && settled.created.length >= settling.room) tell(draft, 'invalid', null, 'plan_limit');
    else if (!known) {
      const person = newPerson(draft, onlyOwnerId ?? null);
      learn(person, draft);
      fill(person, draft, 'update');
      sort(person, draft);
      fresh.add(person);
      settled.created.push(person);
      tell(draft, 'created', person.id, agree(person, draft) === 'suppressed' ? 'suppressed' : null);
    } else {
      const changed = fill(known, draft, mode);
      for (const more of [learn(known, draft), sort(known, draft)]) for (const field of more) changed.add(field);
      const agreed = agree(known, draft);
      if (agreed === 'decided') changed.add('consent');
      if (changed.size > 0 && !fresh.has(known))
        settled.updated.set(known, new Set([...(settled.updated.get(known) ?? []), ...changed]));
      const reason = changed.size > 0 ? null : 'unchanged';
      tell(draft, changed.size > 0 ? 'updated' : 'skipped', known.id, agreed === 'suppressed' ? agreed : reason);
    }
  }
  return settled;
}

/** Without a name, a contact is called by what else is known of them. */
function newPerson({ known, name }: Draft, ownerId: string | null): ImportPerson {
  return {
    id: newId(),
    name: name ?? known.phone ?? known.email ?? known.externalId ?? '',
    phone: known.phone ?? null,
    email: known.email ?? null,
    company: null,
    position: null,
    consent: 'unknown',
    phones: [],
    ownerId,
    customFields: {},
    labels: [],
  };
}
