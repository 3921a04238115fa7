import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { BackendClient } from '../../client/src/index.ts';
import { createInstallation, type Running } from '#test/processes.ts';

/** How far a worker has come when it is killed. */
const KILLED_AT = 0.4;
const BATCH = 1000;
const POLL_MS = 20;

/** Every so many rows one that nobody can call, and one who stands in the file already, in the other form of their number. */
const EVERY_INVALID = 100;
const EVERY_REPEATED = 50;
const numberOf = (no: number): string => String(60_000_000 + no);

function fileOf(rows: number): { text: string; created: number; skipped: number; invalid: number } {
  const lines = ['Nome;Celular;E-mail;Empresa;Cargo'];
  const sums = { created: 0, skipped: 0, invalid: 0 };
  for (let at = 0; at < rows; at += 1) {
    if (at % EVERY_INVALID === EVERY_INVALID - 1) {
      lines.push(`Ninguém ${at};123;;;`);
      sums.invalid += 1;
    } else if (at % EVERY_REPEATED === EVERY_REPEATED - 2) {
      lines.push(`De novo ${at};+55 11 ${numberOf(at - EVERY_REPEATED + 3)};;;`);
      sums.skipped += 1;
    } else {
      lines.push(`Pessoa ${at};(11) 9${numberOf(at)};pessoa${at}@example.com;Empresa ${at % 500};Cargo ${at % 20}`);
      sums.created += 1;
    }
  }
  return { text: `${lines.join('\r\n')}\r\n`, ...sums };
}

async function memoryOf(pid: number): Promise<{ rssMb: number; peakMb: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const read = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024;
  return { rssMb: read('VmRSS'), peakMb: read('VmHWM') };
}

/** What an import that was killed in the middle came to. */
export interface ImportFigures {
  problems: string[];
  uploadMs: number;
  killedAtRow: number;
  rowsPerSecond: number;
  bareRowsPerSecond: number;
  /** Of the first worker until it was killed, and of the second until the end, over what they had when idle. */
  rssGrowthMb: number[];
}

/** Writes the same contacts once more, for another workspace, by bare statements. @returns rows per second */
async function writeBare(pool: Pool, from: string, to: string): Promise<number> {
  const { rows } = await pool.query<{ id: string }>('select id from contact where workspace_id = $1 order by id', [
    from,
  ]);
  const started = performance.now();
  for (let at = 0; at < rows.length; at += BATCH) {
    const ids = rows.slice(at, at + BATCH).map(({ id }) => id);
    const client = await pool.connect();
    try {
      await client.query('begin');
      await client.query(
        `insert into contact (workspace_id, id, name, source, phone, email, company, position)
          select $2, id, name, source, phone, email, company, position from contact where workspace_id = $1 and id = any($3::uuid[])`,
        [from, to, ids],
      );
      await client.query(
        `insert into contact_identity (workspace_id, id, contact_id, kind, value)
          select $2, id, contact_id, kind, value from contact_identity where workspace_id = $1 and contact_id = any($3::uuid[])`,
        [from, to, ids],
      );
      await client.query('commit');
    } finally {
      client.release();
    }
  }
  return rows.length / ((performance.now() - started) / 1000);
}

async function signUp(baseUrl: string, email: string): Promise<{ token: string; workspaceId: string }> {
  const client = new BackendClient({ baseUrl });
  const session = await client.register({ email, password: 'long enough for a drill', name: 'Drill' });
  client.close();
  return { token: session.token, workspaceId: session.workspace.id };
}

/** Imports a file of so many rows; the worker is killed at 40 % and another goes on. What is there then is compared with the file. */
export async function drillImport(rows: number): Promise<ImportFigures> {
  const installation = await createInstallation({ JOB_LEASE_MS: '2000' });
  const { pool } = installation;
  try {
    const [api] = await Promise.all([installation.startApi(), installation.startControl()]);
    const first = await installation.startWorker('bulk-operations');
    const { token, workspaceId } = await signUp(api.url, 'drill@example.com');
    const other = await signUp(api.url, 'bare@example.com');
    const file = fileOf(rows);
    const call = async (method: string, path: string, body: string, type: string) => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': type };
      const answer = await fetch(`${api.url}${path}`, { method, headers, body });
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
      return (await answer.json()) as { id: string; operationId: string };
    };
    const uploading = performance.now();
    const { id } = await call('POST', '/api/imports', file.text, 'text/csv');
    const uploadMs = performance.now() - uploading;
    const idle = await memoryOf(first.pid);
    const body = JSON.stringify({ mode: 'skip' });
    const { operationId } = await call('POST', `/api/imports/${id}/start`, body, 'application/json');
    const progress = async () => {
      const sql = `select done::int as done, status from bulk_operation where id = $1`;
      return (
        (await pool.query<{ done: number; status: string }>(sql, [operationId])).rows[0] ?? { done: 0, status: '' }
      );
    };
    const watch = async (until: number, worker: Running, idleMb: number) => {
      let began: { at: number; done: number } | undefined;
      let peakMb = 0;
      for (;;) {
        const { done, status } = await progress();
        if (done > 0) began ??= { at: performance.now(), done };
        ({ peakMb } = await memoryOf(worker.pid));
        const isOver = !['queued', 'active'].includes(status);
        if (done >= until || isOver) {
          const seconds = (performance.now() - (began?.at ?? 0)) / 1000;
          return { done, status, growthMb: peakMb - idleMb, seconds, moved: done - (began?.done ?? 0) };
        }
        await sleep(POLL_MS);
      }
    };
    const before = await watch(rows * KILLED_AT, first, idle.rssMb);
    await first.kill('SIGKILL');
    const { done: killedAtRow } = await progress();
    // As if the lease of the dead worker had ended.
    await pool.query('update bulk_operation set due_at = now() where id = $1', [operationId]);
    const second = await installation.startWorker('bulk-operations');
    const secondIdle = await memoryOf(second.pid);
    const after = await watch(Infinity, second, secondIdle.rssMb);
    const problems = await checkBooks(pool, { workspaceId, importId: id, operationId, rows, ...file });
    if (killedAtRow === 0 || killedAtRow >= rows)
      problems.push(`the kill came at row ${killedAtRow}, which proves nothing`);
    return {
      problems,
      uploadMs,
      killedAtRow,
      rowsPerSecond: before.moved / before.seconds,
      bareRowsPerSecond: await writeBare(pool, workspaceId, other.workspaceId),
      rssGrowthMb: [before.growthMb, after.growthMb],
    };
  } finally {
    await installation.close();
  }
}

interface Books {
  workspaceId: string;
  importId: string;
  operationId: string;
  rows: number;
  created: number;
  skipped: number;
  invalid: number;
}

/** Compares what an import left with its file. @returns what is wrong */
async function checkBooks(pool: Pool, { workspaceId, importId, operationId, rows, created, skipped, invalid }: Books) {
  const one = async (sql: string, values: string[]) => (await pool.query<Record<string, unknown>>(sql, values)).rows[0];
  const expected: [string, object, Record<string, unknown> | undefined][] = [
    [
      'the operation',
      { status: 'completed', done: rows, counts: { created, updated: 0, skipped, invalid } },
      await one('select status, done::int as done, counts from bulk_operation where id = $1', [operationId]),
    ],
    [
      'the rows',
      { rows, first: 1, last: rows, created, skipped, invalid },
      await one(
        `select count(*)::int as rows, min(row_no) as first, max(row_no) as last, count(*) filter (where status = 'created')::int as created,
          count(*) filter (where status = 'skipped')::int as skipped, count(*) filter (where status = 'invalid')::int as invalid
          from import_row where import_id = $1`,
        [importId],
      ),
    ],
    [
      'the contacts',
      { contacts: created, phones: created },
      await one(
        `select count(*)::int as contacts, count(distinct phone)::int as phones from contact where workspace_id = $1`,
        [workspaceId],
      ),
    ],
    [
      'what they are known by',
      { identities: 2 * created },
      await one('select count(*)::int as identities from contact_identity where workspace_id = $1', [workspaceId]),
    ],
    [
      'the events',
      { made: created, subjects: created, ended: 1 },
      await one(
        `select count(*) filter (where type = 'contact.created')::int as made, count(distinct subject_id)::int as subjects,
          count(*) filter (where type = 'import.completed')::int as ended from outbox_event where workspace_id = $1`,
        [workspaceId],
      ),
    ],
  ];
  return expected.flatMap(([what, wanted, found]) => {
    const wrong = Object.entries(wanted).filter(
      ([key, value]) => JSON.stringify(found?.[key]) !== JSON.stringify(value),
    );
    return wrong.length === 0 ? [] : [`${what}: ${JSON.stringify(found)}, and should be ${JSON.stringify(wanted)}`];
  });
}
