import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Auth } from '#src/http/access-token.ts';
import { dealsOf, type DealsOf } from '#src/modules/activities/activity-sight.ts';
import { findContactTables, readContactRow, readContactRows } from '#src/modules/privacy/export.query.ts';

const PAGE = 500;
/** Of what has no id to go on behind: labels and the like. */
const FEW = 10_000;

/** What is left out, and for want of which permission. */
const omittedOf = (seen: DealsOf) =>
  seen === 'all' ? [] : [{ what: 'deals', permission: seen === 'nobody' ? 'deals:read' : 'deals:all' }];

/**
 * All that is known of a contact as one JSON document, made while it is read, with a page of one table in memory at a time: the contact, and
 * each table that has rows of theirs, by its name. Deals that the caller may not see are left out, with what hangs on them, and it says so.
 */
export async function* exportPerson(orm: Orm, auth: Auth, contactId: string): AsyncGenerator<string> {
  const [contact, tables] = await inWorkspaceTx(orm, auth, async (em) => [
    await readContactRow(em, contactId),
    await findContactTables(em),
  ]);
  const seen = dealsOf(auth);
  yield `{"exportedAt":${JSON.stringify(new Date().toISOString())},"omitted":${JSON.stringify(omittedOf(seen))},"contact":${contact}`;
  for (const table of tables) {
    const limit = table.hasId ? PAGE : FEW;
    const read = (after: string | null) =>
      inWorkspaceTx(orm, auth, (em) => readContactRows(em, table, contactId, { dealsOf: seen, after, limit }));
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
