import type {
  Campaign,
  CampaignCounters,
  CampaignProgress,
  CampaignReport,
  Import,
  Job,
  NewCampaign,
  Operation,
  OperationAccepted,
  Page,
  UploadedImport,
} from '../../client/src/index.ts';
import { CliError, EXIT } from './exit.ts';

/** What a value must be: a type, a list, or an object that has at least these fields. `any` may be null, and must be there. */
type Shape = 'string' | 'number' | 'boolean' | 'any' | readonly [Shape] | { readonly [name: string]: Shape };

/** What the backend answers somewhere, as far as a command relies on it. */
export interface Answer<Expected> {
  readonly shape: Shape;
  readonly example?: Expected;
}

/** How something else is told from the backend: any server may answer 200. */
const answer = <Expected>(shape: Shape & { readonly [Name in keyof Expected]?: Shape }): Answer<Expected> => ({
  shape,
});

function fits(value: unknown, shape: Shape): boolean {
  if (shape === 'any') return value !== undefined;
  if (typeof shape === 'string') return typeof value === shape;
  if (isList(shape)) return Array.isArray(value) && value.every((one) => fits(one, shape[0]));
  if (typeof value !== 'object' || value === null) return false;
  const given = new Map<string, unknown>(Object.entries(value));
  return Object.entries(shape).every(([name, inner]) => fits(given.get(name), inner));
}

const isList = (shape: Shape): shape is readonly [Shape] => Array.isArray(shape);

/** @throws CliError where the answer is none of the backend's */
export function mustFit<Expected>(value: Expected, { shape }: Answer<Expected>, where: string): Expected {
  if (fits(value, shape)) return value;
  throw notTheBackend(`${where} answered something else`);
}

export const notTheBackend = (what: string) =>
  new CliError(EXIT.unreachable, 'not_the_backend', `That is not the backend: ${what}. Is the address right?`);

/** A list of such. */
export const pageOf = <Item>({ shape }: Answer<Item>): Answer<Page<Item>> =>
  answer<Page<Item>>({ data: [shape], page: { hasMore: 'boolean', nextCursor: 'any' } });

const COUNTERS = Object.fromEntries(
  ['total', 'pending', 'claimed', 'dispatching', 'sent', 'failed', 'unknown', 'cancelled'].map((name) => [
    name,
    'number' as const,
  ]),
) satisfies { [Name in keyof CampaignCounters]?: Shape };

const campaign = { id: 'string', name: 'string', status: 'string', createdAt: 'string', counters: COUNTERS } as const;
export const CAMPAIGN = answer<Campaign>({ ...campaign, channelId: 'string', audience: 'any', variants: [{}] });
export const NEW_CAMPAIGN = answer<NewCampaign>({ ...campaign, notice: 'string' });
export const PROGRESS = answer<CampaignProgress>({ status: 'string', pauseReason: 'any', counters: COUNTERS });
export const REPORT = answer<CampaignReport>({
  counters: COUNTERS,
  excluded: {},
  funnel: { reached: 'number', delivered: 'number', read: 'number', replied: 'number', optedOut: 'number' },
  skipped: {},
  failed: {},
  variants: [{ key: 'string', sent: 'number', replied: 'number', replyRate: 'any' }],
});

const operation = { id: 'string', status: 'string', done: 'number', counts: {}, problem: 'any' } as const;
export const OPERATION = answer<Operation>({ ...operation, kind: 'string', total: 'any' });
export const ACCEPTED = answer<OperationAccepted>({ operationId: 'string' });
const counts = { created: 'number', updated: 'number', skipped: 'number', invalid: 'number' } as const;
const column = { column: 'number', header: 'string', to: 'string', samples: ['string'] } as const;
const imported = { ...operation, rows: 'number', counts, columns: [column], operationId: 'any' } as const;
export const IMPORT = answer<Import>(imported);
export const UPLOADED = answer<UploadedImport>(imported);

export interface RejectedRow {
  row: number;
  reason: string | null;
  column: string | null;
  cells: string[] | null;
}
export const REJECTED_ROW = answer<RejectedRow>({ row: 'number', reason: 'any', column: 'any', cells: 'any' });

export const JOB = answer<Job>({ id: 'string', status: 'string', partialText: 'any', usage: 'any', problem: 'any' });
export const JOB_STATUS = answer<Pick<Job, 'status'> & { jobId: string }>({ jobId: 'string', status: 'string' });
export const TICKET = answer<{ ticket: string; expiresInSeconds: number }>({
  ticket: 'string',
  expiresInSeconds: 'number',
});
export const DELETED = answer<{ id: string; deleted: true }>({ id: 'string', deleted: 'boolean' });

/** A number that campaigns are sent from. */
export interface Channel {
  id: string;
  name: string;
  kind: string;
  state: string;
  pauseReason: string | null;
  phone: string | null;
  timeZone: string;
}
export const CHANNEL = answer<Channel>({
  id: 'string',
  name: 'string',
  kind: 'string',
  state: 'string',
  phone: 'any',
  pauseReason: 'any',
});
/** How a channel is, by name. */
export const HEALTH = answer<Record<string, string | null>>({ state: 'string', quality: 'any', problem: 'any' });

/** One recipient of a campaign. */
export interface CampaignItem {
  id: string;
  contactId: string | null;
  variant: string;
  status: string;
  attempts: number;
  skipReason: string | null;
  errorCode: string | null;
  sentAt: string | null;
}
export const ITEM = answer<CampaignItem>({ id: 'string', contactId: 'any', status: 'string', attempts: 'number' });

export interface Audience {
  count: number;
  /** By reason. */
  excluded: Record<string, number>;
  sample: { id: string; name: string; phone: string }[];
}
export const AUDIENCE = answer<Audience>({
  count: 'number',
  excluded: {},
  sample: [{ id: 'string', name: 'string', phone: 'string' }],
});

export interface Tried {
  results: {
    to: string;
    variant: string;
    text: string;
    outcome: 'sent' | 'failed' | 'unknown' | 'skipped' | 'rendered';
    code: string | null;
  }[];
}
export const TRIED = answer<Tried>({
  results: [{ to: 'string', variant: 'string', text: 'string', outcome: 'string', code: 'any' }],
});
export const RETRIED = answer<{ retried: number }>({ retried: 'number' });
export const RESOLVED = answer<{ resolved: number }>({ resolved: 'number' });
