import { z } from 'zod';
import { METRIC_NAMES } from '#src/modules/analytics/metrics.ts';

const DATE_LENGTH = 'YYYY-MM-DD'.length;
/** Years that a calendar and Postgres agree on. */
const isSane = (text: string): boolean => /^20\d\d-/.test(text);
/** A day, which begins by the workspace's clock, or a moment. */
const When = z
  .union([z.iso.date(), z.iso.datetime({ offset: true })])
  .refine(isSane, 'must be of this century')
  // Postgres refuses offsets of 16 hours and more.
  .transform((text) => (text.length === DATE_LENGTH ? text : new Date(text).toISOString()));

/** From a moment until before another. */
export const PeriodQuery = z.strictObject({ from: When.optional(), to: When.optional() });
export const TimeseriesQuery = PeriodQuery.extend({
  metric: z.enum(METRIC_NAMES),
  bucket: z.enum(['hour', 'day']).default('day'),
});
export const AiQuery = PeriodQuery.extend({ groupBy: z.enum(['engine', 'provider', 'model']).default('model') });
export const DealsQuery = PeriodQuery.extend({ groupBy: z.enum(['day', 'pipeline', 'user']).default('pipeline') });

export const reading = {
  timeZone: z.string(),
  /** Everything that happened before is in these figures. */
  asOf: z.iso.datetime(),
  /** `own`: only the caller's work, since they may not see that of others. */
  scope: z.enum(['workspace', 'own']),
};
export const period = { from: z.iso.datetime(), to: z.iso.datetime() };

const Kpi = z.object({ value: z.number().nullable(), previous: z.number().nullable() });
export const KPI_NAMES = [
  'jobsCompleted',
  'jobsFailed',
  'calls',
  'failures',
  'inputTokens',
  'outputTokens',
  'costUsd',
  'credits',
  'latencyP95Ms',
] as const;
export type KpiName = (typeof KPI_NAMES)[number];
const PeriodKpis = z.object({
  /** The first day, and the one after the last. */
  from: z.iso.date(),
  to: z.iso.date(),
  kpis: z.record(z.enum(KPI_NAMES), Kpi),
});
export type PeriodKpis = z.output<typeof PeriodKpis>;
export const DashboardView = z
  .object({ ...reading, today: PeriodKpis, last7Days: PeriodKpis, last30Days: PeriodKpis })
  .meta({ id: 'AnalyticsDashboard' });

export const TimeseriesView = z
  .object({
    ...reading,
    ...period,
    metric: z.enum(METRIC_NAMES),
    bucket: z.enum(['hour', 'day']),
    data: z.array(
      z.object({
        at: z.iso.datetime(),
        /** The same by the workspace's clock. */
        local: z.string(),
        /** 23 or 25 for a day on which the clock is changed. */
        hours: z.number(),
        value: z.number(),
      }),
    ),
  })
  .meta({ id: 'AnalyticsTimeseries' });

const AiFigures = z.object({
  calls: z.int(),
  failures: z.int(),
  inputTokens: z.number(),
  cachedInputTokens: z.number(),
  outputTokens: z.number(),
  reasoningTokens: z.number(),
  costUsd: z.number(),
  ownKeyCostUsd: z.number(),
  credits: z.number(),
  /** Of a call, from a histogram: right to 12 %. */
  latencyP50Ms: z.number().nullable(),
  latencyP95Ms: z.number().nullable(),
});
export type AiFigures = z.output<typeof AiFigures>;
export const AiView = z
  .object({
    ...reading,
    ...period,
    groupBy: z.string(),
    total: AiFigures,
    data: z.array(AiFigures.extend({ key: z.string() })),
  })
  .meta({ id: 'AnalyticsAi' });

const DealFigures = z.object({
  currency: z.string(),
  /** By when they were made, and by when they ended. */
  created: z.int(),
  won: z.int(),
  lost: z.int(),
  createdMinor: z.number(),
  wonMinor: z.number(),
  lostMinor: z.number(),
  /** Of the deals that ended, how many were won: 0 to 1. */
  winRate: z.number().nullable(),
});
export type DealFigures = z.output<typeof DealFigures>;
export const DealsView = z
  .object({
    ...reading,
    ...period,
    groupBy: z.string(),
    total: z.array(DealFigures),
    /** The key is a day, a pipeline's id, or that of who looks after the deals; null where nobody does. */
    data: z.array(DealFigures.extend({ key: z.string().nullable() })),
  })
  .meta({ id: 'AnalyticsDeals' });

export const TeamView = z
  .object({
    ...reading,
    ...period,
    data: z.array(
      z.object({
        userId: z.uuid(),
        /** Null for who is no member any more. */
        name: z.string().nullable(),
        jobsCompleted: z.int(),
        jobsFailed: z.int(),
        jobsCancelled: z.int(),
        calls: z.int(),
        costUsd: z.number(),
        credits: z.number(),
      }),
    ),
  })
  .meta({ id: 'AnalyticsTeam' });

const MessageFigures = z.object({
  inbound: z.int(),
  outbound: z.int(),
  delivered: z.int(),
  read: z.int(),
  failed: z.int(),
  /** Outbound messages that answered inbound ones. */
  responses: z.int(),
  /** From the first message that waited until it was answered, on average; null where none was. */
  responseSeconds: z.number().nullable(),
});
export type MessageFigures = z.output<typeof MessageFigures>;
export const MessagesView = z
  .object({
    ...reading,
    ...period,
    total: MessageFigures,
    /** By who looks after the contacts; null: nobody. */
    users: z.array(MessageFigures.extend({ userId: z.uuid().nullable() })),
    days: z.array(MessageFigures.extend({ day: z.iso.date() })),
  })
  .meta({ id: 'AnalyticsMessages' });
