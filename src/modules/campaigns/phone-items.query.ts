import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { OnlyOf } from '#src/modules/campaigns/audience.query.ts';
import {
  BACKOFF_MS,
  inSql,
  MAX_ATTEMPTS,
  SENDS,
  type Ack,
  type Acked,
  type Attempt,
} from '#src/modules/campaigns/items.query.ts';
import type { SessionKey } from '#src/modules/channels/channels.query.ts';
import { suppressionPads } from '#src/modules/privacy/suppression.ts';

/** Whose phone it is, and the socket it speaks over. */
interface Phone {
  workspaceId: string;
  userId: string;
  connectionId?: string;
}

/** The session that an attempt is of. */
export interface OwnAttempt extends SessionKey {
  /** What is left of another session's right to the number; 0 where it is this one's. */
  waitMs: number;
}

const OWN = 'channel_id as "channelId", session_id as "sessionId", wait_ms as "waitMs"';

/**
 * The steps of an item's life that a phone takes: only of attempts that are its user's own, and of no other kind of channel. Each prolongs its
 * session's right to the number, where it still has it.
 * @param ttlMs how long a session that says nothing keeps its number
 */
export function createPhoneItems(
  pool: Pool,
  { leaseMs, ttlMs, appSecret }: { leaseMs: number; ttlMs: number; appSecret: string },
) {
  const ask = async <Row extends object>(
    { workspaceId }: Phone,
    name: string,
    call: string,
    values: unknown[],
  ): Promise<Row | undefined> =>
    (await queryAs<Row>(pool, { workspaceId }, { name: `phone-${name}`, text: `select ${call}`, values })).rows[0];
  return {
    /** @returns undefined where it is not the phone's own */
    find: (phone: Phone, { itemId, attemptId, fence }: Attempt): Promise<OwnAttempt | undefined> =>
      ask<OwnAttempt>(phone, 'attempt', `${OWN} from phone_attempt($1, $2, $3, $4, $5, $6, false)`, [
        itemId,
        attemptId,
        fence,
        phone.userId,
        phone.connectionId ?? null,
        ttlMs,
      ]),
    /** Notes that it is about to be sent. @returns undefined where it is not the phone's own */
    async begin(
      phone: Phone,
      attempt: Attempt,
      only: OnlyOf,
    ): Promise<(OwnAttempt & { isBegun: boolean }) | undefined> {
      const { inner, outer } = suppressionPads(appSecret, phone.workspaceId);
      const { itemId, attemptId, fence } = attempt;
      const row = await ask<OwnAttempt & { isBegun: boolean }>(
        phone,
        'begin',
        `${OWN}, is_begun as "isBegun" from phone_begin($1::jsonb, $2::json, $3, $4, $5, $6, $7, $8, $9, $10) where channel_id is not null`,
        [
          SENDS,
          JSON.stringify({ itemId, attemptId, fence }),
          phone.userId,
          phone.connectionId ?? null,
          ttlMs,
          only.ownerId,
          only.dealOwnerId,
          leaseMs,
          inner,
          outer,
        ],
      );
      return row;
    },
    /** Notes how it ended; may be repeated, and come late. @returns undefined where it is not the phone's own */
    ack: (phone: Phone, ack: Ack): Promise<Acked | undefined> =>
      ask<Acked>(phone, 'ack', '* from phone_ack($1::json, $2, $3, $4, $5, $6)', [
        JSON.stringify(inSql(ack)),
        MAX_ATTEMPTS,
        BACKOFF_MS,
        phone.userId,
        phone.connectionId ?? null,
        ttlMs,
      ]),
  };
}
