import { afterAll, beforeAll, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { newId } from '#src/lib/ids.ts';
import { findDeliveries } from '#src/modules/webhooks/deliveries.query.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

const DELIVERIES = 60_000;

let test: TestRuntime;
let ana: TestUser;
const webhookId = newId();
beforeAll(async () => {
  test = await openTestRuntime({ DATABASE_POOL: '2' });
  ana = await aUser(test.rt);
  await inWorkspaceTx(test.rt.orm, ana.auth, async (em) => {
    await em.execute(
      `insert into webhook (workspace_id, id, name, url, events, payload_version, secrets) values (?, ?, '', '', '{}', '', '')`,
      [ana.workspace.id, webhookId],
    );
    await em.execute(
      `insert into webhook_delivery (workspace_id, webhook_id, event_id, event_type, seq, status, next_attempt_at)
        select ?::uuid, ?::uuid, uuidv7(), 'workspace.changed', n, case n % 20000 when 7 then 'failed' when 8 then 'cancelled'
          when 9 then 'pending' else 'delivered' end, case n % 20000 when 9 then now() end from generate_series(1, ?::int) n`,
      [ana.workspace.id, webhookId, DELIVERIES],
    );
  });
});
afterAll(() => test.close());

/** Rows of deliveries, and entries of their indexes, looked at so far. */
const looked = () =>
  inWorkspaceTx(test.rt.orm, ana.auth, async (em) => {
    const [row] = await em.execute<[{ n: number }]>(
      `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::float8 as n from pg_stat_user_tables
        where relname like 'webhook_delivery%' and pg_stat_force_next_flush() is not null`,
    );
    return row.n;
  });

it.each(['failed', 'cancelled', 'pending'])(
  'finds the few %s among many without looking at the others',
  async (status) => {
    await looked();
    const before = await looked();
    const filter = { status, type: undefined, before: undefined, limit: 25 };
    const key = { workspaceId: ana.workspace.id, id: webhookId };
    const rows = await inWorkspaceTx(test.rt.orm, ana.auth, (em) => findDeliveries(em, key, filter));
    expect(rows).toHaveLength(3);
    await looked();
    expect((await looked()) - before).toBeLessThan(100);
  },
);
