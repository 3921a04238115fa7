import { z } from 'zod';
import type { ProviderName } from '#src/ai/model.ts';
import { PiiPolicy } from '#src/ai/pii/policy.ts';
import { LanguageTag, TimeZoneName } from '#src/http/fields.ts';
import type { Permission } from '#src/http/permissions.ts';

/** Whose a setting is: the installation's (operators change it), a workspace's, or a person's own. */
export type SettingScope = 'global' | 'workspace' | 'user';

/** One setting. A secret is written, used by the platform, and never read by anybody. */
export interface Definition {
  scope: SettingScope;
  schema: z.ZodType;
  byDefault: unknown;
  description: string;
  isSecret: boolean;
  /** Of the installation: whether everybody who is signed in may read it. */
  isPublic: boolean;
  /** Of a workspace: what it takes to change it besides `settings:update`. */
  permission: Permission | null;
}

interface Extras {
  isPublic?: boolean;
  permission?: Permission;
}

function setting<Scope extends SettingScope, Schema extends z.ZodType>(
  scope: Scope,
  schema: Schema,
  byDefault: z.output<Schema>,
  description: string,
  { isPublic = false, permission }: Extras = {},
) {
  return { scope, schema, byDefault, description, isSecret: false as const, isPublic, permission: permission ?? null };
}

const note = (byDefault: boolean, description: string) => setting('user', z.boolean(), byDefault, description);

const secret = (description: string, permission: Permission) => ({
  scope: 'workspace' as const,
  schema: z.string().trim().min(8).max(500),
  byDefault: null,
  description,
  isSecret: true as const,
  isPublic: false,
  permission,
});

const Domain = z
  .string()
  .toLowerCase()
  .max(253)
  .regex(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/, 'must be a domain like example.com');

const Budget = z.number().min(0).max(1_000_000_000).nullable();

const PROVIDERS = [
  'openai',
  'anthropic',
  'google',
  'groq',
  'mistral',
  'cohere',
  'together',
  'ollama',
  'local',
] as const satisfies readonly ProviderName[];

/** Every setting there is. A key that is not here is refused. */
export const SETTINGS = {
  'registration.open': setting('global', z.boolean(), true, 'Whether people can make an account', { isPublic: true }),
  'registration.emailDomains': setting(
    'global',
    z.array(Domain).max(100),
    [],
    'The domains of e-mail addresses that can make an account; none: all',
  ),
  announcement: setting('global', z.string().trim().max(500), '', 'A note to everybody who is signed in', {
    isPublic: true,
  }),

  'ai.language': setting(
    'workspace',
    LanguageTag.nullable(),
    null,
    "The language answers are written in; null: the contact's",
  ),
  'ai.tone': setting('workspace', z.enum(['friendly', 'formal', 'neutral']), 'friendly', 'How answers sound'),
  'ai.maxCostUsd': setting(
    'workspace',
    z.number().positive().max(100).nullable(),
    null,
    'What one AI request may cost at most, in US dollars; null: no limit of its own',
  ),
  'ai.allowedProviders': setting(
    'workspace',
    z.array(z.enum(PROVIDERS)).min(1).max(PROVIDERS.length).nullable(),
    null,
    'The only providers that may see what the workspace asks; null: all. "local" is this installation itself',
  ),
  'ai.autoSentiment': setting(
    'workspace',
    z.enum(['off', 'local', 'models']),
    'local',
    'Who reads the mood of what contacts write: the built-in rules (free), models (paid with credits) or nobody',
  ),
  'ai.autoScore': setting(
    'workspace',
    z.enum(['off', 'local', 'models']),
    'local',
    'Who scores leads anew when something happens with them: the built-in rules (free), models (paid with credits) or nobody',
  ),
  'ai.providerKey.openai': secret("The workspace's own key at OpenAI; several, with commas", 'api-keys:manage'),
  'ai.providerKey.anthropic': secret("The workspace's own key at Anthropic", 'api-keys:manage'),
  'ai.providerKey.google': secret("The workspace's own key at Google", 'api-keys:manage'),
  'ai.providerKey.groq': secret("The workspace's own key at Groq", 'api-keys:manage'),
  'ai.providerKey.mistral': secret("The workspace's own key at Mistral", 'api-keys:manage'),
  'ai.providerKey.cohere': secret("The workspace's own key at Cohere", 'api-keys:manage'),
  'ai.providerKey.together': secret("The workspace's own key at Together", 'api-keys:manage'),
  'credits.lowAt': setting(
    'workspace',
    z.number().min(0).max(1_000_000_000),
    100,
    'Administrators are told when the credits fall below this; 0: never',
    { permission: 'billing:manage' },
  ),
  'credits.monthlyBudget': setting(
    'workspace',
    Budget,
    null,
    'The credits the workspace may spend in a calendar month (UTC); null: all it has',
    { permission: 'billing:manage' },
  ),
  'credits.memberBudget': setting(
    'workspace',
    Budget,
    null,
    'The credits each member may spend in a calendar month (UTC); null: all the workspace may',
    { permission: 'billing:manage' },
  ),
  'privacy.pii': setting(
    'workspace',
    PiiPolicy,
    {},
    'What happens to personal data of each type before a provider sees it: mask, block or allow; not named: mask, but allow for url',
    { permission: 'workspace:update' },
  ),
  'privacy.allow': setting(
    'workspace',
    z.array(z.string().trim().min(3).max(200)).max(200),
    [],
    "Values that are never masked, such as the company's own phone number",
    { permission: 'workspace:update' },
  ),
  'privacy.maskOllama': setting(
    'workspace',
    z.boolean(),
    true,
    'Whether Ollama gets masked text like other providers',
    {
      permission: 'workspace:update',
    },
  ),
  'safety.injection': setting(
    'workspace',
    z.enum(['off', 'note', 'block']),
    'note',
    'What happens when customer material tries to give the model orders',
    { permission: 'workspace:update' },
  ),
  'safety.moderation': setting(
    'workspace',
    z.enum(['off', 'on']),
    'off',
    "Whether OpenAI's moderation reads customer material, masked, before a model does",
    { permission: 'workspace:update' },
  ),
  'safety.onFailure': setting(
    'workspace',
    z.enum(['open', 'closed']),
    'open',
    'Whether jobs run (open) or wait (closed) while the moderation cannot be asked',
    { permission: 'workspace:update' },
  ),
  'campaigns.optOutWords': setting(
    'workspace',
    z.array(z.string().trim().min(2).max(40)).max(50),
    [],
    'What else, written alone in a message, takes its sender off campaigns; SAIR, PARAR, STOP and their like always do',
    { permission: 'workspace:update' },
  ),
  'privacy.retentionDays': setting('workspace', z.int().min(30).max(3650), 730, 'How many days messages are kept', {
    permission: 'workspace:update',
  }),

  'notifications.email': setting(
    'user',
    z.boolean(),
    true,
    'Whether anything comes by e-mail at all but what is about the account',
  ),
  'notifications.member.joined.inApp': note(true, 'Somebody joined a team you look after'),
  'notifications.member.joined.email': note(false, 'The same, by e-mail'),
  'notifications.member.changed.inApp': note(true, 'Your role or rights in a team changed'),
  'notifications.member.changed.email': note(true, 'The same, by e-mail'),
  'notifications.member.removed.email': note(true, 'You were taken out of a team: by e-mail'),
  'notifications.webhook.disabled.inApp': note(true, 'An endpoint for webhooks was turned off'),
  'notifications.webhook.disabled.email': note(true, 'The same, by e-mail'),
  'notifications.credits.inApp': note(true, 'The credits of a team you look after are low or used up'),
  'notifications.credits.email': note(true, 'The same, by e-mail'),
  'notifications.billing.inApp': note(
    true,
    'A payment of a team you look after is due, overdue or failed, its licence ends, or its plan changed',
  ),
  'notifications.billing.email': note(true, 'The same, by e-mail'),
  'notifications.ai.job.failed.inApp': note(false, 'An AI job of yours failed'),
  'notifications.ai.job.failed.email': note(false, 'The same, by e-mail'),
  'notifications.batch.ended.inApp': note(true, 'A batch of AI jobs of yours has ended'),
  'notifications.batch.ended.email': note(false, 'The same, by e-mail'),
  'notifications.reminder.email': note(true, 'What you asked to be reminded of, also by e-mail'),
  'ui.theme': setting('user', z.enum(['light', 'dark', 'system']), 'system', 'The colours of the screen'),
  'ui.timeZone': setting('user', TimeZoneName, 'America/Sao_Paulo', 'The time zone times are shown in'),
} satisfies Record<string, Definition>;

type All = typeof SETTINGS;
export type SettingKey = keyof All;
export type SecretKey = { [Key in SettingKey]: All[Key]['isSecret'] extends true ? Key : never }[SettingKey];
type KeyOf<Scope extends SettingScope> = {
  [Key in SettingKey]: All[Key] extends { scope: Scope; isSecret: false } ? Key : never;
}[SettingKey];

/** The values of a scope's settings, by key, without its secrets. */
export type ValuesOf<Scope extends SettingScope> = { [Key in KeyOf<Scope>]: z.output<All[Key]['schema']> };

/** The settings of a scope, in the order of the table. */
export function settingsOf(scope: SettingScope, wanted: (key: string, setting: Definition) => boolean = () => true) {
  const all: [string, Definition][] = Object.entries(SETTINGS);
  return new Map(all.filter(([key, one]) => one.scope === scope && wanted(key, one)));
}

/** Whether values are what the settings of a scope may be, all of them. */
export function areValues<Scope extends SettingScope>(scope: Scope, values: unknown): values is ValuesOf<Scope> {
  const shape = [...settingsOf(scope, (_, one) => !one.isSecret)].map(([key, one]) => [key, one.schema] as const);
  return z.object(Object.fromEntries(shape)).safeParse(values).success;
}

/** Each provider's setting for the workspace's own keys. */
export const PROVIDER_KEYS: [SecretKey, ProviderName][] = [
  ['ai.providerKey.openai', 'openai'],
  ['ai.providerKey.anthropic', 'anthropic'],
  ['ai.providerKey.google', 'google'],
  ['ai.providerKey.groq', 'groq'],
  ['ai.providerKey.mistral', 'mistral'],
  ['ai.providerKey.cohere', 'cohere'],
  ['ai.providerKey.together', 'together'],
];

/** A setting's value. What an older version of the schema allowed and this one does not is as if it were not set. @param stored JSON */
export function readStored({ schema, byDefault }: Definition, stored: string | null | undefined): unknown {
  if (stored === null || stored === undefined) return byDefault;
  const parsed = schema.safeParse(JSON.parse(stored));
  return parsed.success ? parsed.data : byDefault;
}

/** The values of a scope's settings from what is stored of it, JSON by key, without its secrets. */
export function valuesOf<Scope extends SettingScope>(
  scope: Scope,
  stored: ReadonlyMap<string, string | null>,
): ValuesOf<Scope> {
  const shown = settingsOf(scope, (_, one) => !one.isSecret);
  const values = Object.fromEntries([...shown].map(([key, one]) => [key, readStored(one, stored.get(key))]));
  if (!areValues(scope, values)) throw new Error(`The settings of the scope ${scope} do not fit their own schemas`);
  return values;
}
