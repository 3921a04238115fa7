import type { Pool } from 'pg';
import type { KnownLead, LeadFeatures, ScoreLeadInput } from '#src/ai/engines/score-lead.ts';
import { badRequest, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { dealsOf } from '#src/modules/activities/activity-sight.ts';
import { findLeads, type LeadRow } from '#src/modules/contact-ai/features.query.ts';

const MAX_TEXT = 300;
const MAX_CUSTOM = 20;

const short = (text: string): string => text.slice(0, MAX_TEXT).toWellFormed().trim();
const tenth = (days: number): number => Math.round(days * 10) / 10;

/** A workspace's own fields as features, under their keys. */
function customOf(fields: Record<string, unknown>): LeadFeatures {
  const usable = Object.entries(fields).flatMap(([key, value]): [string, string | number | boolean][] => {
    if (!/^[a-z]/.test(key)) return [];
    if (typeof value === 'number' || typeof value === 'boolean') return [[key, value]];
    return typeof value === 'string' && short(value) !== '' ? [[key, short(value)]] : [];
  });
  return Object.fromEntries(usable.slice(0, MAX_CUSTOM));
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits));

/** How many of a currency's minor units make one, as a power of ten (ISO 4217). */
const digitsOf = (currency: string): number =>
  new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 2;

/** The features that come of deals. */
export const DEAL_FEATURES: ReadonlySet<string> = new Set([
  'open_deals',
  'won_deals',
  'lost_deals',
  'deal_value',
  'deal_stage',
  'win_chance',
  'days_in_stage',
]);

/** What the deals with a contact say; nothing where there are none. */
function dealsOfLead(lead: LeadRow): LeadFeatures {
  if (lead.openDeals + lead.wonDeals + lead.lostDeals === 0) return {};
  const known: LeadFeatures = { open_deals: lead.openDeals, won_deals: lead.wonDeals, lost_deals: lead.lostDeals };
  const value = (lead.openMinor ?? 0) / 10 ** digitsOf(lead.currency);
  if (value > 0) known['deal_value'] = round(value, 2);
  if (lead.dealStage !== null && short(lead.dealStage) !== '') known['deal_stage'] = short(lead.dealStage);
  if (lead.winChance !== null) known['win_chance'] = round(lead.winChance / 100, 2);
  if (lead.daysInStage !== null) known['days_in_stage'] = tenth(Math.max(0, lead.daysInStage));
  return known;
}

/** What is known of a contact, by the names that the rules for leads know. What is not known is left out. */
export function featuresOf(lead: LeadRow): LeadFeatures {
  const known: LeadFeatures = {
    ...customOf(lead.customFields),
    lead_age_days: tenth(Math.max(0, lead.ageDays)),
    messages_last_30_days: lead.inboundCount,
    company: lead.company !== null,
    email: lead.email !== null,
    ...dealsOfLead(lead),
  };
  if (lead.quietDays !== null) known['days_since_last_inbound'] = tenth(Math.max(0, lead.quietDays));
  if (lead.position !== null && short(lead.position) !== '') known['position'] = short(lead.position);
  if (lead.sentiment !== null) known['sentiment'] = lead.sentiment;
  if (lead.consent !== 'unknown') known['consent'] = lead.consent === 'granted';
  if (lead.lastText !== null && short(lead.lastText) !== '') known['last_message'] = short(lead.lastText);
  return known;
}

/** Opens what puts the features of contacts into inputs that name them (see `AiResources`): one statement for all. */
export function createKnowLeads(pool: Pool) {
  return async (auth: Auth, inputs: readonly ScoreLeadInput[]): Promise<KnownLead[]> => {
    const ids = inputs.flatMap(({ contactId }) => contactId ?? []);
    const rows =
      ids.length === 0
        ? []
        : await findLeads(pool, auth.workspaceId, ids, {
            ownerId: onlyOwner(auth, 'contacts') ?? null,
            dealsOf: dealsOf(auth),
          });
    const leads = new Map(rows.map((row) => [row.id, row]));
    return inputs.map(({ contactId, features }) => {
      if (contactId === undefined) return { features: features ?? {} };
      if (features !== undefined) {
        const message = 'must not be given beside contactId, whose features are looked up';
        throw badRequest('validation_failed', `features ${message}.`, [
          { path: 'features', code: 'not_both', message },
        ]);
      }
      const lead = leads.get(contactId);
      if (!lead) throw notFound('The contact');
      return { contactId, features: featuresOf(lead) };
    });
  };
}
