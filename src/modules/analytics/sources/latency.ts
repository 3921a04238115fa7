/** Three buckets per octave: a percentile taken from the middle of its bucket is right to 12 %. */
const PER_OCTAVE = 3;
const OCTAVES = 14;
const FIRST_MS = 10;

/** The upper ends of the buckets in milliseconds, 10 ms to 164 s; beyond the last is one more. */
export const LATENCY_ENDS_MS: readonly number[] = Array.from({ length: PER_OCTAVE * OCTAVES + 1 }, (_, at) =>
  Math.round(FIRST_MS * 2 ** (at / PER_OCTAVE)),
);

/** The measures of a histogram of latencies, a bucket each. Histograms of any hours and dimensions can be added up. */
export const LATENCY_MEASURES = [...LATENCY_ENDS_MS.map((ms) => `latencyBelow${ms}Ms`), 'latencyBeyond'];

/**
 * A quantile of a histogram.
 * @param counts by bucket, in the order of `LATENCY_MEASURES`
 * @param share 0 to 1
 * @returns milliseconds, right to 12 % between 10 ms and 164 s; null where nothing was counted
 */
export function latencyQuantile(counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let left = Math.max(1, Math.ceil(total * share));
  for (const [at, count] of counts.entries()) {
    left -= count;
    if (left > 0) continue;
    const end = LATENCY_ENDS_MS[at];
    const start = LATENCY_ENDS_MS[at - 1];
    if (end === undefined) return LATENCY_ENDS_MS.at(-1) ?? null;
    return Math.round(start === undefined ? end : Math.sqrt(start * end));
  }
  return null;
}
