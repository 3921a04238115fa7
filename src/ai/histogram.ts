/** Four buckets per octave from 1 ms up: a percentile is right to 19 %, up to about a minute. */
const PER_OCTAVE = 4;
const BUCKETS = 68;
const SLOTS = 10;
const SLOT_MS = 30_000;
/** A percentile is computed anew at most this often. */
const CACHE_MS = 1000;
/** Fewer tell nothing. */
const MIN_TIMES = 5;

const bucketOf = (ms: number): number =>
  Math.min(BUCKETS - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, ms)) * PER_OCTAVE)));
/** The geometric middle of a bucket. */
const middleOf = (bucket: number): number => 2 ** ((bucket + 0.5) / PER_OCTAVE);

interface Slot {
  at: number;
  counts: Uint16Array;
}

/**
 * Times of the last five minutes in ten slots of 30 s, each thrown away on its own: it slides, where a counter that is emptied as a
 * whole forgets everything at once.
 */
export class SlidingHistogram {
  readonly #slots: (Slot | undefined)[] = Array.from({ length: SLOTS });
  #cached: { until: number; total: number; merged: Uint32Array } | undefined;
  #usual: { slot: number; p95: number | undefined } | undefined;

  /** Counts a time in milliseconds that was measured at `now`. */
  add(ms: number, now: number): void {
    const at = Math.floor(now / SLOT_MS);
    let slot = this.#slots[at % SLOTS];
    if (slot?.at !== at) {
      slot = { at, counts: new Uint16Array(BUCKETS) };
      this.#slots[at % SLOTS] = slot;
    }
    const bucket = bucketOf(ms);
    slot.counts[bucket] = Math.min(65_535, (slot.counts[bucket] ?? 0) + 1);
  }

  /** @returns the `share` quantile (0..1) in milliseconds; undefined for fewer than five times */
  percentile(share: number, now: number): number | undefined {
    if (!this.#cached || now >= this.#cached.until)
      this.#cached = { until: now + CACHE_MS, ...this.#merge(Math.floor(now / SLOT_MS), 0) };
    return quantile(this.#cached, share);
  }

  /** @returns what 95 of 100 calls took before the last minute, in milliseconds: what a slow-down is measured against */
  usual95(now: number): number | undefined {
    const slot = Math.floor(now / SLOT_MS);
    if (this.#usual?.slot !== slot) this.#usual = { slot, p95: quantile(this.#merge(slot, 2), 0.95) };
    return this.#usual.p95;
  }

  /** Joins the slots of the window, without the newest `skipped`. */
  #merge(current: number, skipped: number): { total: number; merged: Uint32Array } {
    const merged = new Uint32Array(BUCKETS);
    let total = 0;
    for (const slot of this.#slots) {
      if (!slot || slot.at <= current - SLOTS || slot.at > current - skipped) continue;
      for (let bucket = 0; bucket < BUCKETS; bucket++) {
        const count = slot.counts[bucket] ?? 0;
        merged[bucket] = (merged[bucket] ?? 0) + count;
        total += count;
      }
    }
    return { total, merged };
  }
}

function quantile({ total, merged }: { total: number; merged: Uint32Array }, share: number): number | undefined {
  if (total < MIN_TIMES) return undefined;
  let left = Math.ceil(total * share);
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    left -= merged[bucket] ?? 0;
    if (left <= 0) return middleOf(bucket);
  }
  return undefined;
}
