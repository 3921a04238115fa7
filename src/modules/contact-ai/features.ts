import type { Pool } from 'pg';
import { LeadFeatures, type KnownLead, type ScoreLeadInput } from '#src/ai/engines/score-lead.ts';
import { badRequest, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { onlyOwner } from '#src/http/permissions.ts';
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

/** What is known of a contact, by the names that the rules for leads know. What is not known is left out. */
export function featuresOf(lead: LeadRow): LeadFeatures {
  const known: LeadFeatures = {
    ...customOf(lead.customFields),
    lead_age_days: tenth(Math.max(0, lead.ageDays)),
    messages_last_30_days: lead.inboundCount,
    company: lead.company !== null,
    email: lead.email !== null,
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
      ids.length === 0 ? [] : await findLeads(pool, auth.workspaceId, ids, onlyOwner(auth, 'contacts') ?? null);
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
