import { z } from 'zod';
import type { ProviderName } from '#src/ai/model.ts';
import { PII_TYPES, type PiiSpan, type PiiType } from '#src/ai/pii/span.ts';
import { recognize } from '#src/ai/pii/recognizers/index.ts';
import { AppError } from '#src/errors.ts';

/** `mask`: a token goes in its place. `block`: the job is refused. `allow`: it is sent as it is. */
export const PII_ACTIONS = ['mask', 'block', 'allow'] as const;
export type PiiAction = (typeof PII_ACTIONS)[number];

/** What a workspace wants done, by type; what is not named has its default. */
export const PiiPolicy = z.partialRecord(z.enum(PII_TYPES), z.enum(PII_ACTIONS));
export type PiiPolicy = z.infer<typeof PiiPolicy>;

/** What a workspace has chosen for personal data in its AI jobs. */
export interface Privacy {
  pii: PiiPolicy;
  /** Values that are nobody's secret, as written or normalized. */
  allow: readonly string[];
  /** Whether Ollama, a machine of the installation, gets masked text too. */
  maskOllama: boolean;
}

export const DEFAULT_PRIVACY: Privacy = { pii: {}, allow: [], maskOllama: true };

/** A web address is material to answer with, not a person; what lies inside it is still found. */
const ALLOWED_BY_DEFAULT: ReadonlySet<PiiType> = new Set(['url']);

export const actionFor = (type: PiiType, policy: PiiPolicy): PiiAction =>
  policy[type] ?? (ALLOWED_BY_DEFAULT.has(type) ? 'allow' : 'mask');

/** What of a text must not leave as it is, by the workspace's policy. */
export function personalData(text: string, { pii, allow }: Privacy): PiiSpan[] {
  const types = new Set(PII_TYPES.filter((type) => actionFor(type, pii) !== 'allow'));
  return recognize(text, { types, allow: new Set(allow) });
}

/** Whether what a provider gets is masked: `local` computes in this process, all others are somebody else's or another machine. */
export const isMaskedFor = (provider: ProviderName, { maskOllama }: Privacy): boolean =>
  provider !== 'local' && (provider !== 'ollama' || maskOllama);

/** @throws AppError 422 `pii_blocked` that names the types the policy blocks, never the values */
export function refuseBlocked(found: readonly Pick<PiiSpan, 'type'>[], { pii }: Privacy): void {
  const blocked = [...new Set(found.map(({ type }) => type))].filter((type) => actionFor(type, pii) === 'block');
  if (blocked.length === 0) return;
  const names = blocked.toSorted().join(', ');
  throw new AppError(422, 'pii_blocked', `The workspace's policy does not let this data be sent: ${names}.`);
}
