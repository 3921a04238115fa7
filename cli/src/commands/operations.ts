import type { Command } from 'commander';
import type { Operation, Page } from '../../../client/src/index.ts';
import { OPERATION, pageOf } from '../answers.ts';
import type { Act, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { follow } from '../follow.ts';
import { bar, plain, tally } from '../text.ts';
import { cancelAt } from './cancel.ts';

const isOver = ({ status }: Operation): boolean => status !== 'queued' && status !== 'active';

const lineOf = ({ kind, status, done, total, counts, id }: Operation): string[] =>
  [`${plain(kind)} ${id}`, status, ...bar(done, total), tally(counts)].filter((part) => part !== '');

/** What an operation ends with: rows that were refused are not all of it. */
export function exitCodeOf({ status, counts }: Pick<Operation, 'status' | 'counts'>): number {
  if (status !== 'completed') return EXIT.failed;
  return (counts['invalid'] ?? 0) + (counts['failed'] ?? 0) > 0 ? EXIT.partial : EXIT.done;
}

/** Shows one operation until it is over. @param title how people call it */
export function followOperation(context: Context, id: string, toJson: (operation: Operation) => object = (one) => one) {
  return follow<Operation, 'operation.progressed'>(
    context,
    OPERATION,
    {
      path: `/api/operations/${encodeURIComponent(id)}`,
      events: 'operation.progressed',
      isAbout: ({ data }) => data.operationId === id,
      isOver,
    },
    (operation) => {
      context.out.progress(toJson(operation), [lineOf(operation)], operation.status);
      return undefined;
    },
  );
}

function explain({ out }: Context, { id, problem }: Operation): void {
  if (problem) out.note(`${id}: ${plain(problem.detail)} (${problem.code})`);
}

async function watchOne(context: Context, id: string): Promise<number> {
  context.farewell = `The operation goes on. Watch it again: whatshybrid operations watch ${id}`;
  const operation = await followOperation(context, id);
  explain(context, operation);
  return exitCodeOf(operation);
}

/** All that are under way when it begins, and those that are asked for meanwhile. */
async function watchAll(context: Context): Promise<number> {
  const { out } = context;
  context.farewell = 'They go on. Watch them again: whatshybrid operations watch';
  const seen = new Map<string, string>();
  const ofInterest = ({ data }: Page<Operation>) => data.filter((one) => seen.has(one.id) || !isOver(one));
  const { data } = await follow<Page<Operation>, 'operation.progressed'>(
    context,
    pageOf(OPERATION),
    {
      path: '/api/operations',
      query: { limit: 100 },
      events: 'operation.progressed',
      isOver: (page) => page.data.every(isOver),
    },
    (page) => {
      const shown = ofInterest(page);
      const fresh = shown.filter((one) => seen.get(one.id) !== JSON.stringify(one));
      for (const one of shown) seen.set(one.id, JSON.stringify(one));
      if (out.isJson) for (const one of fresh) out.json(one);
      else if (shown.length > 0) out.progress(shown, shown.map(lineOf), shown.map(({ status }) => status).join());
      return undefined;
    },
  );
  const watched = data.filter(({ id }) => seen.has(id));
  for (const operation of watched) explain(context, operation);
  if (watched.length === 0) out.note('Nothing is under way.');
  const codes = new Set(watched.map(exitCodeOf));
  return [EXIT.failed, EXIT.partial].find((code) => codes.has(code)) ?? EXIT.done;
}

export function addOperations(program: Command, act: Act): void {
  const operations = program
    .command('operations')
    .description('work over many rows: imports, exports, changes of many contacts');
  operations
    .command('watch')
    .argument('[id]', 'one of them; else all that are under way')
    .description('show how far it is until it is over')
    .action(act((context, _options, [id]) => (id === undefined ? watchAll(context) : watchOne(context, id))));
  operations
    .command('cancel')
    .argument('<id>')
    .description('end it: what was done stays, the rest is not done')
    .action(act(cancelAt('operations', OPERATION)));
}
