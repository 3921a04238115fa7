import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx, type Scope } from '#src/db/tenant.ts';
import { findContactTables, readContactRow, readContactRows } from '#src/modules/privacy/export.query.ts';

const PAGE = 500;
/** Of what has no id to go on behind: labels and the like. */
const FEW = 10_000;

/**
 * All that is known of a contact as one JSON document, made while it is read, with a page of one table in memory at a time: the contact, and
 * each table that has rows of theirs, by its name.
 */
export async function* exportPerson(orm: Orm, scope: Scope, contactId: string): AsyncGenerator<string> {
  const [contact, tables] = await inWorkspaceTx(orm, scope, async (em) => [
    await readContactRow(em, contactId),
    await findContactTables(em),
  ]);
  yield `{"exportedAt":${JSON.stringify(new Date().toISOString())},"contact":${contact}`;
  for (const table of tables) {
    const limit = table.hasId ? PAGE : FEW;
    const read = (after: string | null) =>
      inWorkspaceTx(orm, scope, (em) => readContactRows(em, table, contactId, { after, limit }));
    yield `,${JSON.stringify(table.name)}:[`;
    let rows = await read(null);
    for (let comma = ''; rows.length > 0; comma = ',') {
      yield comma + rows.map(({ document }) => document).join(',');
      const last = rows.at(-1)?.id ?? null;
      rows = last === null || rows.length < limit ? [] : await read(last);
    }
    yield ']';
  }
  yield '}';
}
