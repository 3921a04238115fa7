import { childrenOf, SegmentFilter } from '#src/modules/segments/segment-filter.ts';

// True, or false, of every contact there is, in one node: a filter may be as deep and as wide as filters may be.
const whether = (value: boolean): SegmentFilter => ({ field: 'archived', op: 'exists', value });

/** The values that a filter compares with, as texts. */
export function textsOf(node: SegmentFilter): string[] {
  if ('value' in node) return [node.value].flat().map(String);
  return childrenOf(node, []).flatMap((child) => textsOf(child.node));
}

/**
 * A filter without the conditions that name somebody. It is true of nobody it was not true of before: such a condition becomes one that is true of
 * no contact, under a `not` of every one; a list of choices loses those that name them where that makes it narrower.
 * @param isNamed whether a value names them
 */
export function cleanFilter(node: SegmentFilter, isNamed: (text: string) => boolean, isTurned = false): SegmentFilter {
  if ('and' in node) return { and: node.and.map((one) => cleanFilter(one, isNamed, isTurned)) };
  if ('or' in node) return { or: node.or.map((one) => cleanFilter(one, isNamed, isTurned)) };
  if ('not' in node) return { not: cleanFilter(node.not, isNamed, !isTurned) };
  if (!('value' in node) || !textsOf(node).some(isNamed)) return node;
  if (!Array.isArray(node.value) || isTurned) return whether(isTurned);
  const value = node.value.filter((one) => !isNamed(String(one)));
  return value.length === 0 ? whether(false) : { ...node, value };
}

/** The filters anywhere in a document, under the key `filter`, each replaced. */
export function mapFilters(document: unknown, change: (filter: SegmentFilter) => SegmentFilter): unknown {
  if (typeof document !== 'object' || document === null) return document;
  if (Array.isArray(document)) return document.map((one) => mapFilters(one, change));
  const entries = Object.entries(document).map(([key, value]): [string, unknown] => {
    const filter = key === 'filter' ? SegmentFilter.safeParse(value) : null;
    return [key, filter?.success ? change(filter.data) : mapFilters(value, change)];
  });
  return Object.fromEntries(entries);
}
