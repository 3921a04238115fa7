import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
let bia: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  [ana, bia] = [await aUser(test.rt), await aUser(test.rt)];
  await aMember(test.rt, ana.workspace.id, bia.user.id, 'member');
});
afterAll(() => test.close());

async function post(who: TestUser, path: string, payload: object) {
  const headers = { ...who.headers, 'x-workspace-id': ana.workspace.id };
  const answer = await test.app.inject({ method: 'POST', url: `/api/${path}`, headers, payload });
  return { status: answer.statusCode, body: answer.json() };
}
const reasonOf = async (phone: string) => {
  const url = `/api/suppressions?phone=${encodeURIComponent(phone)}`;
  const { data } = (await test.app.inject({ url, headers: ana.headers })).json();
  return data[0]?.reason;
};
let number = 0;
async function aContact() {
  number += 1;
  const phone = `+551198500${String(number).padStart(4, '0')}`;
  const { id } = (await post(ana, 'contacts', { name: `Pessoa ${number}`, phone })).body;
  return { phone, optIn: `contacts/${id}/opt-in`, path: `contacts/${id}` };
}
const proof = { proof: 'Mensagem de 26/11' };

describe('who agrees after all', () => {
  it('is taken off the list by anybody who may write contacts where they opted out themselves', async () => {
    const { phone, path, optIn } = await aContact();
    await post(bia, `${path}/opt-out`, {});
    expect(await reasonOf(phone)).toBe('opt_out');
    expect((await post(bia, optIn, proof)).status).toBe(200);
    expect(await reasonOf(phone)).toBeUndefined();
  });

  it.each(['complaint', 'invalid', 'manual'])('and is on it as %s, by an administrator alone', async (reason) => {
    const { phone, path, optIn } = await aContact();
    await post(ana, 'suppressions', { phone, reason });
    const refused = await post(bia, optIn, proof);
    expect(refused.body).toMatchObject({ status: 409, code: 'suppressed', detail: expect.stringMatching(/reason/) });
    const granted = { decision: 'granted', ...proof };
    expect((await post(bia, `${path}/consent`, granted)).body.code).toBe('suppressed');
    expect(await reasonOf(phone)).toBe(reason);
    const contact = await test.app.inject({ url: `/api/${path}`, headers: ana.headers });
    expect(contact.json().consent).toBe('unknown');
    expect((await post(ana, optIn, proof)).status).toBe(200);
    expect(await reasonOf(phone)).toBeUndefined();
  });

  it('is not by way of an opt-out that stood before the other reason', async () => {
    const { phone, path, optIn } = await aContact();
    await post(bia, `${path}/opt-out`, {});
    await post(ana, 'suppressions', { phone, reason: 'complaint' });
    expect(await reasonOf(phone)).toBe('complaint');
    await post(bia, `${path}/opt-out`, {});
    expect(await reasonOf(phone)).toBe('complaint');
    expect((await post(bia, optIn, proof)).body.code).toBe('suppressed');
    const again = { phones: [phone], reason: 'manual' };
    expect((await post(bia, 'suppressions/import', again)).body).toMatchObject({ added: 0, alreadyThere: 1 });
  });
});

const eventsOf = async (id: string) =>
  (
    await test.rt.systemPool.query(
      'select decision, legal_basis, proof, actor_id from consent_event where contact_id = $1 order by id',
      [id],
    )
  ).rows;
const patch = async (id: string, payload: object) =>
  (await test.app.inject({ method: 'PATCH', url: `/api/contacts/${id}`, headers: ana.headers, payload })).statusCode;

const idOf = ({ path }: { path: string }) => path.slice('contacts/'.length);

describe('who said no', () => {
  it('when they were written down is on the list, and the decision is kept', async () => {
    const [said, phone] = [{ consent: 'denied' }, '+5511985010001'];
    const { status, body } = await post(bia, 'contacts', { name: 'Não', phone, ...said });
    expect([status, body.consent, await reasonOf(phone)]).toEqual([201, 'denied', 'opt_out']);
    const kept = { legal_basis: 'consent', proof: null, actor_id: bia.user.id };
    expect(await eventsOf(body.id)).toEqual([{ decision: 'denied', ...kept }]);
    const agreed = (await post(bia, 'contacts', { name: 'Sim', phone: '+5511985010002', consent: 'granted' })).body;
    expect(await eventsOf(agreed.id)).toEqual([{ decision: 'granted', ...kept }]);
    const unasked = (await post(bia, 'contacts', { name: 'Quem', consent: 'unknown' })).body;
    expect(await eventsOf(unasked.id)).toEqual([]);
  });

  it('does not say yes without proof by being written down again', async () => {
    const { phone, path } = await aContact();
    await post(bia, `${path}/opt-out`, {});
    await test.app.inject({ method: 'DELETE', url: `/api/${path}`, headers: ana.headers });
    for (const who of [ana, bia]) {
      const again = await post(who, 'contacts', { name: 'De novo', phone, consent: 'granted' });
      expect([again.status, again.body.code]).toEqual([409, 'suppressed']);
    }
    const made = await post(bia, 'contacts', { name: 'De novo', phone });
    expect([made.status, made.body.consent, await reasonOf(phone)]).toEqual([201, 'unknown', 'opt_out']);
  });

  it('is on it with each number they get, and others are not', async () => {
    const { phone, path } = await aContact();
    await post(bia, `${path}/opt-out`, {});
    const [id = ''] = path.split('/').slice(1);
    expect(await patch(id, { phone: '+5511985020001' })).toBe(200);
    expect(await Promise.all([phone, '+5511985020001'].map(reasonOf))).toEqual(['opt_out', 'opt_out']);
    const other = await aContact();
    expect(await patch(other.path.slice('contacts/'.length), { phone: '+5511985020002' })).toBe(200);
    expect(await reasonOf('+5511985020002')).toBeUndefined();
  });

  it('is on it with the numbers of those they are one with', async () => {
    const [denied, winner, friend] = [await aContact(), await aContact(), await aContact()];
    await post(bia, `${denied.path}/opt-out`, {});
    await post(ana, 'contacts/merge', { winnerId: idOf(winner), loserIds: [idOf(denied)] });
    expect(await reasonOf(winner.phone)).toBe('opt_out');
    await post(ana, 'contacts/merge', { winnerId: idOf(winner), loserIds: [idOf(friend)] });
    expect(await reasonOf(friend.phone)).toBe('opt_out');
  });
});

/** A message of somebody WhatsApp says no number of, or says it now. */
async function write(chat: object) {
  const message = { clientId: crypto.randomUUID(), chat, direction: 'inbound', body: 'Oi', sentAt: new Date() };
  const { status, body } = await post(ana, 'messages/sync', { channel: { externalId: '1' }, messages: [message] });
  expect([status, body.counts]).toMatchObject([200, { created: 1 }]);
  const [row] = (
    await test.rt.systemPool.query('select contact_id from message where id = $1', [body.results[0].messageId])
  ).rows;
  return { id: row.contact_id as string, path: `contacts/${row.contact_id}` };
}

describe('who said no before a number of theirs was known', () => {
  let lid = 700_000;
  const aStranger = async () => ({ lid: `${(lid += 1)}@lid`, ...(await write({ lid: `${lid}@lid` })) });

  it('is on the list with each that messages tell, and whoever said nothing is not', async () => {
    const [denied, other] = [await aStranger(), await aStranger()];
    await post(bia, `${denied.path}/opt-out`, {});
    expect(await write({ lid: denied.lid, waId: '5511985030001@c.us' })).toMatchObject({ id: denied.id });
    expect(await write({ lid: denied.lid, phone: '+5511985030002' })).toMatchObject({ id: denied.id });
    expect(await write({ lid: other.lid, waId: '5511985030003@c.us' })).toMatchObject({ id: other.id });
    const phones = ['+5511985030001', '+5511985030002', '+5511985030003'];
    expect(await Promise.all(phones.map(reasonOf))).toEqual(['opt_out', 'opt_out', undefined]);
  });

  it('is on it with one that is learnt in the same moment', async () => {
    const { lid: known, path } = await aStranger();
    await write({ lid: known, waId: '5511985030005@c.us' });
    const client = await test.rt.systemPool.connect();
    try {
      // The message is taken in up to here, and holds the contact meanwhile.
      await client.query('begin; lock table outbox_event in share mode');
      const written = write({ lid: known, waId: '5511985030004@c.us' });
      await new Promise((done) => setTimeout(done, 300));
      const refused = post(bia, `${path}/opt-out`, {});
      await new Promise((done) => setTimeout(done, 300));
      await client.query('commit');
      expect((await refused).status).toBe(200);
      await written;
    } finally {
      client.release();
    }
    expect(await reasonOf('+5511985030004')).toBe('opt_out');
  });

  it('is on it again when they come out of the bin', async () => {
    const { phone, path } = await aContact();
    await post(bia, `${path}/opt-out`, {});
    await test.app.inject({ method: 'DELETE', url: `/api/${path}`, headers: ana.headers });
    const { id } = (await post(ana, 'contacts', { name: 'Outra', phone })).body;
    await post(bia, `contacts/${id}/opt-in`, proof);
    await patch(id, { phone: null });
    expect(await reasonOf(phone)).toBeUndefined();
    expect((await post(ana, `${path}/restore`, {})).status).toBe(200);
    expect(await reasonOf(phone)).toBe('opt_out');
  });

  it('is on it again when a merge in which the other agreed is undone', async () => {
    const [winner, denied] = [await aContact(), await aContact()];
    await post(bia, `${denied.path}/opt-out`, {});
    const { id } = (await post(ana, 'contacts/merge', { winnerId: idOf(winner), loserIds: [idOf(denied)] })).body;
    await post(ana, winner.optIn, proof);
    expect(await Promise.all([winner.phone, denied.phone].map(reasonOf))).toEqual([undefined, undefined]);
    expect((await post(ana, `contacts/merges/${id}/undo`, {})).status).toBe(200);
    expect(await Promise.all([winner.phone, denied.phone].map(reasonOf))).toEqual([undefined, 'opt_out']);
  });
});
