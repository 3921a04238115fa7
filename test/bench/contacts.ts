// Whether a list of contacts costs what a page is or what a workspace has. Run: npm run bench -- contacts
import { percentile } from '#test/bench/load.ts';
import { loadContacts } from '#test/contacts.ts';
import { aUser } from '#test/factories.ts';
import { openTestApp } from '#test/harness.ts';

const SMALL = Number(process.env['CONTACTS_SMALL'] ?? 10_000);
const LARGE = Number(process.env['CONTACTS_LARGE'] ?? 1_000_000);
const ROUNDS = Number(process.env['CONTACTS_ROUNDS'] ?? 200);
const MOST = 1.5;
const NOTES = 1000;
const p95 = (took: number[] | undefined) => percentile(took ?? [], 0.95);
const print = (text: string) => process.stdout.write(`${text}\n`);

const LISTS: Record<string, Record<string, string>> = {
  'newest first': { sort: '-createdAt' },
  'oldest first': { sort: 'createdAt' },
  'last wrote first': { sort: '-lastInboundAt' },
  'last wrote last': { sort: 'lastInboundAt' },
  'best score first': { sort: '-leadScore' },
  'worst score first': { sort: 'leadScore' },
  'by name': { sort: 'name' },
  'by name, backwards': { sort: '-name' },
  'five filters': {
    label: 'common',
    consent: 'granted',
    minScore: '30',
    lastInboundAfter: new Date(Date.now() - 300 * 86_400_000).toISOString(),
    createdAfter: new Date(Date.now() - 600 * 86_400_000).toISOString(),
    sort: '-lastInboundAt',
  },
  'a rare label': { label: 'rare', sort: '-leadScore' },
  'a rare word': { q: 'quaresma', sort: '-lastInboundAt' },
  'an e-mail': { q: 'p4242@example.com', sort: '-lastInboundAt' },
  'a common word': { q: 'contato', sort: 'name' },
  'digits of a phone': { q: `9${String((4242 * 48_271) % 99_999_989).padStart(8, '0')}` },
};

/** Milliseconds of each request: of pages of one list one after the other, and of the same pages again, which Postgres has in its memory then. */
interface Passes {
  first: number[];
  again: number[];
}

/** @returns by query */
async function measure(count: number): Promise<Map<string, Passes>> {
  const test = await openTestApp();
  const owner = await aUser(test.rt);
  const started = performance.now();
  const workspaceId = owner.workspace.id;
  await loadContacts(test.config.DATABASE_URL, { workspaceId, ownerId: owner.user.id, count });
  const { rows } = await test.rt.systemPool.query<{ id: string }>(
    'select id from contact where workspace_id = $1 order by created_at limit 1',
    [workspaceId],
  );
  const contactId = rows[0]?.id ?? '';
  await test.rt.systemPool.query(
    `insert into activity (workspace_id, id, type, contact_id, payload, occurred_at)
      select $1, uuidv7(), 'note.added', $2, '{"text": "Oi"}', now() - n * interval '1 minute' from generate_series(1, $3::int) n`,
    [workspaceId, contactId, NOTES],
  );
  print(`  ${count} contacts loaded in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  const times = new Map<string, Passes>();
  const queries = Object.entries(LISTS).map(([name, query]) => ({ name, url: '/api/contacts', query }));
  for (const { name, url, query } of [
    ...queries,
    { name: 'timeline', url: `/api/contacts/${contactId}/timeline`, query: {} },
  ]) {
    const pass = async () => {
      const took: number[] = [];
      let cursor = '';
      for (let round = 0; round < ROUNDS; round += 1) {
        const at = performance.now();
        const answer = await test.app.inject({
          url,
          query: cursor === '' ? query : { ...query, cursor },
          headers: owner.headers,
        });
        took.push(performance.now() - at);
        if (answer.statusCode !== 200 || answer.json().data.length === 0) throw new Error(`${name}: ${answer.body}`);
        cursor = String(answer.json().page.nextCursor ?? '');
      }
      return took;
    };
    times.set(name, { first: await pass(), again: await pass() });
  }
  await test.close();
  return times;
}

const small = await measure(SMALL);
const large = await measure(LARGE);
print(`p95 in ms, again    at ${SMALL}   at ${LARGE}   ratio   (first pass: at ${LARGE})`);
let isSlow = false;
for (const [name, few] of small) {
  const [before, after] = [p95(few.again), p95(large.get(name)?.again)];
  isSlow ||= after / before > MOST;
  const figures = [
    before.toFixed(1).padStart(8),
    after.toFixed(1).padStart(8),
    (after / before).toFixed(2).padStart(6),
  ];
  print(`${name.padEnd(20)} ${figures.join(' ')} ${p95(large.get(name)?.first).toFixed(1).padStart(8)}`);
}
if (isSlow) process.exitCode = 1;
