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
