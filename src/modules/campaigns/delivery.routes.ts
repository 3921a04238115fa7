import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { AppError, unauthenticated } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams, IdText } from '#src/http/fields.ts';
import { makeSafe } from '#src/http/json.ts';
import { AckBody, AckView, AttemptBody, ClaimBody, ClaimView, Done } from '#src/modules/campaigns/delivery.schemas.ts';
import { createDelivery } from '#src/modules/campaigns/delivery.ts';
import { createItems } from '#src/modules/campaigns/items.query.ts';
import { isSigned, openKey } from '#src/modules/channels/channel-keys.ts';
import { findAnyTarget } from '#src/modules/channels/channels.query.ts';
import { raiseKnown } from '#src/modules/messages/raise.ts';
import type { Runtime } from '#src/runtime.ts';

const MAX_CALLBACK_BYTES = 65_536;

const Status = z.enum(['sent', 'delivered', 'read', 'failed']);
const CallbackBody = z.object({
  type: z.literal('campaign.item.status'),
  data: z.union([
    z.object({ itemId: IdText, messageId: z.string().min(1).max(255).optional(), status: Status }),
    z.object({ messageId: z.string().min(1).max(255), status: Status }),
  ]),
});

const schema = { tags: ['delivery'], security: [{ bearer: [] }] };
const run = { access: 'campaigns:run' } as const;

/** `/api/delivery`: how the extension takes what is to be sent, and how gateways say what became of it. */
export function deliveryRoutes(rt: Runtime) {
  const { pool, systemPool, vault, config } = rt;
  const delivery = createDelivery(rt);
  const items = createItems(pool, { leaseMs: config.CAMPAIGN_LEASE_MS, appSecret: config.APP_SECRET });

  return async (app: App): Promise<void> => {
    app.post('/api/delivery/claim', {
      config: run,
      schema: {
        ...schema,
        summary: 'Take messages to send from a phone; one session of a number at a time',
        body: ClaimBody,
        response: { 200: ClaimView },
      },
      handler: (request) => delivery.claim(authOf(request), request.body),
    });

    app.post('/api/delivery/items/:id/begin', {
      config: run,
      schema: {
        ...schema,
        summary: 'Say that it is about to be sent; send only after a 200, and ack after that',
        params: IdParams,
        body: AttemptBody,
        response: { 200: Done },
      },
      handler: async (request) => {
        await delivery.begin(authOf(request), { itemId: request.params.id, ...request.body });
        return { ok: true as const };
      },
    });

    app.post('/api/delivery/items/:id/ack', {
      config: run,
      schema: {
        ...schema,
        summary: 'Say how it ended; may be repeated, and come late',
        params: IdParams,
        body: AckBody,
        response: { 200: AckView },
      },
      handler: (request) => delivery.ack(authOf(request), request.params.id, request.body),
    });

    app.post('/api/delivery/items/:id/release', {
      config: run,
      schema: {
        ...schema,
        summary: 'Give it back unsent',
        params: IdParams,
        body: AttemptBody,
        response: { 200: Done },
      },
      handler: async (request) => {
        await delivery.release(authOf(request), { itemId: request.params.id, ...request.body });
        return { ok: true as const };
      },
    });

    app.post('/api/delivery/items/:id/heartbeat', {
      config: run,
      schema: {
        ...schema,
        summary: 'Keep it for longer',
        params: IdParams,
        body: AttemptBody,
        response: { 200: Done },
      },
      handler: async (request) => {
        await delivery.renew(authOf(request), { itemId: request.params.id, ...request.body });
        return { ok: true as const };
      },
    });

    await app.register(async (signed) => {
      // The signature is of the body's bytes.
      signed.removeContentTypeParser('application/json');
      signed.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
        done(null, body.toString()),
      );
      signed.post('/api/delivery/callbacks/:id', {
        config: { access: 'public' },
        bodyLimit: MAX_CALLBACK_BYTES,
        schema: {
          tags: ['delivery'],
          summary: 'What became of a message, said by a gateway: signed with its channel’s secret (Standard Webhooks)',
          params: IdParams,
          response: { 200: z.object({ changed: z.boolean() }) },
        },
        handler: async (request) => {
          const { id } = IdParams.parse(request.params);
          const text = typeof request.body === 'string' ? request.body : '';
          const channel = await findAnyTarget(systemPool, id);
          const refused = unauthenticated('The signature is not good.', 'invalid_signature');
          if (channel?.kind !== 'webhook' || !channel.secrets) throw refused;
          const key = await openKey(vault, channel.workspaceId, id, channel.secrets);
          if (!isSigned(key, request.headers, text, Date.now() / 1000)) throw refused;
          const body = parse(text);
          makeSafe(body);
          const said = CallbackBody.safeParse(body);
          if (!said.success) throw new AppError(400, 'validation_failed', 'The body is no campaign.item.status.');
          const { data } = said.data;
          const itemId = 'itemId' in data ? data.itemId : null;
          const one = { itemId, messageId: data.messageId ?? null, status: data.status };
          const changed = await items.status(channel.workspaceId, id, [one]);
          if (changed.size > 0) return { changed: true };
          // A message that tried a campaign out is no item's.
          const code = data.status === 'failed' ? 'channel' : null;
          const keys = [
            ...(itemId === null ? [] : [{ kind: 'client' as const, value: itemId }]),
            ...(one.messageId === null ? [] : [{ kind: 'provider' as const, value: one.messageId }]),
          ];
          const told = keys.map((key) => ({ key, status: data.status, errorCode: code }));
          const risen = await inWorkspaceTx(rt.orm, channel, (em) => raiseKnown(em, id, told));
          return { changed: risen > 0 };
        },
      });
    });
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
