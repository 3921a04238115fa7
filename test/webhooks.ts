import { createServer, type IncomingHttpHeaders } from 'node:http';
import { once } from 'node:events';
import type { Producer } from '#queues/producer.ts';
import { openPool } from '#src/db/pool.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { createEventRelay } from '#src/events/relay.ts';
import { enrolConsumer } from '#src/events/relay.query.ts';
import { createWebhookConsumer } from '#src/modules/webhooks/consumer.ts';
import { deliver } from '#src/modules/webhooks/deliver.ts';
import { createReadEndpoint } from '#src/modules/webhooks/endpoint.ts';
import { createStep } from '#src/modules/webhooks/step.query.ts';
import { sweepDeliveries } from '#src/modules/webhooks/sweep.ts';
import { isRecord } from '#src/lib/record.ts';
import { openTestApp } from '#test/harness.ts';

/** A request as a receiver got it. */
export interface Received {
  headers: IncomingHttpHeaders;
  text: string;
  body: Record<string, unknown>;
  at: number;
}

export interface Answer {
  status?: number;
  headers?: Record<string, string>;
  text?: string;
  delayMs?: number;
}

const takeIt = (): Answer => ({});

/** Somebody's server for webhooks, on this machine. Answers 200 until told otherwise. */
export async function startReceiver() {
  const received: Received[] = [];
  let answer: (request: Received) => Answer | Promise<Answer> = takeIt;
  let atOnce = 0;
  let mostAtOnce = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    mostAtOnce = Math.max(mostAtOnce, (atOnce += 1));
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    const respond = async (): Promise<void> => {
      const text = Buffer.concat(chunks).toString();
      const body: unknown = JSON.parse(text);
      const one = { headers: request.headers, text, body: isRecord(body) ? body : {}, at: Date.now() };
      received.push(one);
      const { status = 200, headers = {}, text: said = 'ok', delayMs = 0 } = await answer(one);
      if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
      atOnce -= 1;
      response.writeHead(status, headers).end(said);
    };
    request.on('end', () => void respond());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const target = `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  return {
    target,
    url: `http://${target}/hooks`,
    received,
    mostAtOnce: () => mostAtOnce,
    /** What it answers from now on; forgets what it has received. */
    answers(next: typeof answer) {
      answer = next;
      received.length = 0;
      mostAtOnce = 0;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A test app whose events are placed, consumed and delivered by hand, in this process and without Redis between. */
export async function openWebhookTest() {
  const receiver = await startReceiver();
  const test = await openTestApp({ EGRESS_ALLOW: receiver.target, DEFAULT_PLAN: 'enterprise' });
  const { rt } = test;
  const pool = openPool(test.config, { name: 'webhooks', role: 'wh_system', max: 6 }, rt.log);
  const woken: { workspaceId: string; jobId: string }[] = [];
  const producer: Pick<Producer, 'enqueue'> = {
    enqueue: async (_queue, jobs) => void woken.push(...jobs.map(({ ref }) => ref)),
  };
  const consumer = createWebhookConsumer(producer);
  await enrolConsumer(pool, consumer.name);
  const relay = createEventRelay({ pool, consumers: [consumer], log: rt.log, metrics: rt.metrics });
  const stopping = new AbortController();
  const leaving = new AbortController();
  const worker = {
    egress: rt.egress,
    readEndpoint: createReadEndpoint(rt.pool, rt.vault),
    step: createStep(pool),
    log: rt.log,
    metrics: rt.metrics,
    stopping: stopping.signal,
    leaving: leaving.signal,
  };
  const work = async (): Promise<void> => {
    while (woken.length > 0) await Promise.all(woken.splice(0).map((ref) => deliver(worker, ref)));
  };
  return {
    ...test,
    receiver,
    pool,
    worker,
    woken,
    leaving,
    /** Hands events on, wakes, and delivers what is due, until nothing is. */
    async flow(): Promise<void> {
      await relay.place();
      while ((await relay.consume(consumer)) > 0);
      await work();
    },
    /** Makes deliveries of what happened, without delivering. */
    async consume(): Promise<void> {
      await relay.place();
      while ((await relay.consume(consumer)) > 0);
    },
    work,
    /** Wakes for what is due, as the control process does each second, and delivers. */
    async sweep(): Promise<number> {
      const count = await sweepDeliveries(pool, producer);
      await work();
      return count;
    },
    /** Takes every webhook and delivery away. */
    async forget(): Promise<void> {
      woken.length = 0;
      await pool.query('delete from webhook_delivery');
      await pool.query('delete from webhook');
    },
    /** Something happens in a workspace. */
    happen: (workspaceId: string, mark: string) =>
      inWorkspaceTx(rt.orm, { workspaceId }, (em) =>
        emitEvent(em, { type: 'workspace.changed', data: { changed: [mark] }, subjectId: null, actorId: null }),
      ),
    async close() {
      await pool.end();
      await test.close();
      await receiver.close();
    },
  };
}

export type WebhookTest = Awaited<ReturnType<typeof openWebhookTest>>;
