import type { Charge, Verdict } from '#src/http/rate-limit/gcra.ts';

/** For so long what was paid ahead may be used; what is left then is paid back. */
const GOOD_FOR_MS = 100;
/** The most requests paid ahead at once, and the most of what a bucket has left: the rest is for other processes. */
const MOST = 64;
const MOST_SHARE = 1 / 8;
/** A smaller bucket is counted request by request: of twenty, two that lie with another process would be missed. */
const LEAST_QUOTA = 100;

/** Takes so many requests' worth of the buckets, or gives it back where `count` is below zero. */
export type ChargeMany = (charges: Charge[], count: number) => Promise<Verdict>;

interface Stock {
  charges: Charge[];
  /** Of the last charge: what was left of each bucket then. */
  verdict: Verdict;
  left: number;
  /** Requests since the stock was opened. */
  uses: number;
  isFilling: boolean;
  goodUntil: number;
}

/** How many requests to pay ahead: as many as came lately, while the buckets are at least half full. */
function aheadOf({ charges, verdict, uses }: Stock): number {
  const left = charges.map((_, at) => verdict.buckets[at]?.remaining ?? 0);
  const isRoomy = charges.every(({ quota }, at) => quota >= LEAST_QUOTA && (left[at] ?? 0) >= quota / 2);
  return isRoomy ? Math.min(MOST, uses, Math.floor(Math.min(...left) * MOST_SHARE)) : 0;
}

/** What a request out of the stock is told: the buckets as they would be without what is still in it. */
function shown({ verdict, left }: Stock): Verdict {
  return { ...verdict, buckets: verdict.buckets.map((one) => ({ ...one, remaining: one.remaining + left })) };
}

/**
 * Saves round trips of callers who send much and are far from their limits: some of their next requests are paid for in the same charge.
 * Everything is paid before it is used, so no caller gets more than their limit, however many processes pay ahead.
 */
export function createPrepaid(charge: ChargeMany): (charges: Charge[]) => Promise<Verdict> {
  const stocks = new Map<string, Stock>();
  let sweeping: NodeJS.Timeout | undefined;

  const sweep = (): void => {
    sweeping = undefined;
    const now = performance.now();
    for (const [name, { charges, left, isFilling, goodUntil }] of stocks) {
      if (isFilling || goodUntil > now) continue;
      stocks.delete(name);
      // Lost where Redis is away: then the bucket fills by itself, as it does for a process that died.
      if (left > 0) charge(charges, -left).catch(() => undefined);
    }
    if (stocks.size > 0) sweeping = setTimeout(sweep, GOOD_FOR_MS).unref();
  };

  const open = (name: string, charges: Charge[], verdict: Verdict): void => {
    stocks.set(name, {
      charges,
      verdict,
      left: 0,
      uses: 1,
      isFilling: false,
      goodUntil: performance.now() + GOOD_FOR_MS,
    });
    sweeping ??= setTimeout(sweep, GOOD_FOR_MS).unref();
  };

  const fill = async (stock: Stock, ahead: number): Promise<Verdict> => {
    stock.isFilling = true;
    try {
      const verdict = await charge(stock.charges, 1 + ahead);
      if (verdict.refusedBy !== null) return await charge(stock.charges, 1);
      stock.verdict = verdict;
      stock.left += ahead;
      stock.goodUntil = performance.now() + GOOD_FOR_MS;
      return shown(stock);
    } finally {
      stock.isFilling = false;
    }
  };

  return async (charges) => {
    const name = charges.map(({ key }) => key).join();
    const stock = stocks.get(name);
    if (!stock) {
      const verdict = await charge(charges, 1);
      if (verdict.refusedBy === null && !stocks.has(name)) open(name, charges, verdict);
      return verdict;
    }
    stock.uses += 1;
    if (stock.left > 0 && stock.goodUntil > performance.now()) {
      stock.left -= 1;
      return shown(stock);
    }
    const ahead = stock.isFilling ? 0 : aheadOf(stock);
    return ahead > 0 ? fill(stock, ahead) : charge(charges, 1);
  };
}
