import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import { ApiError, type Import, type ImportStart, type UploadedImport } from '../../../client/src/index.ts';
import { ACCEPTED, pageOf, REJECTED_ROW, UPLOADED } from '../answers.ts';
import type { Act, Context } from '../context.ts';
import { download } from '../download.ts';
import { EXIT, usageError } from '../exit.ts';
import { mustBeWritable } from '../fresh-file.ts';
import { isFile, isSameFile, readInput } from '../input-file.ts';
import { canAsk, confirm } from '../prompt.ts';
import { count, plain, tally } from '../text.ts';
import { exitCodeOf, followOperation } from './operations.ts';

interface ImportOptions {
  mode: ImportStart['mode'];
  map?: string[];
  dryRun?: boolean;
  yes?: boolean;
  country?: string;
  label?: string[];
  consent?: 'granted' | 'denied';
  rejected?: string;
  continue?: string;
}

/** 100 MB over a slow line; the backend has a shorter limit of its own. */
const UPLOAD_MS = 600_000;
const SHOWN_REJECTED = 5;
/** By any of these somebody is known. */
const IDENTITIES = new Set(['phone', 'email', 'externalId', 'id']);
const pathOf = (id: string) => `/api/imports/${encodeURIComponent(id)}`;
const read = ({ request }: Context, id: string) => request(UPLOADED, 'GET', pathOf(id));

async function upload(context: Context, file: string): Promise<UploadedImport> {
  const body = await readInput(context, file);
  const query = { fileName: file === '-' ? undefined : basename(file).slice(-200) };
  return context.request(UPLOADED, 'POST', '/api/imports', { body, query, timeoutMs: UPLOAD_MS });
}

/** Where refused rows go, which can be written to. @throws CliError where it cannot, or is what is imported */
async function whereRejectedGo(
  { out }: Context,
  { rejected, dryRun }: ImportOptions,
  path?: string,
): Promise<(id: string) => string> {
  const besides = path !== undefined && path !== '-' && (await isFile(path)) ? `${path}.rejected.csv` : undefined;
  const named = rejected ?? besides;
  if (named === '-' && out.isJson)
    throw usageError('stdout cannot be JSON and the refused rows: say --rejected with a file.');
  if (named !== undefined && path !== undefined && (await isSameFile(named, path)))
    throw usageError(`--rejected ${named} is the file that is imported.`);
  const where = (id: string) => named ?? `import-${id}.rejected.csv`;
  if (!dryRun && named !== '-') await mustBeWritable(where('new'));
  return where;
}

/**
 * What each column is to become: what it seems to be, but for those that are named (`Header=field`, or `3=field` counted from 1).
 * @throws CliError for a column that there is not
 */
export function mapColumns({ columns }: Pick<Import, 'columns'>, named: readonly string[]): ImportStart['mapping'] {
  const targets = new Map(columns.map(({ column, to }) => [column, to]));
  for (const text of named) {
    const at = text.lastIndexOf('=');
    const name = text.slice(0, at).trim();
    const found =
      columns.find(({ header }) => header === name) ??
      columns.find(({ header }) => header.toLowerCase() === name.toLowerCase()) ??
      columns.find(({ column }) => String(column + 1) === name);
    if (at < 1 || !found) {
      const headers = columns.map(({ header }) => plain(header)).join(', ');
      throw usageError(`--map ${text}: there is no such column. Say <column>=<field>; the columns are ${headers}.`);
    }
    targets.set(found.column, text.slice(at + 1).trim());
  }
  return [...targets].filter(([, to]) => to !== 'ignore').map(([column, to]) => ({ column, to }));
}

function showMapping({ out }: Context, file: UploadedImport, mapping: ImportStart['mapping'] = []): void {
  const { format, encoding, delimiter, rows, columns, fileName } = file;
  const kind = [format, encoding, ...(delimiter === null ? [] : [JSON.stringify(delimiter)])].join(', ');
  out.note(`${plain(fileName ?? 'The file')} (${kind}): ${count(rows)} rows. Import ${file.id}.`);
  const to = new Map(mapping.map((one) => [one.column, one.to]));
  const lines = columns.map(({ column, header, samples }) => [
    String(column + 1),
    header,
    to.get(column) ?? 'left out',
    samples.join(' | '),
  ]);
  out.table(['#', 'Column', 'Becomes', 'Samples'], lines);
}

/** @throws CliError where no row could be anybody */
function mustHaveIdentity({ id, columns }: UploadedImport, mapping: ImportStart['mapping'] = []): void {
  if (mapping.some(({ to }) => IDENTITIES.has(to))) return;
  const names = columns.map(({ column, header }) => `${column + 1} ${plain(header)}`).join(', ');
  const again = `whatshybrid contacts import --continue ${id} --map N=phone`;
  throw usageError(
    `No column is a phone: say --map N=phone. The columns are ${names}. Without another upload: ${again}`,
  );
}

/** Starts an import. @returns its operation, also when the answer to a first try was lost */
async function start(context: Context, id: string, body: ImportStart): Promise<string> {
  try {
    return (await context.request(ACCEPTED, 'POST', `${pathOf(id)}/start`, { body })).operationId;
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'import_started') throw error;
    const { operationId, dryRun, mode } = await read(context, id);
    if (operationId === null || dryRun !== (body.dryRun ?? false) || mode !== body.mode) throw error;
    return operationId;
  }
}

/** Follows an import that was started to its end. */
async function finish(context: Context, id: string, operationId: string): Promise<UploadedImport> {
  context.farewell = `The import goes on. Come back to it: whatshybrid contacts import --continue ${id}`;
  await followOperation(context, operationId, (operation) => ({ step: 'progress', operation }));
  context.farewell = undefined;
  return read(context, id);
}

async function showRejected({ out, request }: Context, id: string): Promise<void> {
  const query = { status: 'invalid', limit: SHOWN_REJECTED };
  const { data } = await request(pageOf(REJECTED_ROW), 'GET', `${pathOf(id)}/rows`, { query });
  for (const { row, reason, column, cells } of data) {
    const where = column === null ? '' : `, ${plain(column)}`;
    out.note(`  row ${row}${where}: ${plain(reason ?? 'refused')}  ${plain((cells ?? []).join(' | '))}`);
  }
}

/** Says what came of an import, and keeps what was refused. @returns the exit code */
async function conclude(context: Context, file: UploadedImport, rejectedPath: string): Promise<number> {
  const { out } = context;
  const { id, status, counts, problem, dryRun } = file;
  const rejected = counts.invalid > 0 && !dryRun ? rejectedPath : null;
  if (counts.invalid > 0 && !out.isJson) await showRejected(context, id);
  out.json({ step: dryRun ? 'checked' : 'done', import: file, rejected });
  const what = tally(counts) || 'no rows';
  out.note(dryRun ? `It would be: ${what}.` : `The import is ${status}: ${what}.`);
  if (problem) out.note(`${plain(problem.detail)} (${problem.code})`);
  if (rejected !== null) await download(context, `${pathOf(id)}/rejected.csv`, rejected);
  if (rejected !== null) out.note(`The refused rows, each with why, are in ${rejected}.`);
  return exitCodeOf({ status: status === 'completed' ? 'completed' : 'failed', counts });
}

async function importContacts(context: Context, options: ImportOptions, [path]: string[]): Promise<number> {
  const { out, signal } = context;
  const { mode, map = [], yes, dryRun: isDryRun, country, label: labels, consent } = options;
  if ((path === undefined) === (options.continue === undefined))
    throw usageError('Name a file, or an import with --continue: one of them.');
  // Where stdin is the file, it holds no answers.
  const mayAsk = canAsk(context) && !out.isJson && path !== '-';
  if (!yes && !isDryRun && !mayAsk)
    throw usageError('Nobody can be asked here: say --yes to import at once, or --dry-run to see what would become.');
  const whereTo = await whereRejectedGo(context, options, path);
  const file =
    options.continue === undefined ? await upload(context, path ?? '') : await read(context, options.continue);
  const { id, status, operationId, dryRun } = file;
  const rejected = whereTo(id);
  const isUnderWay = operationId !== null && (!dryRun || status === 'queued' || status === 'active');
  if (isUnderWay && !dryRun) return conclude(context, await finish(context, id, operationId), rejected);
  if (isUnderWay) await finish(context, id, operationId);

  const mapping = mapColumns(file, map);
  out.json({ step: 'uploaded', import: file, mapping });
  showMapping(context, file, mapping);
  mustHaveIdentity(file, mapping);
  const body: ImportStart = { mode, mapping, labels, consent, defaultCountry: country };
  if (!yes) {
    context.farewell = `Nothing is imported yet. Come back to it: whatshybrid contacts import --continue ${id}`;
    const checked = await finish(context, id, await start(context, id, { ...body, dryRun: true }));
    const exitCode = await conclude(context, checked, rejected);
    if (isDryRun || checked.status !== 'completed') return exitCode;
    if (!(await confirm('Import them?', signal))) {
      out.note('Nothing was imported.');
      return EXIT.failed;
    }
  }
  return conclude(context, await finish(context, id, await start(context, id, body)), rejected);
}

const collect = (value: string, before: string[] = []) => [...before, value];

export function addContacts(program: Command, act: Act): void {
  program
    .command('contacts')
    .description('people')
    .command('import')
    .argument('[file]', 'CSV or .xlsx; - for stdin')
    .description('upload a file of contacts, show what it is and what would become of it, and import it')
    .addOption(
      new Option('--mode <mode>', 'what becomes of contacts that are known')
        .choices(['skip', 'update', 'merge'])
        .default('skip'),
    )
    .option(
      '--map <column=field>',
      'what a column becomes, by header or number: phone, name, custom:<key>, ignore, …',
      collect,
    )
    .option('--label <name>', "sort every row's contact by it; may be said again", collect)
    .option('--country <code>', 'of phone numbers that say none, like BR')
    .addOption(new Option('--consent <consent>', 'what these people said to marketing').choices(['granted', 'denied']))
    .option('--dry-run', 'end with what would become of the rows')
    .option('-y, --yes', 'import at once: no dry run, no question')
    .option('--rejected <file>', 'where refused rows go; else <file>.rejected.csv')
    .option('--continue <import>', 'come back to an import, wherever it was left')
    .action(act(importContacts));
}
