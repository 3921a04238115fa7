import { z } from 'zod';
import { badRequest, notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { OF_REFUSED } from '#src/http/rate-limit/policies.ts';
import { storeInbound } from '#src/modules/payments/inbound.query.ts';
import type { Runtime } from '#src/runtime.ts';

/** Stripe names no limit. An invoice comes with its lines, everything with its owner's notes: tens of kilobytes are nothing rare. */
const MAX_BODY_BYTES = 1_048_576;

/** `/hooks/stripe`: where Stripe tells what happens. What is signed well is stored, once, and answered; it is worked off by `control`. */
export function paymentHookRoutes({ payments, systemPool, limiter }: Runtime) {
  return async (app: App): Promise<void> => {
    await app.register(async (signed) => {
      // The signature is of the body's bytes.
      signed.removeAllContentTypeParsers();
      signed.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
      signed.post('/hooks/stripe', {
        config: { access: 'public', limits: 'none' },
        bodyLimit: MAX_BODY_BYTES,
        schema: {
          tags: ['billing'],
          summary: 'What happened to subscriptions and payments, told by Stripe: signed with the endpoint’s secret',
          response: { 200: z.object({ received: z.literal(true) }) },
        },
        handler: async (request) => {
          if (payments?.name !== 'stripe') throw notFound('The webhook');
          const header = request.headers['stripe-signature'];
          const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
          const told = typeof header === 'string' ? payments.verify(body, header) : null;
          if (!told) {
            // Whoever is right is not counted; whoever is not may be guessing.
            await limiter.take(OF_REFUSED, request);
            throw badRequest('invalid_signature', 'The signature is not good.');
          }
          await storeInbound(systemPool, payments.name, told);
          return { received: true as const };
        },
      });
    });
  };
}
