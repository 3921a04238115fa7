import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { doOperations, upload } from '#test/imports.ts';
import { book } from '#test/workbook.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());

const query = async (sql: string, values: unknown[]) => (await test.rt.systemPool.query(sql, values)).rows;

/** A file whose end comes when it is let. */
function slowly(who: TestUser, row: string) {
  const body = new PassThrough();
  body.write(`nome,telefone\n${row}\n`);
  const headers = { ...who.headers, 'content-type': 'text/csv' };
  const answer = test.app.inject({ method: 'POST', url: '/api/imports', headers, payload: body });
  return { end: () => body.end(), status: answer.then(({ statusCode }) => statusCode) };
}

describe('two files that arrive slowly', () => {
  it('are all that a workspace has at once, and leave a place for others', async () => {
    const [greedy, other] = [await aUser(test.rt), await aUser(test.rt)];
    const slow = [slowly(greedy, 'Ana,11987654321'), slowly(greedy, 'Bia,11987654322')];
    const waiting = 'select id from contact_import where workspace_id = $1';
    await expect.poll(async () => (await query(waiting, [greedy.workspace.id])).length).toBe(2);
    const refused = await upload(test, greedy, 'nome,telefone\nCaio,11987654323\n');
    expect(refused.json()).toMatchObject({ status: 429, code: 'too_many_uploads', retryAfterMs: 5000 });
    expect(refused.headers['retry-after']).toBe('5');
    expect((await upload(test, other, 'nome,telefone\nDavi,11987654324\n')).statusCode).toBe(201);
    for (const { end } of slow) end();
    expect(await Promise.all(slow.map(({ status }) => status))).toEqual([201, 201]);
    expect((await upload(test, greedy, 'nome,telefone\nCaio,11987654323\n')).statusCode).toBe(201);
  });
});

/** What a file's `gasto`, a number, comes to in a workspace of a country. */
async function numbersOf(country: string, file: string | Buffer, type?: string): Promise<number[]> {
  const who = await aUser(test.rt);
  await query('update workspace set country = $2 where id = $1', [who.workspace.id, country]);
  await query(
    `insert into contact_field (workspace_id, id, key, name, kind) values ($1, uuidv7(), 'gasto', 'gasto', 'number')`,
    [who.workspace.id],
  );
  const { id } = (await upload(test, who, file, type)).json();
  const url = `/api/imports/${id}/start`;
  await test.app.inject({ method: 'POST', url, headers: who.headers, payload: { mode: 'skip' } });
  await doOperations(test);
  const made = await query(
    `select (custom_fields ->> 'gasto')::float8 as gasto from contact where workspace_id = $1 order by phone`,
    [who.workspace.id],
  );
  return made.map(({ gasto }) => gasto);
}

describe('numbers', () => {
  const csv = 'telefone;gasto\n+5511987654321;R$ 1.500\n+5511987654322;1.500\n+5511987654323;1,500\n';

  it('are taken from a spreadsheet as it holds them', async () => {
    const cells = [
      ['telefone', 'gasto'],
      ['+5511987654321', '1.125'],
      ['+5511987654322', '1500'],
      ['+5511987654323', '0.5'],
    ];
    const rows = cells.map(([phone, number], at) => {
      const typed = at === 0 ? `<c t="inlineStr"><is><t>${number}</t></is></c>` : `<c><v>${number}</v></c>`;
      return `<row><c t="inlineStr"><is><t>${phone}</t></is></c>${typed}</row>`;
    });
    const type = 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet';
    expect(await numbersOf('BR', book(`<worksheet><sheetData>${rows.join('')}</sheetData></worksheet>`), type)).toEqual(
      [1.125, 1500, 0.5],
    );
  });

  it.each([
    ['BR', [1500, 1500, 1.5]],
    ['US', [1500, 1.5, 1500]],
  ])('are read as %s writes them', async (country, numbers) => {
    expect(await numbersOf(country, csv)).toEqual(numbers);
  });
});
