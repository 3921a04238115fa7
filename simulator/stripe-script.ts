import { z } from 'zod';
import { ScriptError } from './script.ts';

const ms = z.number().min(0).max(600_000);

/** An account of Stripe's. Unset fields keep the default named beside them. */
export const StripeScript = z.strictObject({
  /** Any other is refused (any). */
  apiKey: z.string().optional(),
  /** Where events go, and what signs them (nowhere). */
  webhook: z.strictObject({ url: z.url(), secret: z.string(), retries: z.int().min(0).default(20) }).optional(),
  /** What a month of each costs, in minor units (two prices of reais). */
  prices: z
    .array(z.strictObject({ id: z.string(), unitAmount: z.int().min(0), currency: z.string().default('brl') }))
    .default([
      { id: 'price_starter', unitAmount: 9900, currency: 'brl' },
      { id: 'price_pro', unitAmount: 29_900, currency: 'brl' },
    ]),
  /** Events are told so often, in any order, up to so much later; or only when asked for (once, in order, at once). */
  tell: z
    .strictObject({
      times: z.int().min(1).default(1),
      shuffled: z.boolean().default(false),
      delayMs: ms.default(0),
      isHeld: z.boolean().default(false),
    })
    .prefault({}),
  /** Cards are declined (no). */
  declines: z.boolean().default(false),
  /** Every request is answered 503, or never; or the connection of what changes something is cut after it was done (none). */
  fault: z.enum(['unavailable', 'cut', 'hang']).optional(),
  /** Requests that name this, an id or a part of one, are not answered before the script changes; then their connection is cut (none). */
  hangsFor: z.string().optional(),
  /** To the answer (0). */
  delayMs: ms.default(0),
});
export type StripeScript = z.infer<typeof StripeScript>;
export type StripeScriptInput = z.input<typeof StripeScript>;

/** @throws ScriptError naming every wrong field */
export function readStripeScript(value: unknown): StripeScript {
  const parsed = StripeScript.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ScriptError(parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
}
