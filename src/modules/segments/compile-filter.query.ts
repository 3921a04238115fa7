import type { CountryCode } from 'libphonenumber-js/max';
import { AppError, forbidden, type FieldError } from '#src/errors.ts';
import type { DealsOf } from '#src/modules/activities/activity-sight.ts';
import { parsePhone } from '#src/modules/contacts/phone.ts';
import {
  CHOICES,
  FIELDS,
  readValue,
  type FilterField,
  type FilterOp,
  type FilterValue,
  type Scalar,
  type ValueKind,
} from '#src/modules/segments/filter-values.ts';
import {
  childrenOf,
  type CustomNode,
  type NodePath,
  type SegmentFilter,
} from '#src/modules/segments/segment-filter.ts';

/** A field a workspace made for its contacts. */
export interface CustomField {
  kind: 'text' | 'number' | 'date' | 'boolean' | 'select' | 'url';
  options: readonly string[];
}

/** What of a workspace a filter is compiled with (`loadFilterFields`). */
export interface FilterFields {
  /** By key. */
  custom: ReadonlyMap<string, CustomField>;
  /** Of the labels, stages and pipelines a filter names, those that there are. */
  labels: ReadonlySet<string>;
  stages: ReadonlySet<string>;
  pipelines: ReadonlySet<string>;
  /** Whose deals count: a filter is a way to look, too. Nobody's: it must not ask for deals at all. */
  deals: DealsOf;
  country: CountryCode;
  timeZone: string;
  now: Date;
}

/** A condition on the contact `c`; `params` stand for its `?`, in their order. */
export interface Condition {
  sql: string;
  params: readonly (string | number | boolean)[];
}

/** A value as it is looked up, and the form in which what is asked for is compared with it. */
interface Column {
  kind: ValueKind;
  /** Null where there is none. */
  sql: string;
  params: readonly string[];
  /** Around a `?` and the column alike, so that spellings that are one compare as one. */
  like: (text: string) => string;
  /** The column in that form, where it is stored. */
  key?: string;
  /** Its text stands in `c.search` too, which has an index of parts. */
  isSearched?: true;
}

const DAY_MS = 86_400_000;
/** The index of parts is one of three letters each. */
const INDEXED_LETTERS = 3;
const COMPARE = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const;
const CASTS: Record<ValueKind, string> = {
  text: '::text',
  phone: '::text',
  email: '::text',
  choice: '::text',
  date: '::text',
  id: '::uuid',
  number: '::numeric',
  moment: '::timestamptz',
  boolean: '::boolean',
};

const folded = (text: string): string => `fold(${text}) collate "C"`;
const lowered = (text: string): string => `lower(${text})`;
const comparedOf = ({ sql, like, key }: Column): string => key ?? like(`(${sql})`);
const asIs = (text: string): string => text;
const exactly = (text: string): string => `${text} collate "C"`;

const COLUMNS: Record<FilterField, Omit<Column, 'kind' | 'params'>> = {
  name: { sql: 'c.name', key: 'c.sort_name', like: folded, isSearched: true },
  phone: { sql: 'c.phone', like: asIs, isSearched: true },
  email: { sql: 'c.email', key: 'c.email_key', like: lowered, isSearched: true },
  company: { sql: 'c.company', key: 'c.company_key', like: folded, isSearched: true },
  position: { sql: 'c.position', like: folded },
  ownerId: { sql: 'c.owner_id', like: asIs },
  consent: { sql: 'c.consent', like: asIs },
  sentiment: { sql: 'c.sentiment', like: asIs },
  leadScore: { sql: 'c.lead_score', like: asIs },
  createdAt: { sql: 'c.created_at', like: asIs },
  lastInboundAt: { sql: 'c.last_inbound_at', like: asIs },
  lastOutboundAt: { sql: 'c.last_outbound_at', like: asIs },
  archived: { sql: '(c.archived_at is not null)', like: asIs },
};

// A value that is not of its field's kind (the field was another once) is none.
const ofType = (type: string, sql: string) =>
  `case when jsonb_typeof(c.custom_fields -> ?::text) = '${type}' then ${sql} end`;
const TEXT = ofType('string', 'c.custom_fields ->> ?::text');
const CUSTOM: Record<CustomField['kind'], Omit<Column, 'params'>> = {
  text: { kind: 'text', sql: TEXT, like: folded },
  url: { kind: 'text', sql: TEXT, like: folded },
  select: { kind: 'choice', sql: TEXT, like: asIs },
  // ISO 8601 days sort as texts.
  date: { kind: 'date', sql: TEXT, like: exactly },
  number: { kind: 'number', sql: ofType('number', '(c.custom_fields ->> ?::text)::numeric'), like: asIs },
  boolean: { kind: 'boolean', sql: ofType('boolean', '(c.custom_fields ->> ?::text)::boolean'), like: asIs },
};

/** The day `days` before a moment by a workspace's clock, as in `2026-03-01`. */
export function dayBefore(now: Date, days: number, timeZone: string): string {
  const today = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' }).format(now);
  return new Date(Date.parse(today) - days * DAY_MS).toISOString().slice(0, 10);
}

class Compiler {
  readonly errors: FieldError[] = [];
  readonly #fields: FilterFields;
  readonly #at: string;

  constructor(fields: FilterFields, at: string) {
    this.#fields = fields;
    this.#at = at;
  }

  compile(node: SegmentFilter, path: NodePath): Condition {
    if ('field' in node) {
      const { field } = node;
      const column = { ...COLUMNS[field], kind: FIELDS[field], params: [] };
      return this.#ask(column, CHOICES[field] ?? [], node, path);
    }
    if ('custom' in node) return this.#askCustom(node, path);
    if ('hasLabel' in node) return this.#askLabel(node.hasLabel, path);
    if ('dealStage' in node) {
      this.#mustReadDeals();
      if (this.#fields.stages.has(node.dealStage))
        return this.#hasDeal({ sql: 'd.stage_id = ?::uuid', params: [node.dealStage] });
      return this.#fail([...path, 'dealStage'], 'unknown_stage', `there is no stage ${node.dealStage}`);
    }
    if ('inPipeline' in node) return this.#askPipeline(node, path);
    const parts = childrenOf(node, path).map((child) => this.compile(child.node, child.path));
    const params = parts.flatMap((part) => part.params);
    // An unknown answer is a no: `and` and `or` keep it one in a `where`, and this turns it into a yes.
    if ('not' in node) return { sql: `(${parts.map(({ sql }) => sql).join('')}) is not true`, params };
    if (parts.length === 0) return { sql: 'true', params };
    return { sql: `(${parts.map(({ sql }) => sql).join('and' in node ? ' and ' : ' or ')})`, params };
  }

  #fail(path: NodePath, code: string, message: string): Condition {
    const place = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
    this.errors.push({ path: `${this.#at}${place}`, code, message });
    return { sql: 'false', params: [] };
  }

  /** Also before it is said whether there is such a stage or pipeline. */
  #mustReadDeals(): void {
    if (this.#fields.deals === 'nobody')
      throw forbidden('A filter that asks for deals takes the permission deals:read.');
  }

  /** Whether a contact has a deal like this, that was not deleted, among those who asks may see. */
  #hasDeal({ sql, params }: Condition): Condition {
    const { deals } = this.#fields;
    const own = typeof deals === 'object' ? ' and d.owner_id = ?::uuid' : '';
    return {
      sql: `exists (select from deal d where d.workspace_id = c.workspace_id and d.contact_id = c.id and d.deleted_at is null and ${sql}${own})`,
      params: typeof deals === 'object' ? [...params, deals.userId] : params,
    };
  }

  #askPipeline(
    { inPipeline: id, status }: { inPipeline: string; status?: string | undefined },
    path: NodePath,
  ): Condition {
    this.#mustReadDeals();
    if (!this.#fields.pipelines.has(id))
      return this.#fail([...path, 'inPipeline'], 'unknown_pipeline', `there is no pipeline ${id}`);
    if (status === undefined) return this.#hasDeal({ sql: 'd.pipeline_id = ?::uuid', params: [id] });
    return this.#hasDeal({ sql: 'd.pipeline_id = ?::uuid and d.status = ?::text', params: [id, status] });
  }

  #askLabel(id: string, path: NodePath): Condition {
    if (!this.#fields.labels.has(id))
      return this.#fail([...path, 'hasLabel'], 'unknown_label', `there is no label ${id}`);
    return {
      sql: `exists (select from contact_label l where l.workspace_id = c.workspace_id and l.contact_id = c.id and l.label_id = ?::uuid)`,
      params: [id],
    };
  }

  #askCustom(node: CustomNode, path: NodePath): Condition {
    const { custom: key } = node;
    const field = this.#fields.custom.get(key);
    if (!field) return this.#fail([...path, 'custom'], 'unknown_field', `there is no field ${key}`);
    return this.#ask({ ...CUSTOM[field.kind], params: [key, key] }, field.options, node, path);
  }

  #ask(
    column: Column,
    choices: readonly string[],
    { op, value: asked }: { op: FilterOp; value: FilterValue },
    path: NodePath,
  ): Condition {
    const read = readValue(column.kind, choices, op, asked);
    if ('at' in read) return this.#fail([...path, read.at], 'invalid_value', read.message);
    const { value } = read;
    const { sql, params } = column;
    if (op === 'exists') return { sql: `(${sql}) is ${value === true ? 'not ' : ''}null`, params };
    if (op === 'withinDays' || op === 'olderThanDays') return this.#askDays(column, op, Number(value));
    const values = (Array.isArray(value) ? value : [value]).map((one) => this.#valueOf(column, one, op, path));
    if (op === 'contains' || op === 'startsWith') return this.#askText(column, op, String(values[0]));
    const compared = comparedOf(column);
    const mark = column.like(`?${CASTS[column.kind]}`);
    const sign = op === 'eq' || op === 'neq' || op === 'in' ? '=' : COMPARE[op];
    const any = {
      sql: `(${values.map(() => `${compared} ${sign} ${mark}`).join(' or ')})`,
      params: values.flatMap((one) => [...params, one]),
    };
    return op === 'neq' ? { ...any, sql: `${any.sql} is not true` } : any;
  }

  /** Phone numbers are asked for in any spelling. */
  #valueOf({ kind }: Column, value: Scalar, op: FilterOp, path: NodePath): Scalar {
    if (kind !== 'phone') return value;
    const text = String(value);
    if (op === 'contains') return text.replaceAll(/\D/g, '');
    if (op === 'startsWith') return `+${text.replaceAll(/\D/g, '')}`;
    const phone = parsePhone(text, this.#fields.country);
    if (phone === null) this.#fail([...path, 'value'], 'invalid_value', 'must be phone numbers');
    return phone ?? text;
  }

  #askText(column: Column, op: 'contains' | 'startsWith', text: string): Condition {
    const pattern = `${op === 'contains' ? `'%' || ` : ''}like_escape(${column.like('?::text')}) || '%'`;
    const matches = { sql: `${comparedOf(column)} like ${pattern}`, params: [...column.params, text] };
    if (!column.isSearched || text.length < INDEXED_LETTERS) return matches;
    const indexed = `c.search like '%' || like_escape(fold(?::text)) || '%'`;
    return { sql: `(${indexed} and ${matches.sql})`, params: [text, ...matches.params] };
  }

  #askDays(column: Column, op: 'withinDays' | 'olderThanDays', days: number): Condition {
    const { now, timeZone } = this.#fields;
    const { kind, params } = column;
    const at = (ago: number) =>
      kind === 'date' ? dayBefore(now, ago, timeZone) : new Date(now.getTime() - ago * DAY_MS).toISOString();
    const compared = comparedOf(column);
    const mark = `?${CASTS[kind]}`;
    if (op === 'olderThanDays') return { sql: `${compared} < ${mark}`, params: [...params, at(days)] };
    return {
      sql: `(${compared} >= ${mark} and ${compared} <= ${mark})`,
      params: [...params, at(days), ...params, at(0)],
    };
  }
}

/**
 * A filter as a condition on the table `contact` under the alias `c`, for the `where` of any statement in the transaction that loaded `fields`.
 * It holds, does not hold or is null, which in a `where` is the same. No word of the filter is in the SQL. Says nothing of contacts in the bin.
 * @param at where the filter stands in the request, for errors
 * @throws AppError 403 where it asks for deals and none may be seen, 422 `unknown_reference` that names each label, stage, pipeline and field there is not (any more), and each value that does not fit its field
 */
export function compileFilter(filter: SegmentFilter, fields: FilterFields, at = 'filter'): Condition {
  const compiler = new Compiler(fields, at);
  const condition = compiler.compile(filter, []);
  const [first] = compiler.errors;
  if (!first) return condition;
  const errors = compiler.errors.slice(0, 20);
  throw new AppError(422, 'unknown_reference', `${first.path}: ${first.message}.`, { errors });
}
