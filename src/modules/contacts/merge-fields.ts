import { z } from 'zod';
import { isDeepStrictEqual } from 'node:util';

/** What two contacts can both say, and only one of them can go on to say: as the column of the table is called. */
const CHOSEN = {
  name: 'name',
  phone: 'phone',
  email: 'email',
  company: 'company',
  position: 'position',
  ownerId: 'owner_id',
} as const;
export const CHOSEN_FIELDS = ['name', 'phone', 'email', 'company', 'position', 'ownerId'] as const;
export type ChosenField = (typeof CHOSEN_FIELDS)[number];

const text = z.string().nullable();
/** A row of `contact`, as JSON; what is not named here is kept with it. */
export const ContactImage = z.looseObject({
  id: z.string(),
  name: text,
  phone: text,
  email: text,
  company: text,
  position: text,
  owner_id: text,
  custom_fields: z.record(z.string(), z.unknown()),
  lead_score: z.number().nullable(),
  score_version: text,
  sentiment: text,
  consent: z.enum(['unknown', 'granted', 'denied']),
  last_inbound_at: text,
  last_outbound_at: text,
});
export type ContactImage = z.output<typeof ContactImage>;

/** The columns a merge changes. */
export const MERGED_COLUMNS = [
  ...CHOSEN_FIELDS.map((field) => CHOSEN[field]),
  'custom_fields',
  'lead_score',
  'score_version',
  'sentiment',
  'consent',
  'last_inbound_at',
  'last_outbound_at',
] as const;
type MergedColumn = (typeof MERGED_COLUMNS)[number];
export type MergedValues = Pick<ContactImage, MergedColumn>;

/** What a person would notice; the rest goes on by itself and keeps what it came to. */
const BY_HAND = new Set<MergedColumn>([...CHOSEN_FIELDS.map((field) => CHOSEN[field]), 'consent']);

/** Whose value to take: the contact's with that id; of those not named, the winner's, or else the first there is. */
export interface MergeChoices {
  fields: Partial<Record<ChosenField, string>>;
  customFields: Record<string, string>;
}

// The more careful one: who said no said no, and who was never asked did not say yes.
const CAREFUL = ['denied', 'unknown', 'granted'] as const;

const latest = (times: readonly (string | null)[]): string | null =>
  times.reduce((a, b) => (a === null || (b !== null && Date.parse(b) > Date.parse(a)) ? b : a), null);

/** What the winner is after a merge. @param losers in the order they were named */
export function mergeValues(
  winner: ContactImage,
  losers: readonly ContactImage[],
  choices: MergeChoices,
): MergedValues {
  const all = [winner, ...losers];
  const of = (id: string) => all.find((one) => one.id === id) ?? winner;
  const chosen = (field: ChosenField): string | null => {
    const [id, column] = [choices.fields[field], CHOSEN[field]];
    if (id !== undefined) return of(id)[column];
    return all.find((one) => one[column] !== null)?.[column] ?? null;
  };
  const custom: Record<string, unknown> = {};
  for (const one of all)
    for (const [key, value] of Object.entries(one.custom_fields)) if (value !== null) custom[key] ??= value;
  for (const [key, id] of Object.entries(choices.customFields)) {
    const value = of(id).custom_fields[key];
    if (value === undefined || value === null) delete custom[key];
    else custom[key] = value;
  }
  const scored = all.find((one) => one.lead_score !== null);
  return {
    name: chosen('name'),
    phone: chosen('phone'),
    email: chosen('email'),
    company: chosen('company'),
    position: chosen('position'),
    owner_id: chosen('ownerId'),
    custom_fields: custom,
    lead_score: scored?.lead_score ?? null,
    score_version: scored?.score_version ?? null,
    sentiment: all.find((one) => one.sentiment !== null)?.sentiment ?? null,
    consent: CAREFUL.find((consent) => all.some((one) => one.consent === consent)) ?? 'unknown',
    last_inbound_at: latest(all.map((one) => one.last_inbound_at)),
    last_outbound_at: latest(all.map((one) => one.last_outbound_at)),
  };
}

/**
 * What the winner is after a merge is undone: what the merge changed is as before, what else was changed since stays.
 * @param isDecided whether they agreed or refused since: that stays
 * @returns the values, and the names of fields somebody changed that the merge had changed too
 */
export function unmergeValues(
  before: ContactImage,
  after: MergedValues,
  now: ContactImage,
  isDecided: boolean,
): { values: MergedValues; changed: string[] } {
  const changed: string[] = [];
  const values: MergedValues = { ...now, custom_fields: { ...now.custom_fields } };
  const restore = (column: MergedColumn): void => {
    if (before[column] === after[column]) return;
    if (now[column] === after[column]) Object.assign(values, { [column]: before[column] });
    else if (BY_HAND.has(column)) changed.push(column === 'owner_id' ? 'ownerId' : column);
  };
  for (const column of MERGED_COLUMNS)
    if (column !== 'custom_fields' && !(isDecided && column === 'consent')) restore(column);
  for (const key of new Set([...Object.keys(before.custom_fields), ...Object.keys(after.custom_fields)])) {
    const [was, made, is] = [before, after, now].map((image) => image.custom_fields[key]);
    if (isDeepStrictEqual(was, made)) continue;
    if (!isDeepStrictEqual(is, made)) changed.push(`customFields.${key}`);
    else if (was === undefined) delete values.custom_fields[key];
    else values.custom_fields[key] = was;
  }
  return { values, changed };
}
