import { type Candidate, targetOf, type Target } from '#src/ai/candidates.ts';
import { type Exclusion, REASONS } from '#src/ai/filter.ts';
import { type FailureClass, ProviderError } from '#src/ai/model.ts';
import { RULES } from '#src/ai/retry.ts';
import { AppError } from '#src/errors.ts';

/** When the answers of so many models do not fit, it is not the models. */
const MISFITS = 2;

/** A target that was asked in a run, or would have been, and why it gave no answer. */
export interface Failed {
  candidate: Candidate;
  error: ProviderError;
}

type Excluded = readonly { candidate: Candidate; exclusion: Exclusion }[];

/** The last failure told that nobody else shall be asked either. */
export function isOver(failures: readonly Failed[]): boolean {
  const last = failures.at(-1);
  return last !== undefined && RULES[last.error.failure].next === 'nowhere';
}

/** Two models had the job, and the answers of neither fit: they would not the next time. */
export function isMisfit(failures: readonly Failed[]): boolean {
  const misfits = failures.filter(({ error }) => error.failure === 'bad_output');
  return new Set(misfits.map(({ candidate }) => candidate.id)).size >= MISFITS;
}

/** The last answer does not fit, and text of it is shown. */
export const isShownMisfit = (failures: readonly Failed[], text: string): boolean =>
  text !== '' && failures.at(-1)?.error.failure === 'bad_output';

/** It has no more room than one that the request did not fit into: to wait for it helps nothing. */
export function isTooSmall(failures: readonly Failed[], { candidate, error }: Failed): boolean {
  if (error.failure === 'context_overflow') return false;
  const overflowed = failures.filter((one) => one.error.failure === 'context_overflow');
  return overflowed.some((one) => candidate.facts.contextWindow <= one.candidate.facts.contextWindow);
}

/** What two models could not, a later attempt is not asked for. */
const forGood = ({ candidate, error }: Failed): Failed => ({
  candidate,
  error:
    error.failure === 'bad_output'
      ? new ProviderError(error.provider, error.failure, error.message, { retry: 'never' })
      : error,
});

/** An exclusion that time or another key may end, as the failure it stands for: what the job's retry is decided by. */
function asFailure({ candidate, exclusion }: Excluded[number], now: number): Failed[] {
  const { code, until, reason } = exclusion;
  if (until === undefined) return [];
  const name = candidate.provider.name;
  const text = `${candidate.id}: ${REASONS[code]}`;
  const wait = { retry: 'delay' as const, retryAfterMs: Math.max(1, Math.ceil(until - now)) };
  if (code === 'rate_limited') return [{ candidate, error: new ProviderError(name, 'rate_limited', text, wait) }];
  if (reason) return [{ candidate, error: new ProviderError(name, reason, text) }];
  return [{ candidate, error: new ProviderError(name, 'overloaded', text, wait) }];
}

interface End {
  failures: readonly Failed[];
  /** What the client has read. */
  text: string;
  excluded: Excluded;
  /** Whether targets are left that only the bounds of a run kept from being asked. */
  hasMore: boolean;
  /** The moment, by the clock of exclusions, in ms. */
  now: number;
}

/** Why a run has no answer: what a later attempt of the job may mend, and when. */
export function whyNoAnswer({ failures, text, excluded, hasMore, now }: End): Failed[] {
  // A paused target is no reason to ask again what nobody shall be asked.
  if (isOver(failures)) return failures.slice(-1);
  if (isMisfit(failures)) return failures.map(forGood);
  // Its text stays with the client and is paid: in the wait for a later attempt a cancel would have it for nothing.
  if (isShownMisfit(failures, text)) return failures.slice(-1).map(forGood);
  const paused = excluded.flatMap((one) => asFailure(one, now));
  const all = [...failures, ...paused].filter((failed) => !isTooSmall(failures, failed));
  const last = failures.at(-1);
  if (!last || !hasMore) return all;
  // The next attempt asks those that are left, whatever became of these.
  const retry = failures.every(({ error }) => error.retry === 'delay') ? ('delay' as const) : ('later' as const);
  const { provider, failure, message } = last.error;
  return [{ ...last, error: new ProviderError(provider, failure, message, { retry }) }, ...all];
}

function waitOf({ retry, retryAfterMs }: AppError): number {
  return retry === 'never' ? Number.MAX_SAFE_INTEGER : (retryAfterMs ?? 0);
}

const attemptsUsedBy = ({ retry }: AppError): number => (retry === 'delay' ? 0 : 1);

/** Of all failures the one that can be tried again soonest; of equals one that uses up no attempt of the job. */
export function soonestOf(all: readonly Failed[]): ProviderError | undefined {
  return all
    .map(({ error }) => error)
    .toSorted((a, b) => waitOf(a) - waitOf(b) || attemptsUsedBy(a) - attemptsUsedBy(b))[0];
}

/** No model can ever take this request. */
export function nothingFits(excluded: Excluded): AppError {
  const why = excluded.map(({ candidate, exclusion }) => `${candidate.id}: ${REASONS[exclusion.code]}`);
  return new AppError(422, 'no_model_fits', `No model here can take this request. ${why.slice(0, 10).join(' ')}`);
}

/** The targets that failed before the one that answered. */
export const fallbacksOf = (failures: readonly Failed[], answered: Candidate): (Target & { reason: FailureClass })[] =>
  failures
    .filter(({ candidate }) => candidate.id !== answered.id)
    .map(({ candidate, error }) => ({ ...targetOf(candidate), reason: error.failure }));
