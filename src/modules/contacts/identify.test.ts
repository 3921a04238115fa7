import type { EntityManager } from '@mikro-orm/postgresql';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { findContacts, identifyContacts, type Known, type Origin } from '#src/modules/contacts/identify.query.ts';

let test: TestRuntime;
let workspaceId: string;
beforeAll(async () => {
  test = await openTestRuntime({ DEFAULT_PLAN: 'enterprise' });
});
afterAll(() => test.close());
beforeEach(async () => {
  workspaceId = (await aUser(test.rt)).workspace.id;
});

const listKey = () => ({ appSecret: test.rt.config.APP_SECRET, workspaceId });
const message = (): Origin => ({ actorId: null, source: 'message', listKey: listKey() });
const tx = <Result>(work: (em: EntityManager) => Promise<Result>) => inWorkspaceTx(test.rt.orm, { workspaceId }, work);
const identify = (...known: Known[]) => tx((em) => identifyContacts(em, known, message()));
const find = (...known: Known[]) => tx((em) => findContacts(em, known));
const rows = async (sql: string): Promise<Record<string, unknown>[]> =>
  (await test.rt.systemPool.query(sql.replaceAll('$w', `'${workspaceId}'`))).rows;
const contacts = () => rows(`select * from contact where workspace_id = $w order by id`);
const identities = () =>
  rows(
    `select contact_id, kind, value from contact_identity where workspace_id = $w and released_at is null order by kind, value`,
  );
const wait = (ms: number) => new Promise((done) => setTimeout(done, ms));

describe('who somebody is', () => {
  it('is new once, and found again by everything that was said of them', async () => {
    const ana = {
      phone: '+5511987654321',
      lid: '128312839@lid',
      email: 'Ana@Example.com',
      externalId: 'A-1',
      name: 'Ana',
    };
    const [made] = await identify(ana);
    expect(made).toEqual({ contactId: expect.any(String), isNew: true });
    const id = made?.contactId ?? '';
    expect(await identify(ana)).toEqual([{ contactId: id, isNew: false }]);
    const said: Known[] = [
      { phone: ana.phone },
      { phone: '+551187654321' },
      { waId: '551187654321@c.us' },
      { waId: '5511987654321' },
      { lid: '128312839' },
      { email: 'ana@example.com' },
      { externalId: 'A-1' },
      { phone: '+5511987654322' },
      { email: 'ana@example.com', phone: '+5511987654322' },
      {},
    ];
    expect(await find(...said)).toEqual([id, id, id, id, id, id, id, null, null, null]);
    expect(await contacts()).toMatchObject([
      { name: 'Ana', phone: ana.phone, email: 'ana@example.com', source: 'message', version: 1 },
    ]);
  });

  it('knows a Brazilian mobile in the form WhatsApp has, whichever came first', async () => {
    const [byPhone] = await identify({ phone: '+5511987654321' });
    expect(await identify({ waId: '551187654321@c.us' })).toEqual([{ contactId: byPhone?.contactId, isNew: false }]);
    const [byWaId] = await identify({ waId: '552187654321@c.us' });
    expect(await identify({ phone: '+5521987654321' })).toEqual([{ contactId: byWaId?.contactId, isNew: false }]);
    expect(await identities()).toMatchObject([
      { kind: 'phone', value: '+5511987654321' },
      { kind: 'phone', value: '+5521987654321' },
      { kind: 'wa_id', value: '551187654321' },
      { kind: 'wa_id', value: '552187654321' },
    ]);
  });

  it('are the same where one packet says so, also in a roundabout way', async () => {
    const said = await identify(
      { phone: '+5511987654321', externalId: 'A' },
      { externalId: 'A', lid: '77' },
      { lid: '77', name: 'Ana' },
      { lid: '78' },
    );
    expect(said.map(({ isNew }) => isNew)).toEqual([true, false, false, true]);
    expect(new Set(said.map(({ contactId }) => contactId)).size).toBe(2);
    expect((await contacts()).map(({ name }) => name)).toEqual(['Ana', '78']);
  });

  it('is learnt little by little, and told', async () => {
    const [made] = await identify({ lid: '77' });
    await identify({ lid: '77', phone: '+5511987654321' });
    await identify({ phone: '+551187654321', name: 'Ana', email: 'ana@example.com' });
    await identify({ phone: '+5511987654321', name: 'Another', email: 'other@example.com' });
    expect(await contacts()).toMatchObject([
      { id: made?.contactId, phone: '+5511987654321', email: 'ana@example.com', version: 3 },
    ]);
    const events = await rows(`select type, data from outbox_event where workspace_id = $w order by id`);
    expect(events.map(({ type, data }) => [type, (data as { changed?: string[] }).changed])).toEqual([
      ['contact.created', undefined],
      ['contact.updated', ['phone']],
      ['contact.updated', ['email']],
    ]);
    expect((await rows(`select type from activity where workspace_id = $w`)).length).toBe(3);
  });

  it('is not two people made one: an identity that is somebody else’s stays there', async () => {
    const [ana, bia] = await identify({ lid: '1' }, { phone: '+5511987654321' });
    expect(await identify({ lid: '1', phone: '+5511987654321', name: 'Ana' })).toEqual([{ ...ana, isNew: false }]);
    expect(await find({ phone: '+5511987654321' }, { lid: '1' })).toEqual([bia?.contactId, ana?.contactId]);
    // Colleagues with one address of their company.
    const [first, second] = await identify(
      { email: 'office@example.com', phone: '+5511911111111' },
      { email: 'office@example.com', phone: '+5511922222222' },
    );
    expect(second?.contactId).not.toBe(first?.contactId);
    expect(await find({ email: 'office@example.com' })).toEqual([first?.contactId]);
  });

  it('leads to who a contact was merged into, and never into the bin', async () => {
    const [loser, winner, gone] = await identify({ lid: '1' }, { lid: '2' }, { lid: '3', phone: '+5511987654321' });
    await rows(
      `update contact set merged_into = '${winner?.contactId}', deleted_at = now() where id = '${loser?.contactId}'`,
    );
    await rows(`update contact set deleted_at = now() where id = '${gone?.contactId}'`);
    expect(await find({ lid: '1' }, { lid: '3' })).toEqual([winner?.contactId, null]);
    const [next] = await identify({ lid: '3', phone: '+5511987654321' });
    expect(next).toEqual({ contactId: expect.not.stringMatching(gone?.contactId ?? ''), isNew: true });
  });

  it('takes texts nobody would store', async () => {
    const [odd] = await identify({ externalId: `x\0${'y'.repeat(9000)}`, name: `\ud800\0 ${'n'.repeat(900)}` });
    expect(odd?.isNew).toBe(true);
  });

  it('costs as many statements for a thousand as for one', async () => {
    const thousand = Array.from({ length: 1000 }, (_, at) => ({
      phone: `+55119${80000000 + at}`,
      email: `p${at}@example.com`,
    }));
    const { rt } = test;
    let statements = 0;
    const logger = rt.orm.config.getLogger();
    const log = logger.logQuery.bind(logger);
    logger.setDebugMode(['query']);
    logger.logQuery = () => void (statements += 1);
    try {
      await identify(...thousand.slice(0, 1));
      const forOne = statements;
      statements = 0;
      const made = await identify(...thousand);
      expect(statements).toBe(forOne);
      expect(made.filter(({ isNew }) => isNew)).toHaveLength(999);
    } finally {
      logger.logQuery = log;
      logger.setDebugMode(false);
    }
  });
});

describe('two at once', () => {
  const both: [string, Known][] = [
    ['a phone', { phone: '+5511987654321', name: 'Ana' }],
    ['an id of WhatsApp alone', { lid: '77', name: 'Ana' }],
    ['an e-mail address alone', { email: 'ana@example.com' }],
    ['a phone in two forms', { waId: '551187654321' }],
  ];
  it.each(both)('make one contact of %s', async (_, known) => {
    const order: string[] = [];
    const first = tx(async (em) => {
      const [made] = await identifyContacts(em, [known], message());
      order.push('made');
      await wait(150);
      order.push('committing');
      return made;
    });
    while (order.length === 0) await wait(5);
    const [second] = await identify({ ...known }, { externalId: 'other' });
    expect(order).toEqual(['made', 'committing']);
    expect((await first)?.isNew).toBe(true);
    expect(second).toEqual({ contactId: (await first)?.contactId, isNew: false });
    expect((await contacts()).length).toBe(2);
    expect((await rows(`select 1 from outbox_event where workspace_id = $w and type = 'contact.created'`)).length).toBe(
      2,
    );
  });

  it('end with each person once, in whatever order they come', async () => {
    const all = Array.from({ length: 60 }, (_, at) => ({ phone: `+55119${80000000 + at}`, lid: `${at}` }));
    const shuffled = (seed: number) =>
      all.toSorted((a, b) => ((Number(a.lid) * seed) % 61) - ((Number(b.lid) * seed) % 61));
    const answers = await Promise.all([2, 3, 5, 7, 11, 13].map((seed) => identify(...shuffled(seed))));
    expect((await contacts()).length).toBe(60);
    expect(answers.flat().filter(({ isNew }) => isNew)).toHaveLength(60);
    expect((await identities()).length).toBe(120);
  });
});
