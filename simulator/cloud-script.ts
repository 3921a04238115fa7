import { createHash } from 'node:crypto';
import { z } from 'zod';
import { ScriptError } from './script.ts';

const share = z.number().min(0).max(1);
const ms = z.number().min(0).max(600_000);

/** What happens to a share of the messages, instead of their being taken. */
const Fault = z.strictObject({
  share,
  /** Refused with this code of Meta's: nobody gets anything. */
  code: z.int().optional(),
  /** Somebody gets it, and the sender never hears so: the connection is reset, there is no answer, or a page of what stands between. */
  lost: z.enum(['cut', 'never', 'html_502']).optional(),
});

const Template = z.strictObject({
  name: z.string(),
  language: z.string(),
  /** Of the body. */
  parameters: z.int().min(0).default(0),
  status: z.enum(['APPROVED', 'PAUSED', 'DISABLED']).default('APPROVED'),
});

/** One number of the Cloud API. Unset fields keep the default named beside them. */
export const CloudScript = z.strictObject({
  /** Any other is refused (any). */
  accessToken: z.string().optional(),
  /** Where webhooks go, and what signs them (nowhere). */
  webhook: z.strictObject({ url: z.url(), appSecret: z.string(), retries: z.int().min(0).default(20) }).optional(),
  displayPhoneNumber: z.string().default('15550783881'),
  qualityRating: z.enum(['GREEN', 'YELLOW', 'RED', 'UNKNOWN']).default('GREEN'),
  messagingLimit: z.string().default('TIER_2K'),
  /** Those Meta has; any other is refused (any is taken). */
  templates: z.array(Template).optional(),
  /** Messages in any second (80). */
  perSecond: z.int().min(1).default(80),
  /** To one person: so many at once, then one in six seconds (45). */
  pairBurst: z.int().min(1).default(45),
  faults: z.array(Fault).default([]),
  /** Messages to one person are taken after so many of them (1000). */
  faultsPerPerson: z.int().min(0).default(1000),
  /** What becomes of messages that were taken: a share of them fails with a code (none). The others are sent, delivered and, a share, read. */
  fates: z.array(z.strictObject({ share, code: z.int() })).default([]),
  read: share.default(0.5),
  /** Statuses are told so often, in any order, up to so much later (once, in order, at once). */
  tell: z
    .strictObject({ times: z.int().min(1).default(1), shuffled: z.boolean().default(false), delayMs: ms.default(0) })
    .prefault({}),
  /** To the answer (0). */
  delayMs: ms.default(0),
  seed: z.int().default(0),
});
export type CloudScript = z.infer<typeof CloudScript>;
export type CloudScriptInput = z.input<typeof CloudScript>;

/** @throws ScriptError naming every wrong field */
export function readCloudScript(value: unknown): CloudScript {
  const parsed = CloudScript.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ScriptError(parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
}

/** Between 0 and 1, the same for the same seed and key. */
export const drawn = (seed: number, key: string): number =>
  createHash('sha256').update(`${seed}/${key}`).digest().readUInt32BE(0) / 2 ** 32;

/** The one whose share a draw falls into. */
export function chosen<One extends { share: number }>(draw: number, all: readonly One[]): One | undefined {
  let left = draw;
  return all.find((one) => (left -= one.share) < 0);
}
