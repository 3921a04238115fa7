/** Where figures come from: one kind of fact, counted by bucket. A feature adds its facts as one file beside this one. */
export interface FactSource<Name extends string = string, Measure extends string = string> {
  name: Name;
  /** What figures can be asked by, in the order they are stored. Every source has `user`, whose figures these are. */
  dimensions: readonly Dimension[];
  /** What is added up, in the order it is stored: only ever append. */
  measures: readonly Measure[];
  /**
   * A select of `dimensions` (text[]) and `amounts` (bigint[]), a row for each set of dimensions, over the facts of workspace `$1` from
   * `bucket.starts` until before `bucket.ends`. Needs an index that begins with the workspace and the time of the fact.
   */
  facts: string;
}

export type Dimension = 'engine' | 'provider' | 'model' | 'source' | 'user' | 'pipeline' | 'currency';

/** Names a source's type without widening it. */
export const defineSource = <const Name extends string, const Measure extends string>(
  source: FactSource<Name, Measure>,
): FactSource<Name, Measure> => source;

const MOST = '9223372036854775807';

/** SQL of a sum that nonsense in a fact cannot make too large for a `bigint`. */
export const sumOf = (amount: string): string => `least(sum(${amount}), ${MOST})::bigint`;
