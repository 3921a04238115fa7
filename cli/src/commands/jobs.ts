import type { Command } from 'commander';
import type { Job, JobEvent } from '../../../client/src/index.ts';
import { JOB, JOB_STATUS } from '../answers.ts';
import type { Act, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { plain } from '../text.ts';

/** After so long without a word of it the job is asked for. */
const QUIET_MS = 5000;
const pathOf = (id: string) => `/api/jobs/${encodeURIComponent(id)}`;

/** What a terminal may be shown of a job's text: its lines, and nothing that steers. */
const printable = (text: string): string => text.replaceAll(/[^\P{Cc}\n\t]/gu, '');

/** Says when the connection is lost, and when it is back. @returns the way to stop */
function tellConnection({ out }: Context, bus: { on(name: string, listener: (state: unknown) => void): () => void }) {
  let isAway = false;
  return bus.on('socket.state', (payload) => {
    const state = typeof payload === 'object' && payload !== null && 'state' in payload ? payload.state : undefined;
    if (state === 'waiting' && !isAway) out.note('The connection is lost. Trying again until it is back …');
    if (state === 'ready' && isAway) out.note('It is back.');
    if (state === 'waiting' || state === 'ready') isAway = state === 'waiting';
  });
}

/** Writes a job's text while it is made. A pipe gets only what stands in the end: text may still be taken back. */
async function showText({ out }: Context, run: AsyncIterable<{ delta: string; restarted: boolean }>): Promise<string> {
  let text = '';
  for await (const { delta, restarted } of run) {
    if (restarted && text !== '') out.note(out.isTerminal ? '\n(begins anew)' : 'The text begins anew.');
    if (out.isTerminal) out.text(printable(delta));
    text = restarted ? delta : text + delta;
  }
  if (!out.isTerminal && text !== '') out.text(`${text}\n`);
  if (out.isTerminal && text !== '') out.text('\n');
  return text;
}

function tellUsage({ out }: Context, { usage }: Job): void {
  if (!usage) return;
  const { provider, model, inputTokens, outputTokens, costUsd, degraded } = usage;
  const tokens = `${inputTokens} + ${outputTokens} tokens`;
  const parts = [plain(provider), plain(model), tokens, `US$ ${costUsd.toFixed(6)}`];
  out.note([...parts, ...(degraded ? ['answered without a model'] : [])].join(' · '));
}

async function watch(context: Context, _options: object, [id = '']: string[]): Promise<number> {
  const { out, signal } = context;
  context.farewell = `The job goes on. Watch it again: whatshybrid jobs watch ${id}`;
  const client = await context.connect();
  // Before it is listened to: whether there is such a job, and a backend.
  await context.request(JOB, 'GET', pathOf(id));
  const stopTelling = tellConnection(context, client.bus);
  let isToldCompleted = false;
  const onEvent = (event: JobEvent) => {
    isToldCompleted ||= event.event === 'job.completed';
    // How it failed is told once, as the problem it ends with.
    if (event.event !== 'job.failed' && event.event !== 'job.cancelled') out.json(event);
  };
  try {
    const run = client.jobs.follow(id, { signal, onEvent, quietMs: QUIET_MS });
    const text = await showText(context, run);
    const job = await run.result;
    // Found out by asking, where the event was lost.
    if (!isToldCompleted) out.json({ event: 'job.completed', data: job } satisfies JobEvent);
    if (text === '') out.text(`${JSON.stringify(job.result, undefined, 2)}\n`);
    tellUsage(context, job);
    return EXIT.done;
  } finally {
    stopTelling();
  }
}

async function cancel({ out, request }: Context, _options: object, [id = '']: string[]): Promise<number> {
  const ended = await request(JOB_STATUS, 'POST', `${pathOf(id)}/cancel`);
  out.json(ended);
  const isTooLate = ended.status === 'completed' || ended.status === 'failed';
  out.note(`The job is ${isTooLate ? 'already ' : ''}${ended.status}.`);
  return isTooLate ? EXIT.failed : EXIT.done;
}

export function addJobs(program: Command, act: Act): void {
  const jobs = program.command('jobs').description('AI jobs');
  jobs.command('watch').argument('<id>').description('show what a job writes until it has ended').action(act(watch));
  jobs.command('cancel').argument('<id>').description('end it').action(act(cancel));
}
