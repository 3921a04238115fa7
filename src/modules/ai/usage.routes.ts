import { z } from 'zod';
import { badRequest } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { may } from '#src/http/permissions.ts';
import { factsOf } from '#src/ai/catalog.ts';
import { countTokens, CountTokensBody, CountTokensView } from '#src/modules/ai/count-tokens.ts';
import { ModelList, toModelView } from '#src/modules/ai/models.schemas.ts';
import { findUsage, type UsageRow } from '#src/modules/ai/usage.query.ts';
import type { Runtime } from '#src/runtime.ts';

const NANO = 1e9;
const MICRO_CREDITS = 1_000_000;
const DAY_MS = 86_400_000;
const DEFAULT_DAYS = 30;
const MAX_DAYS = 366;
const MAX_ROWS = 1000;

/** A day (from its start, UTC) or a moment. */
const Moment = z.union([z.iso.date(), z.iso.datetime({ offset: true })]).transform((text) => new Date(text));

const UsageQuery = z.strictObject({
  from: Moment.optional(),
  to: Moment.optional(),
  groupBy: z.enum(['provider', 'model', 'engine', 'user', 'day']).default('day'),
});

const UsageRowView = z.object({
  key: z.string(),
  /** Every call of a provider, also one that failed and was answered by the next. */
  calls: z.int(),
  failures: z.int(),
  inputTokens: z.number(),
  cachedInputTokens: z.number(),
  outputTokens: z.number(),
  reasoningTokens: z.number(),
  /** What providers charge for the calls; of that, `ownKeyCostUsd` goes to the workspace's own keys. */
  costUsd: z.number(),
  ownKeyCostUsd: z.number(),
  /** What the workspace paid. */
  credits: z.number(),
});
const AiUsageView = z
  .object({
    from: z.iso.datetime(),
    to: z.iso.datetime(),
    groupBy: z.string(),
    /** `own`: only the caller's calls, since they may not see those of others. */
    scope: z.enum(['workspace', 'own']),
    data: z.array(UsageRowView),
  })
  .meta({ id: 'AiUsage' });

const toView = (row: UsageRow): z.infer<typeof UsageRowView> => ({
  key: row.key,
  calls: row.calls,
  failures: row.failures,
  inputTokens: Number(row.input_tokens),
  cachedInputTokens: Number(row.cached_input_tokens),
  outputTokens: Number(row.output_tokens),
  reasoningTokens: Number(row.reasoning_tokens),
  costUsd: Number(row.cost_nano) / NANO,
  ownKeyCostUsd: Number(row.own_key_cost_nano) / NANO,
  credits: Number(row.credits) / MICRO_CREDITS,
});

function periodOf({ from, to = new Date() }: { from?: Date | undefined; to?: Date | undefined }) {
  const start = from ?? new Date(to.getTime() - DEFAULT_DAYS * DAY_MS);
  const lengthMs = to.getTime() - start.getTime();
  if (lengthMs > 0 && lengthMs <= MAX_DAYS * DAY_MS) return { from: start, to };
  const message = `must be before "to", and at most ${MAX_DAYS} days`;
  throw badRequest('validation_failed', `query.from ${message}.`, [
    { path: 'query.from', code: 'invalid_period', message },
  ]);
}

const schema = { tags: ['ai'], security: [{ bearer: [] }] };

/** `/api/ai/usage`, `/api/ai/models` and `/api/ai/count-tokens`: what calls came to, what can be called, and what a text would be. */
export function usageRoutes(rt: Pick<Runtime, 'pool' | 'ai' | 'tokenizer'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/ai/usage', {
      config: { access: 'usage:read' },
      schema: {
        ...schema,
        summary: 'What the calls of providers came to; those of others only for who may see them',
        querystring: UsageQuery,
        response: { 200: AiUsageView },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const { groupBy } = request.query;
        const { from, to } = periodOf(request.query);
        const isWhole = may(auth, 'usage:all');
        const userId = isWhole ? undefined : auth.userId;
        const filter = { workspaceId: auth.workspaceId, userId, from, to, groupBy, limit: MAX_ROWS };
        const rows = await findUsage(rt.pool, filter);
        return {
          from: from.toISOString(),
          to: to.toISOString(),
          groupBy,
          scope: isWhole ? ('workspace' as const) : ('own' as const),
          data: rows.map(toView),
        };
      },
    });

    app.get('/api/ai/models', {
      config: { access: 'member' },
      schema: { ...schema, summary: 'The models that can be asked here', response: { 200: ModelList } },
      handler: async () => ({
        data: rt.ai.targets().map(({ provider, model }) => toModelView(factsOf(provider, model))),
      }),
    });

    app.post('/api/ai/count-tokens', {
      config: { access: 'ai:run', limits: ['ai'] },
      schema: {
        ...schema,
        summary: 'Counts the tokens of a text or of messages, by the vocabulary of the model where one is published',
        body: CountTokensBody,
        response: { 200: CountTokensView },
      },
      handler: (request) => countTokens(rt.tokenizer, request.body),
    });
  };
}
