import type { FastifyRequest } from 'fastify';
import { AppError, forbidden, unavailable } from '#src/errors.ts';
import { authOf } from '#src/http/auth.ts';
import { may } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { JobEvent } from '#src/modules/jobs/job.schemas.ts';
import type { Submission } from '#src/modules/jobs/jobs.service.ts';
import type { Runtime } from '#src/runtime.ts';
import type { StreamEvent } from '#src/streams/cursor.ts';
import type { Sink, Watch } from '#src/streams/reader.ts';

const CLOSING_RETRY_MS = 1000;
/** As long as OpenAI's own clients wait. */
const WAIT_MAX_MS = 600_000;
const QUEUE_MAX = 100;

type Jobs = Pick<Runtime, 'jobs' | 'reader' | 'closing' | 'access' | 'log'>;
type JobName = { workspaceId: string; id: string };

export interface Followed {
  jobId: string;
  isReplay: boolean;
  /** The job's events, its last one last. @throws AppError 401, 403, 499, 503 or 504 once nobody waits any more, or may */
  events: AsyncGenerator<JobEvent, void, undefined>;
}

/**
 * Accepts a job for one HTTP client and follows it; the events must be read. Their client cannot come back for them: when its connection
 * drops, when they are left, when its session or key ends and when this server closes before the job's end, the job is cancelled.
 * @throws what `Jobs.accept` throws
 */
export async function acceptAndFollow(rt: Jobs, submission: Submission, request: FastifyRequest): Promise<Followed> {
  const { workspaceId } = submission;
  const queue = new EventQueue();
  const job = { workspaceId, id: newId() };
  const watching = rt.reader.watch(job, null, queue, true);
  let jobId: string;
  let isReplay: boolean;
  try {
    ({ jobId, isReplay } = await rt.jobs.accept(submission, job.id));
  } catch (error) {
    (await watching).close();
    throw error;
  }
  if (!isReplay) return { jobId, isReplay, events: follow(rt, job, await watching, queue, request) };
  (await watching).close();
  const earlier = { workspaceId, id: jobId };
  const watch = await rt.reader.watch(earlier, null, queue);
  return { jobId, isReplay, events: follow(rt, earlier, watch, queue, request) };
}

async function* follow(
  rt: Jobs,
  job: JobName,
  watch: Watch,
  queue: EventQueue,
  request: FastifyRequest,
): AsyncGenerator<JobEvent, void, undefined> {
  const left = new AbortController();
  const onGone = () => left.abort(new AppError(499, 'client_gone', 'The client closed the connection.'));
  const onClosing = () =>
    left.abort(unavailable('closing', 'The server is closing. Send the request again.', CLOSING_RETRY_MS));
  const timer = setTimeout(
    () => left.abort(new AppError(504, 'timed_out', 'The job did not end in time.')),
    WAIT_MAX_MS,
  );
  const { socket } = request.raw;
  socket.once('close', onGone);
  if (socket.destroyed) onGone();
  rt.closing.addEventListener('abort', onClosing);
  const unfollow = rt.access.follow(authOf(request), (now) => {
    if (now instanceof AppError) left.abort(now);
    else if (!may(now, 'ai:run')) left.abort(forbidden('This may no longer be asked for.'));
  });
  if (rt.closing.aborted) onClosing();
  try {
    for (let event = await queue.next(left.signal); event; event = await queue.next(left.signal)) {
      watch.resume();
      yield JobEvent.parse({ event: event.event, data: JSON.parse(event.data) });
    }
  } finally {
    clearTimeout(timer);
    socket.off('close', onGone);
    rt.closing.removeEventListener('abort', onClosing);
    unfollow();
    watch.close();
    if (!watch.isOver()) rt.jobs.cancel(job).catch((error: unknown) => rt.log.debug({ err: error }, 'Left to its end'));
  }
}

/** Holds a job's events until they are asked for. When it is full the reader waits, and reads on from the log. */
class EventQueue implements Sink {
  #events: StreamEvent[] = [];
  #isOver = false;
  #wake: () => void = () => undefined;

  deliver(event: StreamEvent): boolean {
    this.#events.push(event);
    this.#wake();
    return this.#events.length < QUEUE_MAX;
  }

  over(): void {
    this.#isOver = true;
    this.#wake();
  }

  /** @returns the next event, as soon as there is one; undefined after the last. @throws the signal's reason */
  async next(signal: AbortSignal): Promise<StreamEvent | undefined> {
    for (;;) {
      signal.throwIfAborted();
      const event = this.#events.shift();
      if (event || this.#isOver) return event;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      signal.addEventListener('abort', this.#wake, { once: true });
      await promise;
      signal.removeEventListener('abort', this.#wake);
    }
  }
}
