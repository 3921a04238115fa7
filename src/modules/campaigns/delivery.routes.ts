import { z } from 'zod';
import { AppError, conflict, notFound, unauthenticated } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams, IdText } from '#src/http/fields.ts';
import { createItems, type Ack } from '#src/modules/campaigns/items.query.ts';
import { isSigned, openKey } from '#src/modules/channels/channel-keys.ts';
import { findAnyTarget, holdSession, readTarget } from '#src/modules/channels/channels.query.ts';
import { renderTemplate } from '#src/modules/templates/template.ts';
import type { Runtime } from '#src/runtime.ts';

/** A session that says nothing for so long has gone; its phone may be another's. */
const SESSION_TTL_MS = 30_000;
/** An item is handed out so long before it may be sent, at most. */
const HORIZON_MS = 60_000;
const MAX_CALLBACK_BYTES = 65_536;

const ClaimBody = z.strictObject({
  channelId: IdText,
  /** Made by the client when it starts: who is at the phone. */
  sessionId: IdText,
  max: z.int().min(1).max(5).default(1),
});
const ClaimView = z.object({
  items: z.array(
    z.object({
      itemId: z.uuid(),
      campaignId: z.uuid(),
      contactId: z.uuid(),
      attemptId: z.uuid(),
      fence: z.int(),
      to: z.string(),
      text: z.string(),
      /** Begin no earlier. */
      notBefore: z.string(),
      leaseExpiresAt: z.string(),
    }),
  ),
  /** When to ask again; null: when there is something. */
  againAt: z.string().nullable(),
});
const attempt = { attemptId: IdText, fence: z.int().min(0).max(2_147_483_647) };
const AttemptBody = z.strictObject(attempt);
const code = z.string().min(1).max(60).optional();
const AckBody = z.discriminatedUnion('outcome', [
  z.strictObject({ ...attempt, outcome: z.literal('sent'), messageId: z.string().min(1).max(255).optional() }),
  z.strictObject({
    ...attempt,
    outcome: z.literal('failed'),
    /** That nothing reached anybody; who cannot say that says unknown. */
    effect: z.literal('none'),
    /** Whether it may be tried again, or the recipient cannot be reached. */
    kind: z.enum(['retryable', 'permanent']),
    code,
    retryAfterMs: z.int().min(0).max(86_400_000).optional(),
  }),
  z.strictObject({ ...attempt, outcome: z.literal('unknown'), code }),
]);
const AckView = z.object({ verdict: z.enum(['accepted', 'repeated', 'stale']), status: z.string() });
const Done = z.object({ ok: z.literal(true) });

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

function ackOf(itemId: string, body: z.output<typeof AckBody>): Ack {
  const { attemptId, fence } = body;
  const one = { itemId, attemptId, fence, isChannels: false, retryable: false, messageId: null, retryAfterMs: null };
  if (body.outcome === 'sent') return { ...one, result: 'sent', code: null, messageId: body.messageId ?? null };
  if (body.outcome === 'unknown') return { ...one, result: 'unknown', code: body.code ?? null };
  const retryable = body.kind === 'retryable';
  return { ...one, result: 'failed', retryable, code: body.code ?? null, retryAfterMs: body.retryAfterMs ?? null };
}

const gone = () => conflict('attempt_over', 'This attempt is over, or was never yours: claim again.');

/** `/api/delivery`: how the extension takes what is to be sent, and how gateways say what became of it. */
export function deliveryRoutes(rt: Runtime) {
  const { pool, systemPool, vault, config } = rt;
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
      handler: async (request) => {
        const { workspaceId, userId } = authOf(request);
        const { channelId, sessionId, max } = request.body;
        const channel = await readTarget(pool, workspaceId, channelId);
        if (channel?.kind !== 'extension') throw notFound('The channel');
        const waitMs = await holdSession(pool, workspaceId, { channelId, sessionId, userId, ttlMs: SESSION_TTL_MS });
        if (waitMs > 0) {
          const detail = 'Another session sends from this number; stand by.';
          throw new AppError(409, 'channel_standby', detail, { retryAfterMs: waitMs });
        }
        const holder = `${userId}/${sessionId}`;
        const claimed = await items.claim(workspaceId, { channelId, max, holder, horizonMs: HORIZON_MS });
        const rendered = claimed.items.map((item) => {
          const { text, unresolved } = renderTemplate({ body: item.template }, item.contact);
          return { ...item, text, isFit: unresolved.length === 0 && text.trim() !== '' };
        });
        const unfit = rendered.filter(({ isFit }) => !isFit);
        if (unfit.length > 0) {
          const skipped = unfit.map((item) => ({ ...item, reason: 'unresolved_variables' }));
          await items.skip(workspaceId, skipped);
        }
        const fit = rendered.filter(({ isFit }) => isFit);
        return { items: fit, againAt: claimed.againAt };
      },
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
        const itemId = request.params.id;
        const begun = await items.begin(authOf(request).workspaceId, [{ itemId, ...request.body }]);
        if (!begun.has(itemId)) throw conflict('not_begun', 'Do not send it: it is not yours now, or not yet.');
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
      handler: async (request) => {
        const { workspaceId } = authOf(request);
        const [acked] = await items.ack(workspaceId, [ackOf(request.params.id, request.body)]);
        if (!acked) throw notFound('The item');
        const { verdict, status } = acked;
        if (verdict === 'refused') throw conflict('not_begun', 'That attempt was never begun.');
        return { verdict, status };
      },
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
        const itemId = request.params.id;
        const released = await items.release(authOf(request).workspaceId, [{ itemId, ...request.body }]);
        if (!released.has(itemId)) throw gone();
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
        const attempt = { itemId: request.params.id, ...request.body };
        if (!(await items.renew(authOf(request).workspaceId, attempt))) throw gone();
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
          const said = CallbackBody.safeParse(parse(text));
          if (!said.success) throw new AppError(400, 'validation_failed', 'The body is no campaign.item.status.');
          const { data } = said.data;
          const itemId = 'itemId' in data ? data.itemId : null;
          const one = { itemId, messageId: data.messageId ?? null, status: data.status };
          const changed = await items.status(channel.workspaceId, id, [one]);
          return { changed: changed.size > 0 };
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
