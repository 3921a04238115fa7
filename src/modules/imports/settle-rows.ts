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
import type { RowOutcome } from '#src/modules/imports/imports.query.ts';
import type { CustomValue, Draft } from '#src/modules/imports/row-draft.ts';

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
  ownerId: string | null;
  customFields: Record<string, unknown>;
  /** Names, in small letters. */
  labels: string[];
}

export interface Settling {
  mode: ImportMode;
  /** Whose contacts alone may be touched; undefined for everybody's. */
  onlyOwnerId?: string | undefined;
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
}

const knownsOf = ({ known, otherPhones }: Draft): Known[] => [known, ...otherPhones.map((phone) => ({ phone }))];

/** Everything the people of some rows may be found by. */
export function lookupsOfDrafts(drafts: readonly Draft[]): Identity[] {
  const all = drafts.flatMap(knownsOf).flatMap(lookupsOf);
  return [...new Map(all.map((identity) => [keyOf(identity), identity])).values()];
}

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
  // Who said no has to say yes themselves.
  const mayConsent = person.consent === 'unknown' || (mode === 'update' && person.consent === 'granted');
  if (draft.consent !== undefined && draft.consent !== person.consent && mayConsent) {
    person.consent = draft.consent;
    changed.add('consent');
  }
  return changed;
}

/**
 * Decides what becomes of each row, one after the other: a later row sees what an earlier one made.
 * @param people who is known, by what they are known by; those who are new are added
 */
export function settleRows(
  people: Map<PersonKey, ImportPerson>,
  drafts: readonly Draft[],
  { mode, onlyOwnerId }: Settling,
): Settled {
  const held = new Set<PersonKey>(people.keys());
  const fresh = new Set<ImportPerson>();
  const settled: Settled = { outcomes: [], created: [], updated: new Map(), identities: [], labels: [] };

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
  const tell = (draft: Draft, status: RowOutcome['status'], contactId: string | null, reason: string | null): void =>
    void settled.outcomes.push({ rowNo: draft.rowNo, status, contactId, reason, columnNo: null, cells: null });

  for (const draft of drafts) {
    const known = knownsOf(draft)
      .map((one) => findPerson(people, one))
      .find((person) => person !== undefined);
    if (!known) {
      const person = newPerson(draft, onlyOwnerId ?? null);
      learn(person, draft);
      fill(person, draft, 'update');
      sort(person, draft);
      fresh.add(person);
      settled.created.push(person);
      tell(draft, 'created', person.id, null);
    } else if (onlyOwnerId !== undefined && known.ownerId !== onlyOwnerId) tell(draft, 'invalid', null, 'not_yours');
    else if (mode === 'skip') tell(draft, 'skipped', known.id, 'known');
    else {
      const changed = fill(known, draft, mode);
      for (const more of [learn(known, draft), sort(known, draft)]) for (const field of more) changed.add(field);
      if (changed.size > 0 && !fresh.has(known))
        settled.updated.set(known, new Set([...(settled.updated.get(known) ?? []), ...changed]));
      tell(draft, changed.size > 0 ? 'updated' : 'skipped', known.id, changed.size > 0 ? null : 'unchanged');
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
    ownerId,
    customFields: {},
    labels: [],
  };
}
