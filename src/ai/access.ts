import { drawKey } from '#src/ai/api-keys.ts';
import { keysFor } from '#src/ai/candidates.ts';
import { ALL_MODELS, type Health, type Park, type Parked } from '#src/ai/health.ts';
import type { ApiKey, FailureClass, Provider } from '#src/ai/model.ts';
import { RULES } from '#src/ai/retry.ts';
import type { WorkspaceAi } from '#src/ai/workspace-ai.ts';

/** A key and the name under which it is parked; without a key, of a provider that needs none. */
export interface Entry {
  key: ApiKey | undefined;
  scope: string;
  /** What is shared by all keys of one account; a workspace's key is an account of its own. */
  account: string;
}

/** By which keys the providers can be asked in one run. Scopes name keys by their id. */
export class Access {
  readonly #workspace: WorkspaceAi | undefined;
  readonly #health: Health;
  readonly #entries = new Map<Provider, readonly Entry[]>();

  constructor(health: Health, workspace: WorkspaceAi | undefined) {
    this.#health = health;
    this.#workspace = workspace;
  }

  entries(provider: Provider): readonly Entry[] {
    let entries = this.#entries.get(provider);
    if (!entries) this.#entries.set(provider, (entries = entriesOf(provider, keysFor(provider, this.#workspace))));
    return entries;
  }

  /** The scopes whose parking decides about a provider. */
  scopes(provider: Provider): string[] {
    return [...new Set(this.entries(provider).flatMap(({ scope, account }) => [scope, account]))];
  }

  /** @returns where no key may be used for the model now: the parking that ends first */
  allParked(provider: Provider, model: string): Parked | undefined {
    let soonest: Parked | undefined;
    for (const entry of this.entries(provider)) {
      const parked = this.#parked(entry, model);
      if (!parked) return undefined;
      if (!soonest || parked.until < soonest.until) soonest = parked;
    }
    return soonest;
  }

  /** Draws a key that is not parked, by weight. @returns undefined when there is none beside the `used` */
  draw(provider: Provider, model: string, used: ReadonlySet<Entry>, random: () => number): Entry | undefined {
    const free = this.entries(provider).filter((entry) => !used.has(entry) && !this.#parked(entry, model));
    if (free.length < 2) return free[0];
    const key = drawKey(
      free.flatMap((entry) => entry.key ?? []),
      random(),
    );
    return free.find((entry) => entry.key === key);
  }

  /** What a failure parks. With a second key refused for the same limit, the limit is the account's. */
  parksOf(
    entry: Entry,
    model: string,
    failure: FailureClass,
    retryAfterMs: number | undefined,
    again: boolean,
  ): Park[] {
    const { parks } = RULES[failure];
    if (!parks) return [];
    const ms = parks.what === 'key' ? parks.ms : (retryAfterMs ?? parks.ms);
    if (parks.what === 'key') return [{ scope: entry.scope, field: ALL_MODELS, ms, reason: failure }];
    const scope = parks.what === 'account_model' || again ? entry.account : entry.scope;
    return [{ scope, field: model, ms, reason: failure }];
  }

  /** What a success takes out of parking: the key had been parked before, and is good. */
  liftedBy(entry: Entry, model: string): Park[] {
    const fields = [ALL_MODELS, model].filter((field) => this.#health.hasParking(entry.scope, field));
    return fields.map((field) => ({ scope: entry.scope, field, ms: 0, reason: 'auth' }));
  }

  #parked({ scope, account }: Entry, model: string): Parked | undefined {
    return this.#health.parked(scope, model) ?? this.#health.parked(account, model);
  }
}

function entriesOf(provider: Provider, keys: readonly ApiKey[]): readonly Entry[] {
  const { name, needsKey } = provider;
  if (keys.length === 0) {
    const scope = `${name}:keyless`;
    return needsKey ? [] : [{ key: undefined, scope, account: scope }];
  }
  return keys.map((key) => {
    const scope = `${name}:${key.id}`;
    return { key, scope, account: key.owner === 'installation' ? `${name}:installation` : scope };
  });
}
