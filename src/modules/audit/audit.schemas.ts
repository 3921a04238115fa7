import { z } from 'zod';
import { IdText } from '#src/http/fields.ts';
import { pageOf, PageQuery } from '#src/http/page.ts';
import type { AuditRow } from '#src/modules/audit/audit.query.ts';
import { BREAKS } from '#src/modules/audit/chain.ts';

const Moment = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const range = { from: Moment.optional(), to: Moment.optional() };
const name = z.string().min(1).max(200).optional();

export const AuditListQuery = PageQuery.extend({
  action: name,
  targetType: name,
  targetId: name,
  actorId: IdText.optional(),
  ...range,
});

export const AuditExportQuery = z.strictObject({ format: z.enum(['ndjson', 'csv']).default('ndjson'), ...range });

/** One entry. `at` has microseconds, as it was hashed; `before` and `after` are redacted. Hashes in hex. */
export const AuditEntryView = z
  .object({
    seq: z.int(),
    id: z.uuid(),
    at: z.string(),
    actor: z.object({ kind: z.enum(['session', 'api_key', 'system']), id: z.uuid().nullable() }),
    action: z.string(),
    target: z.object({ type: z.string(), id: z.string() }).nullable(),
    before: z.unknown(),
    after: z.unknown(),
    ip: z.string().nullable(),
    userAgent: z.string().nullable(),
    requestId: z.string().nullable(),
    prevHash: z.string(),
    hash: z.string(),
  })
  .meta({ id: 'AuditEntry' });
export type AuditEntryView = z.infer<typeof AuditEntryView>;

export const AuditPage = pageOf(AuditEntryView);

export const VerdictView = z
  .object({
    ok: z.boolean(),
    entries: z.int(),
    firstBroken: z.object({ seq: z.int(), reason: z.enum(BREAKS) }).nullable(),
    headHash: z.string().nullable(),
  })
  .meta({ id: 'AuditVerdict' });

export function toEntryView(row: AuditRow): AuditEntryView {
  return {
    seq: row.seq,
    id: row.id,
    at: row.at,
    actor: { kind: row.actor_kind, id: row.actor_id },
    action: row.action,
    target: row.target_type === null ? null : { type: row.target_type, id: row.target_id ?? '' },
    before: row.before === null ? null : JSON.parse(row.before),
    after: row.after === null ? null : JSON.parse(row.after),
    ip: row.ip,
    userAgent: row.user_agent,
    requestId: row.request_id,
    prevHash: row.prev_hash,
    hash: row.hash,
  };
}
