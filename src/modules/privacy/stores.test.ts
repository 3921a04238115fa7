import { Client } from 'pg';
import { expect, it } from 'vitest';
import { STORES } from '#src/modules/privacy/stores.ts';
import { createTestDatabase } from '#test/harness.ts';

/** What goes with, or in the step of, a table that is a store. */
const GO_WITH = ['import_identity', 'import_file_chunk', 'contact_export_chunk'];

it('somebody who is forgotten is looked for in every table that could hold them', async () => {
  // Tables with texts or contacts in which nothing of a contact can stand, each with its reason.
  const EXCEPT: Record<string, string> = {
    consent_event: 'a store: its proofs go, what was decided stays',
    ...Object.fromEntries(
      Object.entries({
        'of members, providers and the installation': [
          'ai_usage_log',
          'analytics_export',
          'analytics_daily',
          'analytics_export_chunk',
          'analytics_hourly',
          'analytics_state',
          'api_key',
          'app_user',
          'event_consumer',
          'event_set_aside',
          'email_verification',
          'member',
          'mikro_orm_migrations',
          'model_override',
          'password_reset',
          'recovery_code',
          'session',
          'setting',
          'user_setting',
          'webhook',
          'webhook_flow',
          'workspace',
          'workspace_invite',
          'workspace_key',
          'workspace_setting',
        ],
        'written once, and redacted or without anything of contacts as it is written': [
          'audit_log',
          'audit_head',
          'audit_mac',
        ],
        'a mail is sealed, to members only, and emptied once it is sent': ['outgoing_mail'],
        'names that a workspace gives to what is not a person': [
          'channel',
          'contact_field',
          'pipeline',
          'pipeline_stage',
          'prompt',
        ],
        'what a workspace pays, in amounts, ids and states: no payment provider’s word on people is kept': [
          'billing_customer',
          'checkout',
          'invoice',
          'payment_dispute',
          'payment_sweep',
          'subscription',
          'inbound_event',
        ],
        'ids, hashes and fixed words': [
          'campaign_item_attempt',
          'channel_flow',
          'license',
          'plan_claim',
          'idempotency',
          'suppression',
          'topup_code',
          'privacy_request',
          'message_key',
          'payment_ask',
        ],
      }).flatMap(([why, tables]) => tables.map((table) => [table, why])),
    ),
  };
  const database = await createTestDatabase();
  const client = new Client({ connectionString: database.url });
  await client.connect();
  const { rows: tables } = await client.query<{ name: string }>(
    `select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and (a.attname = 'contact_id'
        or (a.atttypid::regtype::text in ('text', 'character varying', 'json', 'jsonb', 'text[]', 'bytea')
          and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'c' and k.conkey = array[a.attnum]
            and pg_get_constraintdef(k.oid) like '%ANY%')))) order by 1`,
  );
  await client.end();
  await database.drop();
  const inStores = new Set([...STORES.map(({ table }) => table), 'contact_identity', ...GO_WITH]);
  expect(tables.map(({ name }) => name).filter((name) => !inStores.has(name) && !(name in EXCEPT))).toEqual([]);
  const there = new Set(tables.map(({ name }) => name));
  expect(Object.keys(EXCEPT).filter((name) => !there.has(name))).toEqual([]);
});
