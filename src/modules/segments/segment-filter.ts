import { z } from 'zod';
import { IdText } from '#src/http/fields.ts';
import {
  CHOICES,
  FIELDS,
  FilterOp,
  FilterValue,
  readValue,
  type FilterField,
} from '#src/modules/segments/filter-values.ts';

const MAX_DEPTH = 8;
const MAX_NODES = 100;

const isField = (name: string): name is FilterField => Object.hasOwn(FIELDS, name);
const names = Object.keys(FIELDS).filter(isField);

const FieldNode = z
  .strictObject({ field: z.enum(names), op: FilterOp, value: FilterValue })
  .superRefine(({ field, op, value }, context) => {
    const read = readValue(FIELDS[field], CHOICES[field] ?? [], op, value);
    if ('at' in read) context.addIssue({ code: 'custom', path: [read.at], message: read.message });
  });
/** What its value must be only the workspace's definition of the field says. */
const CustomNode = z.strictObject({ custom: z.string().min(1).max(40), op: FilterOp, value: FilterValue });
const LabelNode = z.strictObject({ hasLabel: IdText });
/** A deal of theirs is in that stage. */
const StageNode = z.strictObject({ dealStage: IdText });
/** A deal of theirs is in that pipeline, in any state or one. */
const PipelineNode = z.strictObject({ inPipeline: IdText, status: z.enum(['open', 'won', 'lost']).optional() });

export type FieldNode = z.output<typeof FieldNode>;
export type CustomNode = z.output<typeof CustomNode>;

/**
 * What contacts a list is of. A question about something a contact does not have is answered no; `neq` and `not` turn an answer round, so
 * they are true of who does not have it. An empty `and` is true of everybody.
 */
export type SegmentFilter =
  | { and: SegmentFilter[] }
  | { or: SegmentFilter[] }
  | { not: SegmentFilter }
  | FieldNode
  | CustomNode
  | z.output<typeof LabelNode>
  | z.output<typeof StageNode>
  | z.output<typeof PipelineNode>;

const Node: z.ZodType<SegmentFilter> = z
  .lazy(() =>
    z.union([
      z.strictObject({ and: z.array(Node).max(MAX_NODES) }),
      z.strictObject({ or: z.array(Node).min(1).max(MAX_NODES) }),
      z.strictObject({ not: Node }),
      FieldNode,
      CustomNode,
      LabelNode,
      StageNode,
      PipelineNode,
    ]),
  )
  .meta({ id: 'SegmentNode' });

/** Where a node of a filter is, as in its JSON. */
export type NodePath = readonly (string | number)[];

/** The nodes right under one. */
export function childrenOf(node: SegmentFilter, path: NodePath): { node: SegmentFilter; path: NodePath }[] {
  if ('not' in node) return [{ node: node.not, path: [...path, 'not'] }];
  const [key, nodes] =
    'and' in node ? (['and', node.and] as const) : 'or' in node ? (['or', node.or] as const) : (['', []] as const);
  return nodes.map((child, index) => ({ node: child, path: [...path, key, index] }));
}

/** Whether a filter is also about deals, which not everybody may see who sees contacts. */
export const asksForDeals = (node: SegmentFilter): boolean =>
  'dealStage' in node || 'inPipeline' in node || childrenOf(node, []).some((child) => asksForDeals(child.node));

/** Values in a filter of as many nodes as may be, each with as long a list of values as may be. */
const MAX_VALUES = MAX_NODES * 210;

/** Whether a value has few enough parts to be worth reading: each that fits nothing is refused by every kind of node there is. */
function isSmall(value: unknown): boolean {
  let left = MAX_VALUES;
  const count = (one: unknown): boolean => {
    left -= 1;
    return left >= 0 && (typeof one !== 'object' || one === null || Object.values(one).every(count));
  };
  return count(value);
}

/** A place where a list of conditions holds more than a filter may have in all. */
const isWide = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  Object.entries(value).some(
    ([key, one]) => (['and', 'or'].includes(key) && Array.isArray(one) && one.length > MAX_NODES) || isWide(one),
  );

/** A filter, of at most 100 nodes, 8 deep. */
export const SegmentFilter = Node.superRefine((filter, context) => {
  let count = 0;
  const visit = (node: SegmentFilter, path: NodePath, depth: number): boolean => {
    count += 1;
    const message =
      depth > MAX_DEPTH
        ? `must not be nested deeper than ${MAX_DEPTH} levels`
        : count > MAX_NODES && `must not be one of more than ${MAX_NODES} conditions`;
    if (message) context.addIssue({ code: 'custom', path: [...path], message });
    return !message && childrenOf(node, path).every((child) => visit(child.node, child.path, depth + 1));
  };
  visit(filter, [], 1);
});

/** A filter from outside, counted before it is read: else a part that fits nothing is refused by every kind of node, at every place. */
export const AskedFilter = z.preprocess((value, context) => {
  if (isSmall(value) && !isWide(value)) return value;
  context.addIssue({ code: 'custom', message: `must not be one of more than ${MAX_NODES} conditions` });
  return z.NEVER;
}, SegmentFilter);
