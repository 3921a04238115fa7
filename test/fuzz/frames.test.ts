import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { isRecord } from '#src/lib/record.ts';
import { ClientFrame } from '#src/modules/live/frames.ts';
import { SyncItem } from '#src/modules/messages/messages.schemas.ts';
import { fit, type Json, type Making } from '#test/fuzz/fit.ts';
import { identify, meet, openTarget, type Target } from '#test/fuzz/http.ts';
import { CANARY, judge } from '#test/fuzz/judge.ts';
import { createRandom, type Random } from '#test/fuzz/random.ts';
import type { Identities } from '#test/fuzz/requests.ts';
import { nasty, spoil, spoilJson } from '#test/fuzz/spoil.ts';
import { createWords } from '#test/fuzz/words.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_124);
const FRAMES = Number(process.env['FUZZ_FRAMES'] ?? 2000);
const WITHIN_MS = 10_000;
const CLOSE_CODES = new Set([1009, 4400, 4401, 4403, 4408, 4413, 4429]);
const SHAPE = z.toJSONSchema(ClientFrame, { io: 'input', unrepresentable: 'any' });

const words = createWords();
let target: Target;
let who: Identities;
let address: string;
beforeAll(async () => {
  target = await openTarget();
  const people = await meet(target);
  who = await identify(target, people, words);
  address = await target.app.listen({ host: '127.0.0.1', port: 0 });
  for (const authorization of [who.owner, who.stranger]) {
    const payload = { text: authorization === who.stranger ? CANARY : 'Adorei!' };
    const headers = { authorization };
    const answer = await target.app.inject({ method: 'POST', url: '/api/ai/sentiment', headers, payload });
    words.learn('jobs', answer.json());
  }
});
afterAll(() => target.close());

type Outcome = { closed: number } | { reply: Json };

/** A socket that turns what it hears into what one frame led to. */
async function openSocket(token: string | null) {
  const socket = new WebSocket(`${address.replace('http', 'ws')}/api/ws`);
  const waiting = new Set<(outcome: Outcome) => void>();
  const settle = (outcome: Outcome): void => {
    for (const resolve of waiting) resolve(outcome);
    waiting.clear();
  };
  socket.addEventListener('close', ({ code }) => settle({ closed: code }));
  socket.addEventListener('message', ({ data }) => {
    expect(data).not.toContain(CANARY);
    const message: unknown = JSON.parse(String(data));
    if (isRecord(message) && message['type'] === 'reply') settle({ reply: message });
  });
  const opened = Promise.withResolvers<void>();
  socket.addEventListener('open', () => opened.resolve(), { once: true });
  await opened.promise;
  /** What a frame led to. A `pong` has no reply, so a frame that always has one goes behind it. */
  const send = (frame: string | Buffer): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`No reply and no close within ${WITHIN_MS} ms`)), WITHIN_MS);
      waiting.add((outcome) => {
        clearTimeout(late);
        resolve(outcome);
      });
      socket.send(typeof frame === 'string' ? frame : new Uint8Array(frame));
      if (/"pong"/.test(frame.toString())) socket.send('{"type":"nothing","id":"behind"}');
    });
  if (token !== null)
    expect(await send(JSON.stringify({ type: 'auth', id: 0, token }))).toMatchObject({ reply: { ok: true } });
  return { send, isOpen: () => socket.readyState === WebSocket.OPEN, close: () => socket.close() };
}

const bearer = (authorization: string) => authorization.replace('Bearer ', '');

/** A submission whose input fits an engine's, as the body of its route has it. */
function submission(making: Making): Json {
  const posts = target.operations.filter(({ name, body }) => name.startsWith('POST /api/ai/') && body);
  const post = making.random.pick(posts);
  const body = fit(post?.body, { ...making, root: post?.body ?? {} });
  const { options, ...input } = isRecord(body) ? body : { options: body };
  const engine = post?.url.split('/').at(-1);
  return { type: 'submit', id: making.random.int(1e6), engine, input, ...(options === undefined ? {} : { options }) };
}

/** A batch of messages that fit, with some that do not. */
function batch(making: Making): Json {
  const post = target.operations.find(({ name }) => name === 'POST /api/messages/sync');
  const item = z.toJSONSchema(SyncItem, { io: 'input', unrepresentable: 'any' });
  const body = fit(post?.body, { ...making, root: post?.body ?? {} });
  const messages = Array.from({ length: 1 + making.random.int(4) }, () => fit(item, { ...making, root: item }));
  return { type: 'messages.sync', id: making.random.int(1e6), ...(isRecord(body) ? body : {}), messages };
}

function aFrame(random: Random): unknown {
  const making: Making = { random, words, root: SHAPE };
  const id = random.int(1e6);
  const token = bearer(random.pick([who.owner, who.stranger, `${who.owner.slice(0, -5)}AAAAA`]));
  const good = random.one<unknown>(
    [4, () => fit(SHAPE, making)],
    [4, () => submission(making)],
    [1, () => batch(making)],
    [
      2,
      () => ({
        type: random.pick(['subscribe', 'unsubscribe']),
        id,
        topic: `job:${words.recall('jobId', random)}`,
      }),
    ],
    [
      1,
      () => ({
        type: random.pick(['subscribe', 'unsubscribe']),
        id,
        topic: 'events',
        ...random.pick([{}, { lastEventId: String(random.int(1e6)) }, { lastEventId: '1-1' }]),
      }),
    ],
    [1, () => ({ type: 'auth', id, token, ...random.pick([{}, { lastEventId: String(random.int(1e6)) }]) })],
    [1, () => nasty(random)],
  );
  return random.chance(0.4) ? spoil(good, random) : good;
}

const frameText = (random: Random): string | Buffer =>
  random.one<string | Buffer>(
    [20, () => JSON.stringify(aFrame(random)) ?? ''],
    [2, () => spoilJson(JSON.stringify(aFrame(random)) ?? '', random)],
    [1, () => random.pick(['', '\0', '[]', '{', 'x'.repeat(262_144), 'x'.repeat(262_145)])],
  );

it('answers every frame with a reply or closes with a code of the contract', async () => {
  const counts = new Map<string, number>();
  let signedIn = await openSocket(bearer(who.owner));
  for (let sent = 0; sent < FRAMES; sent += 1) {
    const random = createRandom(SEED + sent * 7919);
    const isSignedIn = random.chance(0.85);
    if (isSignedIn && !signedIn.isOpen()) signedIn = await openSocket(bearer(who.owner));
    const socket = isSignedIn ? signedIn : await openSocket(null);
    const frame = frameText(random);
    const outcome = await socket.send(frame);
    const name = 'closed' in outcome ? `closed ${outcome.closed}` : outcome.reply['ok'] === true ? 'ok' : 'refused';
    counts.set(name, (counts.get(name) ?? 0) + 1);
    if (!isSignedIn) socket.close();
    const wrong = wrongWith(outcome);
    if (wrong) throw new Error(`${wrong}: frame ${sent} of FUZZ_SEED=${SEED}: ${frame.toString().slice(0, 1000)}`);
    if ('reply' in outcome && outcome.reply['ok'] === true) words.learn('jobs', outcome.reply);
  }
  process.stdout.write(`FUZZ_SEED=${SEED}: ${FRAMES} frames: ${JSON.stringify(Object.fromEntries(counts))}\n`);
  for (const name of ['ok', 'refused', 'closed 4400', 'closed 1009']) expect(counts.get(name)).toBeGreaterThan(0);
  signedIn.close();
  await expect.poll(() => target.rt.reader.counts().watchers).toBe(0);
  await expect.poll(() => target.rt.events.counts().watchers).toBe(0);
});

function wrongWith(outcome: Outcome): string | null {
  if ('closed' in outcome) return CLOSE_CODES.has(outcome.closed) ? null : `closed with ${outcome.closed}`;
  if (outcome.reply['ok'] === true) return null;
  const { problem } = outcome.reply;
  const status = isRecord(problem) ? Number(problem['status']) : 0;
  return judge({ status, type: 'application/problem+json', text: JSON.stringify(problem) });
}
