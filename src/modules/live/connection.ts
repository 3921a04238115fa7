import type { WebSocket } from 'ws';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { parseEventId, type EventFeed } from '#src/events/feed.ts';
import { AppError, badRequest, forbidden, notFound, toProblem } from '#src/errors.ts';
import type { Access } from '#src/http/access.ts';
import type { Auth } from '#src/http/access-token.ts';
import { newId } from '#src/lib/ids.ts';
import type { Delivery } from '#src/modules/campaigns/delivery.ts';
import type { AiService } from '#src/modules/ai/ai.service.ts';
import type { Accepted } from '#src/modules/jobs/accept.query.ts';
import type { OwnJobKey } from '#src/modules/jobs/jobs.query.ts';
import type { Jobs } from '#src/modules/jobs/jobs.service.ts';
import { ClientFrame, Close } from '#src/modules/live/frames.ts';
import { createPhones } from '#src/modules/live/phones.ts';
import { createFollows, EVENTS_TOPIC } from '#src/modules/live/follows.ts';
import { createOutbound } from '#src/modules/live/outbound.ts';
import type { SyncBody } from '#src/modules/messages/messages.schemas.ts';
import { makeSafe } from '#src/http/json.ts';
import { toAppError } from '#src/http/problem.ts';
import { may, mustHave, onlyOwner } from '#src/http/permissions.ts';
import { fieldErrors } from '#src/http/validation.ts';
import { parseResumeId, QUEUED_ID } from '#src/streams/cursor.ts';
import type { StreamReader } from '#src/streams/reader.ts';

const AUTH_WITHIN_MS = 5000;
const HEARTBEAT_MS = 20_000;
const MAX_SILENCE_MS = 3 * HEARTBEAT_MS;
const FRAMES_PER_SECOND = 50;
const BURST_FRAMES = 500;
const DAY_MS = 86_400_000;

export type FrameOf<Type extends ClientFrame['type']> = Extract<ClientFrame, { type: Type }>;

export interface ConnectionResources {
  jobs: Jobs;
  ai: AiService;
  delivery: Delivery;
  reader: StreamReader;
  events: EventFeed;
  identify: (frame: FrameOf<'auth'>) => Promise<Auth>;
  access: Pick<Access, 'follow'>;
  /** Counts one submit, or what is no work of AI. @throws AppError 429 */
  admit: (auth: Auth, what: 'ai' | 'request') => Promise<unknown>;
  /** Stores a batch of messages. */
  sync: (auth: Auth, batch: z.output<typeof SyncBody>) => Promise<object>;
  /** Makes room for one socket more of a caller. @returns a function that gives it back. @throws AppError 429 */
  enter: (auth: Auth) => () => void;
  log: Logger;
  requestId: string;
  /** Multiplies the frames a client may send. */
  rateScale: number;
}

/** Serves one WebSocket until it closes. */
export function serveSocket(socket: WebSocket, resources: ConnectionResources): void {
  const { jobs, ai, reader, events } = resources;
  const log = resources.log.child({ requestId: resources.requestId });
  const outbound = createOutbound(socket);
  let access: Auth | null = null;
  let unfollowCaller: (() => void) | undefined;
  let leave: (() => void) | undefined;
  let expiry: NodeJS.Timeout | undefined;
  let heardAt = performance.now();
  let allowance = BURST_FRAMES * resources.rateScale;
  let allowanceAt = heardAt;

  const close = (code: number, reason: string): void => socket.close(code, reason);
  const authTimer = setTimeout(() => close(Close.noAuthInTime, 'no auth frame in time'), AUTH_WITHIN_MS);
  const heartbeat = setInterval(() => {
    if (performance.now() - heardAt > MAX_SILENCE_MS) socket.terminate();
    else outbound.send({ type: 'ping' });
  }, HEARTBEAT_MS);

  const known = (): Auth => {
    if (!access) throw new AppError(401, 'unauthenticated', 'Send an auth frame first.');
    return access;
  };

  const follows = createFollows({ socket, outbound, reader, events, known });
  const phones = createPhones(resources.delivery, known, {
    admit: (auth) => resources.admit(auth, 'request'),
    log,
  });

  const authenticate = async (frame: FrameOf<'auth'>): Promise<object> => {
    const fresh = await resources.identify(frame);
    // What is opened for a socket that was closed meanwhile would never be given back.
    if (socket.readyState !== socket.OPEN) return {};
    if (access && (access.userId !== fresh.userId || access.workspaceId !== fresh.workspaceId)) {
      throw forbidden('This socket belongs to another user or workspace. Open a new one.');
    }
    leave ??= resources.enter(fresh);
    access = fresh;
    unfollowCaller?.();
    unfollowCaller = resources.access.follow(fresh, (now) => {
      if (now instanceof AppError) return close(now.status === 401 ? Close.unauthenticated : Close.forbidden, now.code);
      // It comes back and subscribes to what it may still see.
      if (losesSight(access, now)) close(Close.restarting, 'rights changed');
      access = now;
    });
    clearTimeout(authTimer);
    clearTimeout(expiry);
    // A key may last for longer than a timer can wait; the check of open sockets ends it.
    const leftMs = Math.max(0, fresh.expiresAt - Date.now());
    if (leftMs < DAY_MS) expiry = setTimeout(() => close(Close.unauthenticated, 'token expired'), leftMs);
    const { sessionId, userId, workspaceId, role } = fresh;
    return { sessionId, userId, workspaceId, role, heartbeatMs: HEARTBEAT_MS };
  };

  /** Checks and prices what is submitted. @returns makes it durable under the id */
  const prepared = async (frame: FrameOf<'submit'>, auth: Auth): Promise<(id: string) => Promise<Accepted>> => {
    const origin = { requestId: resources.requestId, idempotencyKey: frame.idempotencyKey ?? null };
    if (frame.engine === 'batch') {
      const batch = ai.parseBatch(frame.input, frame.options);
      const { submission, items } = await ai.prepareBatch(auth, batch.engine, batch.items, batch.options, origin);
      return (id) => jobs.acceptBatch(submission, items, id);
    }
    const { engine, input } = ai.parse(frame.engine, frame.input);
    const submission = await ai.prepare(auth, engine, input, frame.options ?? {}, origin);
    return (id) => jobs.accept(submission, id);
  };

  const submit = async (frame: FrameOf<'submit'>, reply: (fields: object) => void): Promise<void> => {
    const auth = known();
    await resources.admit(auth, 'ai');
    const accept = await prepared(frame, auth);
    // A job that could not be followed must not be accepted: it would run, and be paid for, unseen.
    follows.checkRoom();
    const id = newId();
    const following = follows.job(id, null, true);
    // Also when accepting fails first: the follower is taken away below.
    following.catch(() => undefined);
    const { jobId, isReplay } = await accept(id).catch(async (error: unknown) => {
      await following;
      follows.end(`job:${id}`);
      throw error;
    });
    let release = await following;
    if (isReplay) {
      follows.end(`job:${id}`);
      release = await follows.job(jobId, null, false);
    }
    reply({ jobId, status: 'queued', ...(isReplay ? { replayed: true } : {}) });
    if (!isReplay) {
      outbound.send({ type: 'event', topic: `job:${jobId}`, id: QUEUED_ID, event: 'job.queued', data: { jobId } });
    }
    release();
  };

  const sync = async ({ channel, messages }: FrameOf<'messages.sync'>): Promise<object> => {
    const auth = known();
    mustHave(auth, 'messages:write');
    await resources.admit(auth, 'request');
    return resources.sync(auth, { channel, messages });
  };

  const subscribe = async (frame: FrameOf<'subscribe'>, reply: (fields: object) => void): Promise<void> => {
    const campaignId = campaignOf(frame.topic);
    if (frame.topic === EVENTS_TOPIC || campaignId !== undefined) {
      if (campaignId !== undefined) await phones.mustSee(campaignId);
      const from = placeIn(frame.lastEventId, parseEventId, '42');
      const { lastEventId, release } = await follows.events(from, campaignId);
      reply({ lastEventId });
      return release();
    }
    const jobId = jobOf(frame.topic);
    const from = placeIn(frame.lastEventId, parseResumeId, '1-42');
    const view = await jobs.view(ownJob(known(), jobId));
    const release = await follows.job(jobId, from, false);
    reply({});
    if (view.status === 'queued' && frame.lastEventId === undefined) {
      outbound.send({ type: 'event', topic: frame.topic, id: QUEUED_ID, event: 'job.queued', data: { jobId } });
    }
    release();
  };

  const welcome = async (frame: FrameOf<'auth'>, reply: (fields: object) => void): Promise<void> => {
    const fields = await authenticate(frame);
    if (frame.lastEventId === undefined || follows.has(EVENTS_TOPIC)) return reply(fields);
    const { lastEventId, release } = await follows.events(parseEventId(frame.lastEventId));
    reply({ ...fields, lastEventId });
    release();
  };

  const serve = async (frame: ClientFrame): Promise<void> => {
    const reply = (fields: object): void => {
      if (frame.type !== 'pong') outbound.send({ type: 'reply', id: frame.id, ok: true, ...fields });
    };
    switch (frame.type) {
      case 'auth':
        return welcome(frame, reply);
      case 'submit':
        return submit(frame, reply);
      case 'subscribe':
        return subscribe(frame, reply);
      case 'unsubscribe':
        known();
        follows.end(frame.topic.toLowerCase());
        return reply({});
      case 'cancel': {
        const { status } = await jobs.cancel(cancellable(known(), frame.jobId));
        return reply({ jobId: frame.jobId, status });
      }
      case 'channel.claim':
      case 'channel.begin':
      case 'channel.ack':
      case 'channel.release':
      case 'channel.state':
        return reply(await phones.serve(frame));
      case 'messages.sync':
        return reply(await sync(frame));
      case 'pong':
        return phones.keep();
      default:
        return frame satisfies never;
    }
  };

  const refuse = (id: unknown, error: unknown): void => {
    const known = toAppError(error);
    if (known.status >= 500) log.error({ err: error, code: known.code }, 'A frame could not be served');
    const problem = toProblem(known);
    outbound.send({ type: 'reply', id, ok: false, problem });
    if (problem.status === 401) close(Close.unauthenticated, problem.code);
    if (problem.code === 'too_many_sockets') close(Close.tooMany, problem.code);
    if (problem.status === 403 && !access) close(Close.forbidden, problem.code);
  };

  const isWithinAllowance = (): boolean => {
    const now = performance.now();
    const limit = BURST_FRAMES * resources.rateScale;
    allowance = Math.min(limit, allowance + ((now - allowanceAt) / 1000) * FRAMES_PER_SECOND * resources.rateScale);
    allowanceAt = now;
    allowance -= 1;
    return allowance >= 0;
  };

  socket.on('message', (bytes: Buffer, isBinary: boolean) => {
    // A client that does not answer the close can go on sending for 30 s, also one whose token has expired.
    if (socket.readyState !== socket.OPEN) return;
    heardAt = performance.now();
    if (!isWithinAllowance()) return close(Close.tooMany, 'too many frames');
    const raw = isBinary ? null : readJson(bytes.toString());
    if (typeof raw !== 'object' || raw === null) return close(Close.badFrame, 'not a JSON object');
    const id = 'id' in raw ? raw.id : undefined;
    try {
      void serve(readFrame(raw)).catch((error: unknown) => refuse(id, error));
    } catch (error) {
      if (typeof id === 'string' || typeof id === 'number') refuse(id, error);
      else close(Close.badFrame, 'a frame needs an id');
    }
  });
  socket.on('close', () => {
    clearTimeout(authTimer);
    clearTimeout(expiry);
    clearInterval(heartbeat);
    unfollowCaller?.();
    leave?.();
    outbound.close();
    follows.endAll();
    phones.leave();
  });
  // ws reports a client's protocol errors here and closes by itself (1009 for a frame that is too large).
  socket.on('error', (error) => log.debug({ reason: error.message }, 'Socket error'));
}

/** Whether somebody may no longer see what they might have subscribed to. */
const losesSight = (before: Auth | null, now: Auth): boolean =>
  (['jobs:read', 'jobs:all'] as const).some((name) => before !== null && may(before, name) && !may(now, name));

/** A job as the caller may name it: one limited to their own finds no other. */
const ownJob = (auth: Auth, id: string): OwnJobKey => {
  mustHave(auth, 'jobs:read');
  return { workspaceId: auth.workspaceId, id, userId: onlyOwner(auth, 'jobs') };
};

const cancellable = (auth: Auth, id: string): OwnJobKey => {
  mustHave(auth, 'jobs:cancel');
  return ownJob(auth, id);
};

/** @throws AppError 400 naming the field. */
function readFrame(raw: object): ClientFrame {
  makeSafe(raw);
  const parsed = ClientFrame.safeParse(raw);
  if (parsed.success) return parsed.data;
  const errors = fieldErrors(parsed.error.issues, '');
  throw badRequest('validation_failed', `The frame is not valid: ${errors[0]?.path} ${errors[0]?.message}`, errors);
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @throws AppError 400 where a text is not the id of an event of its topic */
function placeIn<Place>(
  lastEventId: string | undefined,
  parse: (text: string) => Place | null,
  like: string,
): Place | null {
  const place = lastEventId === undefined ? null : parse(lastEventId);
  if (lastEventId === undefined || place !== null) return place;
  throw badRequest('validation_failed', 'lastEventId is not the id of an event of this topic.', [
    { path: 'lastEventId', code: 'invalid_event_id', message: `must look like ${like}` },
  ]);
}

const campaignOf = (topic: string): string | undefined =>
  /^campaign:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i.exec(topic)?.[1]?.toLowerCase();

function jobOf(topic: string): string {
  const match = /^job:([0-9a-f-]{36})$/i.exec(topic);
  if (!match?.[1]) {
    throw badRequest('unknown_topic', 'There is no such topic; there are "events", "campaign:<id>" and "job:<id>".', [
      { path: 'topic', code: 'unknown_topic', message: 'must be "events", "campaign:<id>" or "job:<id>"' },
    ]);
  }
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(match[1])) throw notFound('The job');
  return match[1].toLowerCase();
}
