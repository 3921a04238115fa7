import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rollUpAll } from '#src/modules/analytics/rollup.ts';
import { createRandom, type Random } from '#test/fuzz/random.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

const ZONE = 'America/Sao_Paulo';
const HOUR_MS = 3_600_000;
const FIRST = Date.parse('2026-09-01T00:00:00Z');
const HOURS = 24 * 6;
/** A figure looks so far back for what an answer answers. */
const LOOKED_AT = 20;
const STATUSES = ['sent', 'delivered', 'read', 'failed'] as const;

let test: TestApp;
let ana: TestUser;
let bia: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  [ana, bia] = [await aUser(test.rt), await aUser(test.rt)];
  await aMember(test.rt, ana.workspace.id, bia.user.id, 'member');
  await test.rt.systemPool.query('update workspace set time_zone = $2 where id = $1', [ana.workspace.id, ZONE]);
  await test.rt.systemPool.query(
    `update member set denies = '{contacts:all}' where user_id = $1 and workspace_id = $2`,
    [bia.user.id, ana.workspace.id],
  );
});
afterAll(() => test.close());

const query = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
const headersOf = (who: TestUser) => ({ ...who.headers, 'x-workspace-id': ana.workspace.id });
const count = () => rollUpAll({ pool: test.rt.pool, keepMonths: 120, log: test.rt.log }, ana.workspace.id);
const sync = async (messages: object[]) => {
  const payload = { channel: { externalId: '5511900000000' }, messages };
  const request = { method: 'POST', url: '/api/messages/sync', headers: headersOf(ana), payload } as const;
  const answer = await test.app.inject(request);
  expect([answer.statusCode, answer.json().counts.invalid]).toEqual([200, 0]);
};
const figures = async (who = ana) => {
  const url = `/api/analytics/messages?from=2026-08-20&to=2026-09-20`;
  return (await test.app.inject({ url, headers: headersOf(who) })).json();
};

const ofDay = async (day: string) => {
  await count();
  return keyed((await figures()).days, 'day').get(day);
};

interface Stored {
  conversation_id: string;
  owner_id: string | null;
  direction: 'inbound' | 'outbound';
  status: string;
  sent_at: Date;
  day: string;
}
interface Sums {
  inbound: number;
  outbound: number;
  delivered: number;
  read: number;
  failed: number;
  responses: number;
  waited: number;
}

/** What the figures should be, by walking through every conversation once. */
async function recount(by: (message: Stored) => string): Promise<Map<string, object>> {
  const rows: Stored[] = await query(
    `select m.conversation_id, c.owner_id, m.direction, m.status, m.sent_at, (m.sent_at at time zone $2)::date::text as day
      from message m join conversation v on v.workspace_id = m.workspace_id and v.id = m.conversation_id
      join contact c on c.workspace_id = v.workspace_id and c.id = v.contact_id where m.workspace_id = $1 order by m.id`,
    [ana.workspace.id, ZONE],
  );
  const sums = new Map<string, Sums>();
  for (const chat of Map.groupBy(rows, (row) => row.conversation_id).values()) {
    for (const [at, message] of chat.entries()) {
      const sum = sums.get(by(message)) ?? {
        inbound: 0,
        outbound: 0,
        delivered: 0,
        read: 0,
        failed: 0,
        responses: 0,
        waited: 0,
      };
      sums.set(by(message), sum);
      sum[message.direction] += 1;
      if (message.direction === 'inbound') continue;
      if (message.status === 'delivered' || message.status === 'read') sum.delivered += 1;
      if (message.status === 'read') sum.read += 1;
      if (message.status === 'failed') {
        sum.failed += 1;
        continue;
      }
      const before = chat.slice(Math.max(0, at - LOOKED_AT), at);
      const waiting = before.slice(before.findLastIndex(({ direction }) => direction === 'outbound') + 1);
      const [first] = waiting;
      if (!first) continue;
      sum.responses += 1;
      sum.waited += Math.min(604_800, (message.sent_at.getTime() - first.sent_at.getTime()) / 1000);
    }
  }
  return new Map(
    [...sums].map(([key, { waited, ...sum }]) => [
      key,
      { ...sum, responseSeconds: sum.responses === 0 ? null : waited / sum.responses },
    ]),
  );
}

const keyed = <Row extends object>(rows: readonly Row[], name: keyof Row): Map<string, object> =>
  new Map(rows.map(({ [name]: key, ...figure }) => [String(key), figure]));

/** Messages of some chats at whole seconds, no two of a chat at one. */
function messagesOf(random: Random, number: number): object[] {
  const made = new Map<string, object>();
  while (made.size < number) {
    const chat = random.int(4);
    const sentAt = new Date(FIRST + random.int(HOURS) * HOUR_MS + random.int(6) * 600_000).toISOString();
    const direction = random.pick(['inbound', 'inbound', 'outbound'] as const);
    const status = direction === 'outbound' ? { status: random.pick(STATUSES) } : {};
    const clientId = `${chat} ${sentAt}`.replace(' ', '/');
    made.set(clientId, { clientId, chat: { waId: `551198765432${chat}` }, direction, body: 'Oi', sentAt, ...status });
  }
  return [...made.values()];
}

async function expectFigures(): Promise<void> {
  const { total, users, days } = await figures();
  expect(total).toEqual((await recount(() => 'all')).get('all'));
  expect(keyed(users, 'userId')).toEqual(await recount(({ owner_id: id }) => String(id)));
  expect(keyed(days, 'day')).toEqual(await recount(({ day }) => day));
}

describe('the figures of messages', () => {
  it('equal a plain recount, in whatever order messages come and rise, and however often they are counted meanwhile', async () => {
    const random = createRandom(20_261_126);
    const all = messagesOf(random, 240);
    // The first message of each chat makes its contact, which somebody looks after from then on.
    await sync(
      ['0', '1', '2', '3'].map((chat) => ({
        clientId: `first-${chat}`,
        chat: { waId: `551198765432${chat}` },
        direction: 'inbound',
        body: 'Oi',
        sentAt: new Date(FIRST - HOUR_MS).toISOString(),
      })),
    );
    await query(
      `update contact set owner_id = case right(phone, 1) when '0' then $2::uuid when '1' then $3::uuid end where workspace_id = $1`,
      [ana.workspace.id, ana.user.id, bia.user.id],
    );
    for (let at = 0; at < all.length; at += 24) {
      await sync(all.slice(at, at + 24));
      await count();
      // Some come again with another status.
      const again = all.slice(0, at + 24).filter((one) => 'status' in one && random.chance(0.1));
      if (again.length > 0) await sync(again.map((one) => ({ ...one, status: random.pick(STATUSES) })));
      if (at % 48 === 0) await count();
    }
    await count();
    const { total } = await figures();
    // What is compared says something.
    for (const name of ['inbound', 'outbound', 'delivered', 'read', 'failed', 'responses'] as const)
      expect(total[name]).toBeGreaterThan(5);
    await expectFigures();
    const series = await test.app.inject({
      url: '/api/analytics/timeseries?metric=messages.responses&from=2026-08-20&to=2026-09-20',
      headers: headersOf(ana),
    });
    expect(series.json().data.reduce((sum: number, { value }: { value: number }) => sum + value, 0)).toBe(
      total.responses,
    );
    // Who sees their own contacts alone sees their own figures alone.
    const own = await figures(bia);
    expect(own).toMatchObject({ scope: 'own', total: (await recount((one) => String(one.owner_id))).get(bia.user.id) });
    expect(own.users).toHaveLength(1);
  });

  it('follow a history that is read from its end', async () => {
    const chat = { waId: '5511955554444' };
    const one = (clientId: string, direction: string, hour: number) => ({
      clientId,
      chat,
      direction,
      body: 'Oi',
      sentAt: new Date(Date.parse('2026-09-10T00:00:00Z') + hour * HOUR_MS).toISOString(),
    });
    for (const message of [
      one('z', 'outbound', 9),
      one('y', 'inbound', 7),
      one('x', 'outbound', 5),
      one('w', 'inbound', 2),
    ]) {
      await sync([message]);
      await count();
      await expectFigures();
    }
    expect(keyed((await figures()).days, 'day').get('2026-09-10')).toMatchObject({
      responses: 2,
      responseSeconds: 9000,
    });
  });

  it('pass over what a campaign sends, also where it is known only later', async () => {
    const chat = { waId: '5511955553333' };
    const one = (providerId: string, direction: string, hour: number) => ({
      providerId,
      chat,
      direction,
      body: 'Oi',
      sentAt: new Date(Date.parse('2026-09-12T10:00:00Z') + hour * HOUR_MS).toISOString(),
    });
    await sync([one('asked', 'inbound', 0), one('advertised', 'outbound', 1), one('answered', 'outbound', 3)]);
    expect(await ofDay('2026-09-12')).toMatchObject({ outbound: 2, responses: 1, responseSeconds: 3600 });
    await query(
      `select campaign_link(k.workspace_id, k.channel_id, k.value, uuidv7()) from message_key k where k.value = 'advertised'`,
    );
    expect(await ofDay('2026-09-12')).toMatchObject({ outbound: 2, responses: 1, responseSeconds: 3 * 3600 });
  });
});
