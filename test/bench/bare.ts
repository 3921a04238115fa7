// The baseline: the least that accepts a job over HTTP into BullMQ. No database, no check, nothing durable but Redis.
import { Queue } from 'bullmq';
import Fastify from 'fastify';
import { randomUUID } from 'node:crypto';

const queue = new Queue('bare', {
  connection: { url: process.env['REDIS_URL'] ?? '' },
  prefix: `{bare-${randomUUID().slice(0, 8)}}`,
});
const app = Fastify();
app.post('/jobs', async (request, reply) => {
  const id = randomUUID();
  await queue.add('job', request.body, { jobId: id, priority: 1 });
  return reply.code(202).send({ jobId: id, status: 'queued' });
});
const url = await app.listen({ port: 0, host: '127.0.0.1' });
process.stdout.write(`${JSON.stringify({ msg: 'Listening', url })}\n`);
