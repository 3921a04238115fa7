import { z } from 'zod';
import { ScoreLeadResult } from '#src/ai/engines/score-lead.ts';
import { SentimentItem } from '#src/ai/engines/sentiment.ts';
import type { Consumer } from '#src/events/relay.ts';
import type { StoredEvent } from '#src/events/relay.query.ts';
import { askForAi, type Ask, type ContactAiKind } from '#src/modules/contact-ai/contact-ai.query.ts';
import {
  takeEnded,
  writeFeelings,
  writeScore,
  type ContactResult,
  type Score,
} from '#src/modules/contact-ai/results.query.ts';

/** What makes AI look at a contact again. */
const CAUSES: Partial<Record<StoredEvent['type'], ContactAiKind[]>> = {
  'message.received': ['sentiment', 'score'],
  'contact.updated': ['score'],
  'contact.merged': ['score'],
  'deal.created': ['score'],
  'deal.updated': ['score'],
  'deal.moved': ['score'],
  'deal.won': ['score'],
  'deal.lost': ['score'],
  'deal.reopened': ['score'],
  'deal.deleted': ['score'],
};

const About = z.object({ contactId: z.uuid().nullable() });
const Job = z.object({ jobId: z.uuid(), engine: z.string() });
const ENGINES = new Set(['sentiment', 'score-lead']);

function asksOf(events: readonly StoredEvent[]): Ask[] {
  const asks = new Map<string, Ask>();
  for (const { type, workspaceId, data } of events) {
    for (const kind of CAUSES[type] ?? []) {
      const { contactId } = About.parse(data);
      if (contactId !== null) asks.set(`${contactId} ${kind}`, { workspaceId, contactId, kind });
    }
  }
  return [...asks.values()];
}

const endedOf = (events: readonly StoredEvent[]) =>
  events.flatMap(({ type, workspaceId, data }) => {
    if (!type.startsWith('ai.job.')) return [];
    const { jobId, engine } = Job.parse(data);
    return ENGINES.has(engine) ? [{ workspaceId, jobId }] : [];
  });

const TENTHS = 10;

/**
 * The score of a result as it is kept: a whole number, and components whose points are that number together. What rounding and the bounds of
 * 0 and 100 took or gave is a component of its own. Texts, which are a contact's own words, are not kept.
 */
export function toScore(
  result: ScoreLeadResult,
): Pick<Score, 'score' | 'grade' | 'version' | 'recommendation' | 'components'> {
  const score = Math.round(result.score);
  const components: Score['components'] = result.contributions.map(({ feature, value, points }) => ({
    feature,
    value: typeof value === 'string' ? null : value,
    points,
  }));
  const sum = result.contributions.reduce((total, { points }) => total + Math.round(points * TENTHS), 0);
  const rest = score * TENTHS - sum;
  if (rest !== 0) components.push({ feature: 'rounding_and_bounds', value: null, points: rest / TENTHS });
  const { grade, modelVersion: version, recommendation } = result;
  return { score, grade, version, recommendation, components };
}

async function write(tx: Parameters<Consumer['handle']>[0], results: readonly ContactResult[]): Promise<void> {
  const feelings = results.flatMap(({ workspaceId, jobId, contactId, engine, result }) => {
    const { success, data } = SentimentItem.safeParse(result);
    if (engine !== 'sentiment' || contactId === null || !success) return [];
    return [{ workspaceId, jobId, contactId, sentiment: data.sentiment }];
  });
  if (feelings.length > 0) await writeFeelings(tx, feelings);
  for (const { workspaceId, jobId, contactId, engine, result } of results) {
    const { success, data } = ScoreLeadResult.safeParse(result);
    if (engine === 'score-lead' && contactId !== null && success)
      await writeScore(tx, { workspaceId, jobId, contactId, ...toScore(data) });
  }
}

/**
 * Has AI look at contacts when something happens with them, and writes down what it found: both in the relay's transaction, so once.
 * @param quietMs how long nothing more must happen before it looks
 */
export const createContactAiConsumer = (quietMs: number): Consumer => ({
  name: 'contact-ai',
  async handle(tx, events) {
    const asks = asksOf(events);
    if (asks.length > 0) await askForAi(tx, asks, quietMs);
    const ended = endedOf(events);
    if (ended.length > 0) await write(tx, await takeEnded(tx, ended));
  },
});
