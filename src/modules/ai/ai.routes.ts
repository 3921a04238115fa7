import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { engines } from '#src/ai/engines/index.ts';
import type { Engine } from '#src/ai/engines/define.ts';
import type { App } from '#src/http/app-type.ts';
import type { Auth } from '#src/http/access-token.ts';
import { authOf } from '#src/http/auth.ts';
import { idempotencyKeyOf } from '#src/http/idempotency.ts';
import { may } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { waitSecondsOf, wantsEvents } from '#src/modules/ai/preferences.ts';
import type { Accepted } from '#src/modules/jobs/accept.query.ts';
import { JobAccepted, JobOptions, JobView } from '#src/modules/jobs/job.schemas.ts';
import { jobLinks } from '#src/modules/jobs/jobs.routes.ts';
import type { Submission } from '#src/modules/jobs/jobs.service.ts';
import { openEventStream } from '#src/modules/jobs/sse.ts';
import type { Runtime } from '#src/runtime.ts';
import { QUEUED_ID } from '#src/streams/cursor.ts';

const isSchema = (value: unknown): value is z.ZodType => value instanceof z.ZodType;

/** An engine's body: its input, and `options` beside it. */
function withOptions(input: z.ZodType): z.ZodType<{ options?: JobOptions }> {
  if (input instanceof z.ZodObject) return input.safeExtend({ options: JobOptions.optional() });
  if (input instanceof z.ZodUnion) return z.union(input.options.filter(isSchema).map(withOptions));
  throw new TypeError('The input of an engine must be an object or a union of objects');
}

export type Jobs = Pick<Runtime, 'jobs' | 'reader' | 'closing' | 'access'>;

/** A job to be accepted under an id known before. */
interface Pending {
  workspaceId: string;
  accept: (id: string) => Promise<Accepted>;
}

/** Answers 202, or 200 with the job if it ends within the seconds the client waits. */
export async function acceptAndWait(
  rt: Jobs,
  { workspaceId, accept }: Pending,
  seconds: number,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  const id = newId();
  const { promise: over, resolve } = Promise.withResolvers<'over'>();
  const sink = { deliver: () => true, over: () => resolve('over') };
  const watching = seconds > 0 ? rt.reader.watch({ workspaceId, id }, null, sink, true) : null;
  try {
    const { jobId, isReplay } = await accept(id);
    if (isReplay) reply.header('idempotent-replayed', 'true');
    reply.header('location', jobLinks(jobId).self);
    const replayed = isReplay && watching ? await rt.reader.watch({ workspaceId, id: jobId }, null, sink) : null;
    const isOver = seconds > 0 && (await within(over, seconds, request, rt.closing));
    replayed?.close();
    if (!isOver) return await reply.code(202).send({ jobId, status: 'queued', links: jobLinks(jobId) });
    // Who has waited may have been signed out meanwhile.
    await rt.access.recheck(authOf(request));
    if (request.headers['prefer'] !== undefined) reply.header('preference-applied', `wait=${seconds}`);
    return await reply.code(200).send(await rt.jobs.view({ workspaceId, id: jobId }));
  } finally {
    (await watching)?.close();
  }
}

/** @returns whether the promise settles before the seconds are over, the client is gone or the server closes. */
async function within(
  over: Promise<'over'>,
  seconds: number,
  request: FastifyRequest,
  closing: AbortSignal,
): Promise<boolean> {
  const { promise: ends, resolve } = Promise.withResolvers<'late'>();
  const end = () => resolve('late');
  const timer = setTimeout(end, seconds * 1000);
  request.raw.socket.once('close', end);
  closing.addEventListener('abort', end);
  // Also when it began to close while the job was accepted.
  if (closing.aborted) end();
  const first = await Promise.race([over, ends]);
  clearTimeout(timer);
  request.raw.socket.off('close', end);
  closing.removeEventListener('abort', end);
  return first === 'over';
}

/** Answers with the job's events. */
async function acceptAndStream(rt: Jobs, submission: Submission, auth: Auth, reply: FastifyReply) {
  const { workspaceId } = submission;
  const { jobId, isReplay } = await rt.jobs.accept(submission);
  if (isReplay) reply.header('idempotent-replayed', 'true');
  reply.header('location', jobLinks(jobId).self);
  const stream = openEventStream(reply, rt, { auth, stillMay: (now) => may(now, 'ai:run') });
  stream.send({ id: QUEUED_ID, event: 'job.queued', data: JSON.stringify({ jobId }) });
  stream.attach(await rt.reader.watch({ workspaceId, id: jobId }, null, stream.sink));
  return reply;
}

/** `POST /api/ai/{engine}` for every engine there is: check, accept, answer. */
export function aiRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    for (const engine of Object.values(engines) as Engine[]) {
      app.post(
        `/api/ai/${engine.name}`,
        {
          config: { access: 'ai:run', limits: ['ai'], idempotency: 'own' },
          schema: {
            tags: ['ai'],
            description:
              'Accepts a job. `Prefer: wait=N` (at most 25 s) waits for its end; `Accept: text/event-stream` answers with its events.',
            body: withOptions(engine.input),
            response: { 200: JobView, 202: JobAccepted },
          },
        },
        async (request, reply) => {
          const { options = {}, ...input } = request.body;
          const origin = { requestId: request.id, idempotencyKey: idempotencyKeyOf(request) };
          const auth = authOf(request);
          const submission = await rt.ai.prepare(auth, engine, input, options, origin);
          if (wantsEvents(request)) return acceptAndStream(rt, submission, auth, reply);
          const pending = {
            workspaceId: submission.workspaceId,
            accept: (id: string) => rt.jobs.accept(submission, id),
          };
          return acceptAndWait(rt, pending, waitSecondsOf(request, rt.config.DEFAULT_WAIT_SECONDS), request, reply);
        },
      );
    }
  };
}
