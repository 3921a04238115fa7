import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * A request that may be sent again, under the key its client gave it. It goes with the request's own asynchronous context, so that every
 * transaction on the way knows of it and nobody has to hand it on.
 */
export interface Claim {
  /** Tells this try of the request from others. */
  readonly id: string;
  readonly workspaceId: string;
  readonly userId: string;
  readonly route: string;
  readonly key: string;
  /** Of all that was asked for; made when it is needed first. */
  readonly requestHash: () => Buffer;
  /** Its transactions that are under way. */
  inside: number;
  /** Whether the first of these found the key free. */
  entry: Promise<void>;
  /** Whether one of them changed something, and so noted the key with it. */
  isNoted: boolean;
  /** Whether it was answered: what goes on behind it is no part of it. */
  isOver: boolean;
  /** What an earlier request with the key was answered, sealed, with its id. */
  earlier: { id: string; answer: Buffer } | undefined;
}

const claims = new AsyncLocalStorage<Claim | undefined>();

/** Does a request's work: the first of its transactions that changes something notes the key, all or nothing. */
export const claiming = <Result>(claim: Claim, work: () => Result): Result => claims.run(claim, work);

/** Does what is not the request's own, though it happened to be the first to need it. */
export const unclaimed = <Result>(work: () => Result): Result => claims.run(undefined, work);

/** The request that is being worked on, where it has a key. */
export function currentClaim(): Claim | undefined {
  const claim = claims.getStore();
  return claim?.isOver ? undefined : claim;
}
