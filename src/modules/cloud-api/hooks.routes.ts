import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { badRequest, unauthenticated } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { IdParams } from '#src/http/fields.ts';
import { makeSafe } from '#src/http/json.ts';
import { OF_REFUSED } from '#src/http/rate-limit/policies.ts';
import { findAnyTarget } from '#src/modules/channels/channels.query.ts';
import { openCredentials } from '#src/modules/cloud-api/credentials.ts';
import { takeIn } from '#src/modules/cloud-api/take-in.ts';
import { isSignedBy, readWebhook } from '#src/modules/cloud-api/webhook.ts';
import type { Runtime } from '#src/runtime.ts';

/** "Payloads can be up to 3 MB" (Meta, webhooks of the WhatsApp Business Platform). */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

/** As Meta asks whether an address is ours. */
const VerifyQuery = z.strictObject({
  'hub.mode': z.literal('subscribe'),
  'hub.verify_token': z.string().min(1).max(1000),
  // Goes back as it came: nothing that a browser could take for a page.
  'hub.challenge': z.string().regex(/^[\w-]{1,200}$/),
});

/** Of equal length, so that the time it takes says nothing of either. */
const isSame = (one: string, other: string): boolean => {
  const [a, b] = [one, other].map((text) => createHash('sha256').update(text).digest());
  return a !== undefined && b !== undefined && timingSafeEqual(a, b);
};

/** `/api/hooks/meta/:id`: where Meta tells what happens to a number of the Cloud API; the id is its channel's. */
export function cloudHookRoutes(rt: Runtime) {
  const { systemPool, vault, limiter, log } = rt;
  const open = async (id: string) => {
    const channel = await findAnyTarget(systemPool, id);
    if (channel?.kind !== 'cloud_api' || !channel.secrets) return null;
    const { workspaceId } = channel;
    return { workspaceId, id, credentials: await openCredentials(vault, workspaceId, id, channel.secrets) };
  };
  // Whoever is right is not counted: Meta tells several things of every message. Whoever is not may be guessing.
  const refuse = async (request: FastifyRequest, what: string, code: string): Promise<never> => {
    await limiter.take(OF_REFUSED, request);
    throw unauthenticated(what, code);
  };
  const schema = { tags: ['delivery'], params: IdParams };

  return async (app: App): Promise<void> => {
    app.get('/api/hooks/meta/:id', {
      config: { access: 'public' },
      schema: { ...schema, summary: 'Meta asks whether it may tell this address', querystring: VerifyQuery },
      handler: async (request, reply) => {
        const { 'hub.verify_token': token, 'hub.challenge': challenge } = request.query;
        const channel = await open(request.params.id);
        if (!channel || !isSame(token, channel.credentials.verifyToken))
          return refuse(request, 'The verify token is not that of this channel.', 'invalid_verify_token');
        return reply.type('text/plain; charset=utf-8').send(challenge);
      },
    });

    await app.register(async (signed) => {
      // The signature is of the body's bytes.
      signed.removeContentTypeParser('application/json');
      signed.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
        done(null, body),
      );
      signed.post('/api/hooks/meta/:id', {
        config: { access: 'public', limits: 'none' },
        bodyLimit: MAX_BODY_BYTES,
        schema: {
          ...schema,
          summary: 'What happened to messages and numbers, told by Meta: signed with the app’s secret',
          response: { 200: z.object({ ok: z.literal(true) }) },
        },
        handler: async (request) => {
          const { id } = IdParams.parse(request.params);
          const bytes = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
          const channel = await open(id);
          if (!channel || !isSignedBy(channel.credentials.appSecret, request.headers['x-hub-signature-256'], bytes))
            return refuse(request, 'The signature is not good.', 'invalid_signature');
          const told = readWebhook(parse(bytes), channel.credentials.phoneNumberId);
          if (!told) throw badRequest('validation_failed', 'The body is no webhook of WhatsApp.');
          if (told.unread > 0) log.warn({ channel: id, entries: told.unread }, 'A webhook told what is not understood');
          await takeIn(rt, channel, told);
          return { ok: true as const };
        },
      });
    });
  };
}

function parse(bytes: Buffer): unknown {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    makeSafe(value);
    return value;
  } catch {
    return undefined;
  }
}
