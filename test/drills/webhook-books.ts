import type { HookRequest } from '../../simulator/hook-journal.ts';
import type { Emitted, Endpoint, Field } from './webhook-field.ts';
import type { Touched } from './webhook-storm.ts';

interface Row {
  webhook_id: string;
  event_id: string;
  seq: number;
  status: string;
  attempts: number;
  position: number;
}

/** What the books say, and what is wrong with them, one line each. */
export interface Books {
  problems: string[];
  figures: Record<string, number>;
}

const LANES = 4;

const isTaken = ({ answered }: HookRequest): boolean =>
  typeof answered === 'number' && answered >= 200 && answered < 300;
const sequenceOf = ({ body }: HookRequest): number | null =>
  typeof body === 'object' && body !== null && 'sequence' in body ? Number(body.sequence) : null;

/** Compares what happened, what the receiver wrote down, and what the product believes. */
export async function readBooks(field: Field, touched: Touched): Promise<Books> {
  const problems: string[] = [];
  const figures: Record<string, number> = {};
  const count = (what: string, by = 1): void => void (figures[what] = (figures[what] ?? 0) + by);
  const wrong = (what: string): void => void problems.push(what);
  const journal = field.simulator.hooks.journal.page(0, Infinity);
  const requests = Map.groupBy(journal, ({ hook }) => hook);
  const events = Map.groupBy(field.emitted, ({ workspaceId }) => workspaceId);
  const { rows } = await field.installation.pool.query<Row>(
    `select d.webhook_id, d.event_id, d.seq::float8, d.status, d.attempts, e.position::float8 from webhook_delivery d
     join outbox_event e on e.workspace_id = d.workspace_id and e.id = d.event_id where d.cause = 'event' order by d.webhook_id, d.seq`,
  );
  const deliveries = Map.groupBy(rows, (row) => row.webhook_id);
  for (const endpoint of field.endpoints) {
    const book: Book = {
      endpoint,
      expected: (events.get(endpoint.workspaceId) ?? []).filter(({ type }) => endpoint.types.includes(type)),
      rows: deliveries.get(endpoint.id) ?? [],
      requests: requests.get(endpoint.hook) ?? [],
      isTouched: (eventId) => touched.has(`${endpoint.id} ${eventId}`),
      wrong: (what) => wrong(`${endpoint.hook} (${endpoint.kind}${endpoint.isOrdered ? ', ordered' : ''}): ${what}`),
      count,
    };
    count('deliveries', book.rows.length);
    checkRows(book);
    checkRequests(book);
    if (endpoint.kind === 'clean' || endpoint.kind === 'faulty') checkDelivered(book);
    if (endpoint.isOrdered) checkOrder(book);
  }
  if (requests.has('canary')) wrong('a redirect was followed');
  const unverified = journal.filter(({ verified }) => verified === false);
  if (unverified.length > 0) wrong(`${unverified.length} requests whose signature does not verify`);
  count('requests', journal.length);
  count('requests verified', journal.filter(({ verified }) => verified === true).length);
  problems.push(...(await checkDead(field, requests)));
  return { problems, figures };
}

interface Book {
  endpoint: Endpoint;
  expected: Emitted[];
  rows: Row[];
  requests: HookRequest[];
  isTouched: (eventId: string) => boolean;
  wrong: (what: string) => void;
  count: (what: string, by?: number) => void;
}

/** One delivery of each event, numbered without gaps in the one order of events. */
function checkRows({ endpoint, expected, rows, wrong }: Book): void {
  const ids = new Set(rows.map((row) => row.event_id));
  const missing = expected.filter(({ id }) => !ids.has(id));
  // What is turned off is told of nothing more.
  if (missing.length > 0 && endpoint.kind !== 'gone') wrong(`${missing.length} events without a delivery`);
  if (ids.size !== rows.length) wrong(`${rows.length - ids.size} events with two deliveries`);
  const meant = new Set(expected.map(({ id }) => id));
  const strange = rows.filter((row) => !meant.has(row.event_id));
  if (strange.length > 0) wrong(`${strange.length} deliveries of events that were not meant for it`);
  if (rows.some((row, at) => row.seq !== at + 1)) wrong('its deliveries are not numbered without gaps');
  if (rows.some((row, at) => at > 0 && row.position <= (rows[at - 1]?.position ?? 0)))
    wrong('its deliveries are not numbered in the order of events');
}

/** Each request is of a delivery, always with its event's id. */
function checkRequests({ rows, requests, wrong }: Book): void {
  const bySequence = new Map(rows.map((row) => [row.seq, row.event_id]));
  const ids = new Set(rows.map((row) => row.event_id));
  const other = requests.filter((request) => {
    const sequence = sequenceOf(request);
    return sequence === null ? !ids.has(request.id) : bySequence.get(sequence) !== request.id;
  });
  if (other.length > 0) wrong(`${other.length} requests whose webhook-id is not that of their delivery`);
}

/** Everything arrived, and nothing twice that neither a fault nor a blow has touched. */
function checkDelivered({ endpoint, rows, requests, isTouched, wrong, count }: Book): void {
  const byId = Map.groupBy(requests, ({ id }) => id);
  for (const { event_id: id, status, attempts } of rows) {
    const mine = byId.get(id) ?? [];
    const firstTaken = mine.findIndex(isTaken);
    if (firstTaken < 0) wrong(`the event ${id} never arrived; the product says ${status}`);
    else if (status !== 'delivered') wrong(`the event ${id} arrived, and is ${status}`);
    const doubled = mine.length - firstTaken - 1;
    if (firstTaken >= 0 && doubled > 0) count('doubled by a blow', doubled);
    if (firstTaken >= 0 && doubled > 0 && !isTouched(id)) wrong(`the event ${id} arrived again for no reason`);
    if (firstTaken > 0) count('tried again after a fault or a blow', firstTaken);
    if (endpoint.kind === 'clean' && mine.length > 1 && !isTouched(id)) wrong(`the event ${id} was sent twice`);
    if (mine.length > attempts) wrong(`the event ${id} came ${mine.length} times in ${attempts} attempts`);
    if (!isTouched(id) && mine.length < attempts)
      count('attempts that did not reach the receiver', attempts - mine.length);
  }
}

/** One after the other: none before the one in front of it was taken. */
function checkOrder({ requests, isTouched, wrong }: Book): void {
  let highest = 0;
  const taken = new Set<number>();
  for (const request of requests) {
    const sequence = sequenceOf(request);
    if (sequence === null) continue;
    if (sequence > highest + 1) wrong(`sequence ${sequence} came after ${highest}`);
    if (sequence < highest && !isTouched(request.id)) wrong(`sequence ${sequence} came again after ${highest}`);
    if (sequence > highest && highest > 0 && !taken.has(highest)) wrong(`${sequence} came before ${highest} was taken`);
    highest = Math.max(highest, sequence);
    if (isTaken(request)) taken.add(sequence);
  }
}

/** The dead ones were spared: their breakers opened, and the one that said so is turned off. */
async function checkDead(field: Field, requests: Map<string, HookRequest[]>): Promise<string[]> {
  const problems: string[] = [];
  for (const { id, hook, kind } of field.endpoints) {
    if (kind === 'clean' || kind === 'faulty') continue;
    const { rows } = await field.installation.pool.query<{
      status: string;
      failures: number;
      open: number;
      done: number;
    }>(
      `select w.status, f.failures, count(*) filter (where d.next_attempt_at is not null)::int as open,
         count(*) filter (where d.status = 'delivered')::int as done
       from webhook w join webhook_flow f on f.webhook_id = w.id left join webhook_delivery d on d.webhook_id = w.id
       where w.id = $1 group by w.status, f.failures`,
      [id],
    );
    const [row] = rows;
    const sent = requests.get(hook)?.length ?? 0;
    if (!row || row.done > 0) problems.push(`${hook} (${kind}): ${row?.done} deliveries are said to have arrived`);
    if (kind === 'gone' && (row?.status !== 'disabled' || row.open > 0 || sent > LANES))
      problems.push(`${hook} answered 410, and is ${row?.status} with ${row?.open} open after ${sent} requests`);
    if (kind === 'refused' && (row?.failures ?? 0) < 10)
      problems.push(`${hook} is dead, and its breaker has not opened`);
  }
  return problems;
}
