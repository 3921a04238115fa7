import { createSecretKey, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openTestRuntime, type TestRuntime } from '../test/harness.ts';
import { openRedis } from '#src/lib/redis.ts';
import { newId } from '#src/lib/ids.ts';
import { controlChannel } from '#src/streams/frame.ts';
import { createStreamWriter } from '#src/streams/writer.ts';
import { createLeases, type Leases, type Running } from '#workers/leases.ts';
import { Stop } from '#workers/stop.ts';

let test: TestRuntime;
let leases: Leases;
let subscriber: ReturnType<typeof openRedis>;
let prefix: string;
let channel: string;

beforeAll(async () => {
  test = await openTestRuntime();
});
afterAll(() => test.close());
beforeEach(async () => {
  const { pool, log, metrics } = test.rt;
  // The connection of the test before may still be listening.
  prefix = `${test.config.REDIS_PREFIX}-${randomBytes(3).toString('hex')}`;
  channel = controlChannel(prefix);
  subscriber = openRedis(test.config.REDIS_URL, 'commands', log);
  leases = createLeases({ pool, subscriber, prefix, leaseMs: 60_000, log, metrics });
  await expect.poll(async () => (await test.rt.redis.pubsub('NUMSUB', channel))[1]).toBe(1);
});
afterEach(() => {
  leases.close();
  subscriber.disconnect();
});

function anAttempt(): Running {
  const id = newId();
  const writer = createStreamWriter({
    emit: async () => 'written',
    prefix,
    master: createSecretKey(randomBytes(32)),
    jobId: id,
    attempt: 1,
    onFenced: () => undefined,
  });
  return { workspaceId: newId(), id, leaseToken: newId(), controller: new AbortController(), writer };
}

describe('the leases of a process', () => {
  it('stop on a drain what runs, and what was only being claimed then', () => {
    const [running, late] = [anAttempt(), anAttempt()];
    leases.hold(running);
    leases.stopAll('drain');
    leases.hold(late);
    expect([running, late].map(({ controller }) => controller.signal.reason)).toEqual([
      new Stop('drain'),
      new Stop('drain'),
    ]);
  });

  it('outlive a control message they do not know', async () => {
    const running = anAttempt();
    leases.hold(running);
    for (const message of ['{"op":"pause","jobId":"x"}', 'not JSON']) await test.rt.redis.publish(channel, message);
    await test.rt.redis.publish(channel, JSON.stringify({ op: 'cancel', jobId: running.id }));
    if (!running.controller.signal.aborted) await once(running.controller.signal, 'abort');
    expect(running.controller.signal.reason).toEqual(new Stop('cancelled'));
  });
});
