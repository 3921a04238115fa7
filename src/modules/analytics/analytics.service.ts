import type { z } from 'zod';
import { badRequest, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { may, mustHave, onlyOwner } from '#src/http/permissions.ts';
import {
  readMembers,
  readPeriod,
  readSeries,
  readSums,
  type Period,
  type Whose,
} from '#src/modules/analytics/analytics.query.ts';
import type {
  AiFigures,
  AiQuery,
  AiView,
  DashboardView,
  KpiName,
  MessageFigures,
  MessagesView,
  PeriodKpis,
  PeriodQuery,
  TeamView,
  TimeseriesQuery,
  TimeseriesView,
} from '#src/modules/analytics/analytics.schemas.ts';
import { METRICS, valueOf } from '#src/modules/analytics/metrics.ts';
import { aiCalls } from '#src/modules/analytics/sources/ai-calls.query.ts';
import { deals } from '#src/modules/analytics/sources/deals.query.ts';
import { jobs } from '#src/modules/analytics/sources/jobs.query.ts';
import { messages } from '#src/modules/analytics/sources/messages.query.ts';
import { LATENCY_MEASURES, latencyQuantile } from '#src/modules/analytics/sources/latency.ts';
import type { Runtime } from '#src/runtime.ts';

const DAY_MS = 86_400_000;
export const MAX_DAYS = 366;
const MAX_DAYS_BY_HOUR = 31;

type Reader = Pick<Runtime, 'pool'>;

/** Whose figures a caller may see: everybody's with `usage:all`, else their own. */
export const whoseOf = (auth: Auth): Whose => ({
  workspaceId: auth.workspaceId,
  userId: may(auth, 'usage:all') ? undefined : auth.userId,
});

/**
 * Whose deals' figures a caller may see: what the member may counts, also for a key of theirs, whose scope is the figures'.
 * @throws AppError 403 for a member who may not see deals
 */
export function whoseDealsOf(auth: Auth): Whose {
  const member = { ...auth, scopes: null };
  mustHave(member, 'deals:read');
  return { workspaceId: auth.workspaceId, userId: onlyOwner(member, 'deals') };
}

/** @throws AppError 400 for a period that is none or longer than `maxDays` */
export async function periodOf(
  { pool }: Reader,
  workspaceId: string,
  asked: z.output<typeof PeriodQuery>,
  maxDays = MAX_DAYS,
): Promise<Period> {
  const period = await readPeriod(pool, workspaceId, asked);
  if (!period) throw notFound('The workspace');
  const lengthMs = period.ends.getTime() - period.starts.getTime();
  // A day may have an hour more.
  if (lengthMs > 0 && lengthMs <= (maxDays + 1 / 12) * DAY_MS) return period;
  const message = `must be before "to", and at most ${maxDays} days`;
  throw badRequest('validation_failed', `from ${message}.`, [{ path: 'query.from', code: 'invalid_period', message }]);
}

/** What every answer says of itself. */
export const readingOf = ({ userId }: Whose, { timeZone, asOf }: Period) => ({
  timeZone,
  asOf: asOf.toISOString(),
  scope: userId === undefined ? ('workspace' as const) : ('own' as const),
});
/** The moments a period is between. */
export const spanOf = ({ starts, ends }: Period) => ({ from: starts.toISOString(), to: ends.toISOString() });

const histogramOf = (amounts: readonly number[]): readonly number[] => amounts.slice(-LATENCY_MEASURES.length);

/** Adds up amounts place by place. */
export function addSums(sums: readonly (readonly number[])[], width: number): number[] {
  return Array.from({ length: width }, (_, at) => sums.reduce((sum, amounts) => sum + (amounts[at] ?? 0), 0));
}

const aiFiguresOf = (amounts: readonly number[]): AiFigures => ({
  calls: valueOf('ai.calls', amounts),
  failures: valueOf('ai.failures', amounts),
  inputTokens: valueOf('ai.inputTokens', amounts),
  cachedInputTokens: valueOf('ai.cachedInputTokens', amounts),
  outputTokens: valueOf('ai.outputTokens', amounts),
  reasoningTokens: valueOf('ai.reasoningTokens', amounts),
  costUsd: valueOf('ai.costUsd', amounts),
  ownKeyCostUsd: valueOf('ai.ownKeyCostUsd', amounts),
  credits: valueOf('ai.credits', amounts),
  latencyP50Ms: latencyQuantile(histogramOf(amounts), 0.5),
  latencyP95Ms: latencyQuantile(histogramOf(amounts), 0.95),
});

function kpisOf(calls: readonly number[], ended: readonly number[]): Record<KpiName, number | null> {
  const { latencyP95Ms, failures, inputTokens, outputTokens, costUsd, credits, calls: count } = aiFiguresOf(calls);
  const jobsCompleted = valueOf('jobs.completed', ended);
  const jobsFailed = valueOf('jobs.failed', ended);
  return {
    jobsCompleted,
    jobsFailed,
    calls: count,
    failures,
    inputTokens,
    outputTokens,
    costUsd,
    credits,
    latencyP95Ms,
  };
}

const dayAfter = (day: string, count: number): string =>
  new Date(Date.parse(day) + count * DAY_MS).toISOString().slice(0, 10);

/** The figures of today, of 7 and of 30 days until today, each beside as many days before. */
export async function readDashboard({ pool }: Reader, auth: Auth): Promise<z.input<typeof DashboardView>> {
  const whose = whoseOf(auth);
  const period = await periodOf({ pool }, auth.workspaceId, {});
  const { endDay } = period;
  const span = { firstDay: dayAfter(endDay, -60), endDay };
  const [calls, ended] = await Promise.all([
    readSums(pool, whose, aiCalls, 'day', span),
    readSums(pool, whose, jobs, 'day', span),
  ]);
  const between = (from: string, to: string) => {
    const pick = (sums: typeof calls) =>
      sums.filter(({ key }) => key >= from && key < to).map(({ amounts }) => amounts);
    return kpisOf(addSums(pick(calls), aiCalls.measures.length), addSums(pick(ended), jobs.measures.length));
  };
  const over = (days: number): PeriodKpis => {
    const from = dayAfter(endDay, -days);
    const now = between(from, endDay);
    const before = between(dayAfter(from, -days), from);
    const kpi = (name: KpiName) => ({ value: now[name], previous: before[name] });
    return {
      from,
      to: endDay,
      kpis: {
        jobsCompleted: kpi('jobsCompleted'),
        jobsFailed: kpi('jobsFailed'),
        calls: kpi('calls'),
        failures: kpi('failures'),
        inputTokens: kpi('inputTokens'),
        outputTokens: kpi('outputTokens'),
        costUsd: kpi('costUsd'),
        credits: kpi('credits'),
        latencyP95Ms: kpi('latencyP95Ms'),
      },
    };
  };
  return { ...readingOf(whose, period), today: over(1), last7Days: over(7), last30Days: over(30) };
}

/** One metric by hour or day, without gaps. */
export async function readTimeseries(
  { pool }: Reader,
  auth: Auth,
  { metric, bucket, ...asked }: z.output<typeof TimeseriesQuery>,
): Promise<z.input<typeof TimeseriesView>> {
  const whose = METRICS[metric].source === deals ? whoseDealsOf(auth) : whoseOf(auth);
  const period = await periodOf({ pool }, auth.workspaceId, asked, bucket === 'hour' ? MAX_DAYS_BY_HOUR : MAX_DAYS);
  const points = await readSeries(pool, whose, METRICS[metric], bucket, period);
  const data = points.map(({ at, local, hours, value }) => ({
    at: at.toISOString(),
    local,
    hours,
    value: value / METRICS[metric].per,
  }));
  return { ...readingOf(whose, period), ...spanOf(period), metric, bucket, data };
}

/** What calls of providers came to, by engine, provider or model, the dearest first. */
export async function readAi(
  { pool }: Reader,
  auth: Auth,
  { groupBy, ...asked }: z.output<typeof AiQuery>,
): Promise<z.input<typeof AiView>> {
  const whose = whoseOf(auth);
  const period = await periodOf({ pool }, auth.workspaceId, asked);
  const sums = await readSums(pool, whose, aiCalls, groupBy === 'model' ? 'provider/model' : groupBy, period);
  const total = aiFiguresOf(
    addSums(
      sums.map(({ amounts }) => amounts),
      aiCalls.measures.length,
    ),
  );
  const data = sums.map(({ key, amounts }) => ({ key, ...aiFiguresOf(amounts) }));
  data.sort((a, b) => b.costUsd - a.costUsd || b.calls - a.calls);
  return { ...readingOf(whose, period), ...spanOf(period), groupBy, total, data };
}

/** What each member had done, also those who had nothing done. */
export async function readTeam(
  { pool }: Reader,
  auth: Auth,
  asked: z.output<typeof PeriodQuery>,
): Promise<z.input<typeof TeamView>> {
  const whose = whoseOf(auth);
  const period = await periodOf({ pool }, auth.workspaceId, asked);
  const [members, calls, ended] = await Promise.all([
    readMembers(pool, auth.workspaceId),
    readSums(pool, whose, aiCalls, 'user', period),
    readSums(pool, whose, jobs, 'user', period),
  ]);
  const names = new Map(members.map(({ userId, name }) => [userId, name]));
  const callsBy = new Map(calls.map(({ key, amounts }) => [key, amounts]));
  const endedBy = new Map(ended.map(({ key, amounts }) => [key, amounts]));
  const users =
    whose.userId === undefined ? new Set([...names.keys(), ...callsBy.keys(), ...endedBy.keys()]) : [whose.userId];
  const data = [...users].map((userId) => ({
    userId,
    name: names.get(userId) ?? null,
    jobsCompleted: valueOf('jobs.completed', endedBy.get(userId)),
    jobsFailed: valueOf('jobs.failed', endedBy.get(userId)),
    jobsCancelled: valueOf('jobs.cancelled', endedBy.get(userId)),
    calls: valueOf('ai.calls', callsBy.get(userId)),
    costUsd: valueOf('ai.costUsd', callsBy.get(userId)),
    credits: valueOf('ai.credits', callsBy.get(userId)),
  }));
  data.sort((a, b) => b.jobsCompleted - a.jobsCompleted);
  return { ...readingOf(whose, period), ...spanOf(period), data };
}

function messageFiguresOf(amounts: readonly number[]): MessageFigures {
  const responses = valueOf('messages.responses', amounts);
  return {
    inbound: valueOf('messages.inbound', amounts),
    outbound: valueOf('messages.outbound', amounts),
    delivered: valueOf('messages.delivered', amounts),
    read: valueOf('messages.read', amounts),
    failed: valueOf('messages.failed', amounts),
    responses,
    responseSeconds: responses === 0 ? null : valueOf('messages.responseSeconds', amounts) / responses,
  };
}

/** Whose messages a caller may see figures of: everybody's, or those of the contacts they look after. */
export const whoseMessagesOf = (auth: Auth): Whose => ({
  workspaceId: auth.workspaceId,
  userId: may(auth, 'usage:all') && may({ ...auth, scopes: null }, 'contacts:all') ? undefined : auth.userId,
});

/** How much was written and answered: in all, by who looks after the contacts, and by day. */
export async function readMessages(
  { pool }: Reader,
  auth: Auth,
  asked: z.output<typeof PeriodQuery>,
): Promise<z.input<typeof MessagesView>> {
  const whose = whoseMessagesOf(auth);
  const period = await periodOf({ pool }, auth.workspaceId, asked);
  const [users, days] = await Promise.all([
    readSums(pool, whose, messages, 'user', period),
    readSums(pool, whose, messages, 'day', period),
  ]);
  const all = addSums(
    users.map(({ amounts }) => amounts),
    messages.measures.length,
  );
  return {
    ...readingOf(whose, period),
    ...spanOf(period),
    total: messageFiguresOf(all),
    users: users.map(({ key, amounts }) => ({ userId: key === '' ? null : key, ...messageFiguresOf(amounts) })),
    days: days.map(({ key, amounts }) => ({ day: key, ...messageFiguresOf(amounts) })),
  };
}
