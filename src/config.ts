import { z } from 'zod';
import { targetOf } from '#src/lib/egress-rules.ts';

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean),
);
/** As browsers write it in `Origin`. One that is never sent, a pattern, or `null`, which every sandboxed page sends, is a mistake. */
const ORIGIN = /^(chrome-extension:\/\/[a-p]{32}|https?:\/\/(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?)$/;
const origins = list.refine(
  (items) => items.every((item) => ORIGIN.test(item)),
  'must be exact origins, like chrome-extension://<32 letters from a to p> or https://host:port, without a path',
);
const TARGET = /^(?:[a-z0-9._-]+|\[[0-9a-f:]+\]):\d{1,5}$/;
/** In the one spelling a URL has once it is parsed, so that what is exempt is what the operator reads here. */
const targets = list.refine(
  (items) =>
    items.every((item) => {
      const url = URL.parse(`http://${item}`);
      return TARGET.test(item) && url !== null && targetOf(url) === item;
    }),
  'must be host:port, the host as a URL has it, like 10.0.0.5:9000, [fd00::5]:9000 or hooks.intranet:9000',
);
/** `name:secret,name:secret`, each secret at least 32 random bytes in base64. */
const namedKeys = list.default([]).transform((items, context) =>
  items.map((item) => {
    const [id = '', secretBase64 = ''] = item.split(':', 2);
    if (!/^[a-z0-9-]{1,20}$/.test(id) || Buffer.from(secretBase64, 'base64').length < 32) {
      context.addIssue({
        code: 'custom',
        message: 'must be name:secret, the secret at least 32 random bytes in base64',
      });
    }
    return { id, secretBase64 };
  }),
);

/** `plan=price,plan=price`. */
const prices = list.transform((items, context) => {
  const pairs = items.map((item) => item.split('=').map((part) => part.trim()));
  for (const [plan = '', price = '', ...more] of pairs)
    if (!/^[a-z]{1,20}$/.test(plan) || !/^[\w-]{1,255}$/.test(price) || more.length > 0)
      context.addIssue({ code: 'custom', message: 'must be plan=price,plan=price, like starter=price_1Abc' });
  return new Map(pairs.map(([plan = '', price = '']) => [plan, price]));
});

const amount = z.int().min(1).max(1_000_000_000);
const RateLimit = z.strictObject({
  by: z.enum(['ip', 'user', 'workspace']).optional(),
  windowSeconds: z.int().min(1).max(86_400).optional(),
  /** For all plans alike, or by plan. */
  quota: z
    .union([amount, z.strictObject({ free: amount, starter: amount, pro: amount, enterprise: amount }).partial()])
    .optional(),
});
const rateLimits = z
  .string()
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.addIssue({ code: 'custom', message: 'must be JSON' });
      return z.NEVER;
    }
  })
  .pipe(z.record(z.string(), RateLimit));

/** Every variable the platform reads, with its default; `.env.example` explains each to operators. */
const Env = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65_535).default(3000),
  DATABASE_URL: z.url({
    protocol: /^postgres(ql)?$/,
    error: 'must look like postgresql://user:password@host:5432/name',
  }),
  /** The login that owns the tables, for migrations; without one, that of DATABASE_URL. */
  DATABASE_OWNER_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  DATABASE_POOL: z.coerce.number().int().min(2).max(200).default(10),
  DATABASE_WAIT_MS: z.coerce.number().int().min(100).max(120_000).default(10_000),
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: 'must look like redis://host:6379' }),
  REDIS_PREFIX: z
    .string()
    .regex(/^[a-z0-9-]+$/, 'lower-case letters, digits and dashes only')
    .default('wh'),
  APP_SECRET: z
    .string()
    .refine((text) => Buffer.from(text, 'base64').length >= 32, 'must be at least 32 random bytes in base64'),
  /** The keys of access tokens; the first signs, the others are still accepted. Without any, one from APP_SECRET. */
  ACCESS_TOKEN_KEYS: namedKeys,
  /** The keys in which workspaces' keys are wrapped; the first is current, the others still open. Without any, one from APP_SECRET. */
  ENCRYPTION_KEYS: namedKeys,
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** By default the extension of this repository, whose id its manifest fixes. */
  ALLOWED_ORIGINS: origins.default(['chrome-extension://folckeokleebgjnikcacfnihohjnmkdo']),
  OPS_USER: z.string().min(1).default('ops'),
  OPS_PASSWORD: z.string().min(12, 'must have at least 12 characters'),
  STARTING_CREDITS: z.coerce.number().int().min(0).max(1_000_000).default(1000),
  /** What a workspace has that has neither a licence nor a subscription of a better plan. */
  DEFAULT_PLAN: z.enum(['free', 'starter', 'pro', 'enterprise']).default('free'),
  /** How long a licence that has expired goes on. */
  LICENSE_GRACE_DAYS: z.coerce.number().int().min(0).max(365).default(7),
  /** The account `migrate up --seed` makes; both or neither. */
  DEMO_EMAIL: z.string().trim().toLowerCase().pipe(z.email()).optional(),
  DEMO_PASSWORD: z.string().min(8, 'must have at least 8 characters').max(128).optional(),
  /** The demo workspace's API key, as an earlier `migrate up --seed-key` made it. */
  DEMO_API_KEY: z.string().optional(),
  /** Without one, mails are written to MAIL_DIR. */
  SMTP_URL: z.url({ protocol: /^smtps?$/, error: 'must look like smtp://user:password@host:587' }).optional(),
  MAIL_DIR: z.string().default('.data/mail'),
  MAIL_FROM: z
    .string()
    .regex(/^[^<>\r\n]*<[^<>@\s]+@[^<>@\s]+>$|^[^<>@\s]+@[^<>@\s]+$/, 'must look like Name <address@host>')
    .default('WhatsHybrid <no-reply@localhost>'),
  /** What links in mails begin with; see `publicUrl`. */
  PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
  DEFAULT_WAIT_SECONDS: z.coerce.number().min(0).max(25).default(0),
  JOB_RESULT_TTL: z.coerce.number().int().min(60).default(86_400),
  /** For answers of deterministic engines. */
  AI_CACHE_TTL_SECONDS: z.coerce.number().int().min(1).max(86_400).default(300),
  /** Calls of AI are kept for so many whole months; figures made of them for good. */
  AI_USAGE_KEEP_MONTHS: z.coerce.number().int().min(2).max(120).default(13),
  /** How long a contact must be quiet until AI looks at what they wrote, so that a burst of messages is one job. */
  AUTO_AI_QUIET_MS: z.coerce.number().int().min(0).max(600_000).default(10_000),
  WORKER_CONCURRENCY: z.coerce.number().int().min(1).max(1000).optional(),
  /** How long a campaign's item may be under way before it is taken back, or is unknown, in milliseconds. */
  CAMPAIGN_LEASE_MS: z.coerce.number().int().min(1000).max(600_000).default(120_000),
  JOB_LEASE_MS: z.coerce.number().int().min(500).max(120_000).default(12_000),
  DRAIN_MS: z.coerce.number().int().min(0).max(600_000).default(0),
  /** API processes; while Redis is away each admits its part of what guessing would profit from. */
  RATE_LIMIT_INSTANCES: z.coerce.number().int().min(1).max(1000).default(2),
  /** A Redis that does not answer in this time is taken for away: a limit must not be what makes a request slow. */
  RATE_LIMIT_PATIENCE_MS: z.coerce.number().int().min(10).max(60_000).default(250),
  /** Proxies in front of the API whose X-Forwarded-For is believed. */
  TRUST_PROXY: z.coerce.number().int().min(0).max(10).default(0),
  /** Targets that URLs of workspaces may have although they are internal; see docs/egress.md. */
  EGRESS_ALLOW: targets.default([]),
  /** The Cloud API of WhatsApp, with its version. */
  WHATSAPP_CLOUD_BASE_URL: z
    .url({ protocol: /^https?$/ })
    .default('https://graph.facebook.com/v25.0')
    .transform((url) => url.replace(/\/+$/, '')),
  /** Without one nobody collects for us: invoices are paid by BILLING_INSTRUCTIONS, and an operator says so. */
  STRIPE_API_KEY: z.string().min(1).optional(),
  /** What Stripe signs webhooks with; several while one is changed. */
  STRIPE_WEBHOOK_SECRET: list.default([]),
  STRIPE_BASE_URL: z.url({ protocol: /^https?$/ }).default('https://api.stripe.com'),
  /** The price that each plan is sold as. */
  STRIPE_PRICES: prices.default(new Map()),
  /** Where people come back to from paying; without one, a page of ours. */
  BILLING_RETURN_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** How long a plan goes on that is not paid. */
  BILLING_GRACE_DAYS: z.coerce.number().int().min(0).max(90).default(7),
  /** Of invoices that no provider collects: how to pay them, how long before they are due they are made, and reminded of. */
  BILLING_INSTRUCTIONS: z.string().max(2000).default('Ask the operator of this installation how to pay.'),
  BILLING_DUE_DAYS: z.coerce.number().int().min(1).max(28).default(7),
  BILLING_REMIND_DAYS: z.coerce.number().int().min(0).max(28).default(3),
  /** For a whole request to arrive; its headers have a third of it. */
  REQUEST_TIMEOUT_MS: z.coerce.number().int().min(300).max(300_000).default(30_000),
  /** Beyond any of these the API answers 503; 0 switches one off, no MAX_HEAP_MB means 90% of what Node allows itself. */
  MAX_EVENT_LOOP_DELAY_MS: z.coerce.number().min(0).max(60_000).default(1000),
  MAX_EVENT_LOOP_UTILIZATION: z.coerce.number().min(0).max(1).default(0),
  MAX_HEAP_MB: z.coerce.number().int().min(32).optional(),
  MAX_RSS_MB: z.coerce.number().int().min(0).default(0),
  /** Changes of single limits, by their name or by a route; `readPolicies` checks the names. */
  RATE_LIMITS: rateLimits.default({}),
  RATE_LIMIT_SCALE: z.coerce.number().positive().max(1_000_000).default(1),
  /** Of jobs that name none. */
  AI_STRATEGY: z.enum(['cost_optimized', 'speed_optimized', 'quality_optimized', 'balanced', 'failover']).optional(),
  /** One key, or several by commas; `key*3` is asked three times as often as one without a weight. */
  OPENAI_API_KEY: list.default([]),
  OPENAI_BASE_URL: z.url({ protocol: /^https?$/ }).default('https://api.openai.com/v1'),
  OPENAI_MODELS: list.default(['gpt-5.6-luna', 'gpt-5.6-terra', 'gpt-5.6-sol', 'gpt-4o-mini', 'gpt-4o']),
  ANTHROPIC_API_KEY: list.default([]),
  ANTHROPIC_BASE_URL: z.url({ protocol: /^https?$/ }).default('https://api.anthropic.com'),
  ANTHROPIC_MODELS: list.default(['claude-haiku-4-5', 'claude-sonnet-5', 'claude-opus-5']),
  GOOGLE_API_KEY: list.default([]),
  GOOGLE_BASE_URL: z.url({ protocol: /^https?$/ }).default('https://generativelanguage.googleapis.com'),
  GOOGLE_MODELS: list.default([
    'gemini-3.6-flash',
    'gemini-3.5-flash-lite',
    'gemini-3.1-pro-preview',
    'gemini-2.5-flash',
  ]),
  COHERE_API_KEY: list.default([]),
  COHERE_BASE_URL: z.url({ protocol: /^https?$/ }).default('https://api.cohere.com'),
  COHERE_MODELS: list.default(['command-a-03-2025', 'command-r-08-2024', 'command-r7b-12-2024']),
  /** As above; each base URL is what the company's SDK takes: Groq and Mistral the host alone, Together with the version. */
  GROQ_API_KEY: list.default([]),
  GROQ_BASE_URL: z.url({ protocol: /^https?$/ }).default('https://api.groq.com'),
  GROQ_MODELS: list.default(['openai/gpt-oss-120b', 'openai/gpt-oss-20b', 'llama-3.3-70b-versatile']),
  MISTRAL_API_KEY: list.default([]),
  MISTRAL_BASE_URL: z.url({ protocol: /^https?$/ }).default('https://api.mistral.ai'),
  MISTRAL_MODELS: list.default(['mistral-small-latest', 'mistral-large-latest', 'mistral-medium-latest']),
  TOGETHER_API_KEY: list.default([]),
  TOGETHER_BASE_URL: z.url({ protocol: /^https?$/ }).default('https://api.together.ai/v1'),
  TOGETHER_MODELS: list.default([
    'openai/gpt-oss-120b',
    'openai/gpt-oss-20b',
    'meta-llama/Llama-3.3-70B-Instruct-Turbo',
  ]),
  OLLAMA_BASE_URL: z.url({ protocol: /^https?$/ }).optional(),
  OLLAMA_MODELS: list.default(['llama3.2']),
  /** A JSON file of models and prices beyond the built-in catalogue; see docs/catalogue.md. */
  MODEL_CATALOG_FILE: z.string().min(1).optional(),
});

export type Config = z.infer<typeof Env>;

/** The address people reach the installation at, without a slash at its end. */
export function publicUrl({ PUBLIC_URL, HOST, PORT }: Pick<Config, 'PUBLIC_URL' | 'HOST' | 'PORT'>): string {
  const host = HOST.includes(':') ? `[${HOST}]` : HOST;
  return (PUBLIC_URL ?? `http://${host}:${PORT}`).replace(/\/+$/, '');
}

/** A configuration that cannot work; `message` has one line for each wrong variable. */
export class ConfigError extends Error {}

/** With a key alone people would pay, and nobody would hear of it. */
const missingOfStripe = ({ STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET, STRIPE_PRICES }: Config): string[] =>
  STRIPE_API_KEY === undefined
    ? []
    : [
        ...(STRIPE_WEBHOOK_SECRET.length === 0 ? ['STRIPE_WEBHOOK_SECRET: is needed with STRIPE_API_KEY'] : []),
        ...(STRIPE_PRICES.size === 0 ? ['STRIPE_PRICES: is needed with STRIPE_API_KEY'] : []),
      ];

/**
 * Reads and checks the environment.
 * @throws ConfigError naming every wrong variable, never its value.
 */
export function readConfig(env: Record<string, string | undefined> = process.env): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = Env.safeParse(given);
  const lines = parsed.success
    ? missingOfStripe(parsed.data)
    : parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  if (parsed.success && lines.length === 0) return parsed.data;
  throw new ConfigError(`The configuration is not usable:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}
