import { afterAll, beforeAll, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { cleanTexts } from '#src/modules/privacy/erase.query.ts';
import { needlesOf } from '#src/modules/privacy/needles.ts';
import { readSubject } from '#src/modules/privacy/person.query.ts';
import { STORES } from '#src/modules/privacy/stores.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

const run = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
const nobody = { emails: [], phones: [], handles: [] };

/** What is left of a text of a contact's, in a column of text and in one of JSON. */
async function left(person: { names: string[]; phones?: string[] }, texts: readonly string[], isTheirs = false) {
  await run('delete from contact where workspace_id = $1', [ana.workspace.id]);
  await run(
    `insert into contact (workspace_id, id, name, company, custom_fields)
      select $1, uuidv7(), n, t, jsonb_build_object('t', t) from unnest($2::text[]) with ordinality a(t, n)`,
    [ana.workspace.id, texts],
  );
  await inWorkspaceTx(test.rt.orm, ana.auth, (em) =>
    cleanTexts(
      em,
      { table: 'contact', key: 'id', columns: { company: 'text', custom_fields: 'jsonb' }, where: 'true' },
      needlesOf({ ...nobody, ...person }, isTheirs),
      null,
    ),
  );
  return run(`select company as plain, custom_fields ->> 't' as json from contact order by name::int`);
}
const isLeft = (texts: readonly string[]) => texts.map((text) => ({ plain: text, json: text }));

// Vowels of Devanagari are marks too, and stay.
const withoutMarks = (text: string) =>
  text
    .normalize('NFD')
    .replaceAll(/[\u0300-\u036f\u064b-\u065f\u3099\u309a]/g, '')
    .normalize('NFC');
const spellings = (name: string) => [
  ...new Set(
    [name, name.toUpperCase(), name.toLowerCase(), name.toLocaleLowerCase('tr'), name.toLocaleUpperCase('tr')]
      .flatMap((one) => [one, withoutMarks(one)])
      .flatMap((one) => [one.normalize('NFC'), one.normalize('NFD')]),
  ),
];

it.each([
  ['Андрей Чайковский', 'Андреев Чайковский'],
  ['김철수 박', '김철 수'],
  ['Γιώργος Παπαδόπουλος', 'Γιώργος Παπας'],
  ['山口 がくと', '山田 がくと'],
  ['أحمد إبراهيم', 'أحمد علي'],
  ['Nguyễn Văn Hiếu', 'Nguyễn Văn An'],
  ['ISMAİL Işık', 'Ismail Işıklar'],
  ['José "Zeca" Ferrão', 'José Ferrão'],
  ['Søren Æbelø', 'Soren Abe'],
  ['Jürgen Groß', 'Jurgen Grosso'],
  ['अनीता शर्मा', 'अनत शर्मा'],
  ["Renée O'Hara-Łoś", 'Renee Hara'],
])('%s is found in every spelling, in texts and in JSON; %s is another', async (name, other) => {
  const texts = spellings(name).flatMap((one) => [`1 ${one}, "2"`, `1\n${one}\n2`]);
  expect(await left({ names: [name] }, texts)).toEqual(
    isLeft(texts.map((text) => (text.includes('\n') ? '1\n[erased]\n2' : '1 [erased], "2"'))),
  );
  expect(await left({ names: [name] }, [`1 ${other} 2`])).toEqual(isLeft([`1 ${other} 2`]));
  // Stored without its accents, found with them.
  expect(await left({ names: [withoutMarks(name)] }, [`1 ${name} 2`])).toEqual(isLeft(['1 [erased] 2']));
});

it('events of others are not looked through', async () => {
  const contact = `insert into contact (workspace_id, id, name) values ($1, uuidv7(), 'Ermínia Quaresma') returning id`;
  const [{ id }] = await run(contact, [ana.workspace.id]);
  const write = `insert into outbox_event (workspace_id, id, type, data, subject_id)
    select $1, uuidv7(), 'contact.updated', $2, coalesce($3, uuidv7()) from generate_series(1, $4::int)`;
  const event = [ana.workspace.id, { changed: ['Erminia Quaresma'] }];
  await run(write, [...event, null, 4100]);
  await run(write, [...event, id, 3]);
  const store = STORES.find(({ name }) => name === 'outbox_event');
  const erased = await inWorkspaceTx(test.rt.orm, ana.auth, async (em) =>
    store?.erase(em, await readSubject(em, id), null),
  );
  // In one step, however many others there are.
  expect(erased).toEqual({ count: 3, place: null });
});

it('in what is theirs a single word of the name is found, also between quotes', async () => {
  const texts = ['a "Zeca" b', 'FERRAO', 'José Zeca Ferrão', 'o 철수 사장', '山口さん', 'de', '\nato'];
  const names = ['José "Zeca" Ferrão', '철수 박', '山口 がくと', 'Nato de Sá'];
  expect(await left({ names }, texts, true)).toEqual(
    isLeft(['a "[erased]" b', '[erased]', '[erased]', 'o [erased] 사장', '[erased]さん', 'de', '\nato']),
  );
});

it('a name of signs alone is nobody, and takes nothing apart', async () => {
  const texts = ['a "" b', '\\', '"""', 'x'];
  expect(await left({ names: ['"""', '\\', '(', ''] }, texts, true)).toEqual(isLeft(texts));
});

it('what stands for a short word is longer than it, and fits into its column', async () => {
  await run(
    `insert into contact_field (workspace_id, id, key, name, kind) values ($1, uuidv7(), 'k', repeat('x', 53) || ' Zé Ana', 'text')`,
    [ana.workspace.id],
  );
  const field = { table: 'contact_field', key: 'id', columns: { name: 'text' } as const, where: 'true' };
  const needles = needlesOf({ ...nobody, names: ['Zé Ana'] }, false);
  await inWorkspaceTx(test.rt.orm, ana.auth, (em) => cleanTexts(em, field, needles, null));
  expect(await run('select name from contact_field')).toEqual([{ name: `${'x'.repeat(53)} [erase` }]);
});

it('a number is found right after the end of a line', async () => {
  const [{ plain, json }] = await left({ names: [], phones: ['+5511973315577'] }, ['tel\n11 97331-5577']);
  expect([plain, json]).toEqual(['tel\n[erased]', 'tel\n0']);
});
