import type { KeyObject } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Pool } from 'pg';
import type { Producer } from '#queues/producer.ts';
import { engines } from '#src/ai/engines/index.ts';
import type { Engine } from '#src/ai/engines/define.ts';
import type { Config } from '#src/config.ts';
import { AppError } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { newId } from '#src/lib/ids.ts';
import type { Log } from '#src/lib/log.ts';
import type { Metrics } from '#src/lib/metrics.ts';
import { createAiService, type AiService } from '#src/modules/ai/ai.service.ts';
import { watchModels } from '#src/modules/ai/models.ts';
import { openRouter } from '#src/modules/ai/router.ts';
import { createWorkspaceAi } from '#src/modules/ai/workspace-ai.ts';
import { findTexts, settleStarts, takeDue, type Start } from '#src/modules/contact-ai/contact-ai.query.ts';
import { createKnowLeads } from '#src/modules/contact-ai/features.ts';
import { createJobs, type Jobs } from '#src/modules/jobs/jobs.service.ts';
import { SETTINGS } from '#src/modules/settings/registry.ts';
import type { JobOptions } from '#src/modules/jobs/job.schemas.ts';
import type { Vault } from '#src/modules/vault/vault.ts';
import type { Emission, Emitted } from '#src/streams/emit.ts';

const BATCH = 50;
/** Of what is told to the engine; the end, which is the newest. */
const MAX_CHARACTERS = 8000;

/** In whose name the platform acts: it needs no more than to have jobs run, whatever the person's own role. */
const actingFor = (workspaceId: string, userId: string): Auth => ({
  kind: 'session',
  userId,
  sessionId: '',
  workspaceId,
  role: 'owner',
  plan: 'free',
  grants: [],
  denies: [],
  scopes: null,
  expiresAt: Infinity,
});

function modeOf({ kind, mode }: Start): 'off' | 'local' | 'models' {
  const setting = SETTINGS[kind === 'sentiment' ? 'ai.autoSentiment' : 'ai.autoScore'];
  return setting.schema.safeParse(mode).data ?? setting.byDefault;
}

function workOf(start: Start, texts: ReadonlyMap<string, string[]>): { engine: Engine; input: unknown } | undefined {
  if (start.kind === 'score') return { engine: engines['score-lead'], input: { contactId: start.contactId } };
  const text = (texts.get(start.contactId) ?? []).join('\n').slice(-MAX_CHARACTERS).toWellFormed();
  return text === '' ? undefined : { engine: engines.sentiment, input: { text } };
}

/** For whom a job runs, and the id it has. */
export interface JobOf {
  workspaceId: string;
  userId: string;
  jobId: string;
}

/** @returns whether the job was accepted; not where the workspace has no credits for it, or its input is refused */
export type Submit = (of: JobOf, engine: Engine, input: unknown, options: JobOptions) => Promise<boolean>;

const createSubmit =
  ({ ai, jobs, log }: { ai: AiService; jobs: Jobs; log: Log }): Submit =>
  async ({ workspaceId, userId, jobId }, engine, input, options) => {
    try {
      const origin = { requestId: newId(), idempotencyKey: null };
      await jobs.accept(await ai.prepare(actingFor(workspaceId, userId), engine, input, options, origin), jobId);
      return true;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      log.debug({ code: error.code, workspaceId, engine: engine.name }, 'A job of the platform was not accepted');
      return false;
    }
  };

/** @returns whether the job was accepted; not where the workspace has no credits for it, or the contact is gone */
async function accept(submit: Submit, start: Start, texts: ReadonlyMap<string, string[]>): Promise<boolean> {
  const mode = modeOf(start);
  const work = mode === 'off' ? undefined : workOf(start, texts);
  if (!work || start.userId === null) return false;
  const { workspaceId, userId, jobId } = start;
  return submit({ workspaceId, userId, jobId }, work.engine, work.input, mode === 'local' ? { provider: 'local' } : {});
}

export interface ContactAiResources {
  config: Config;
  log: Log;
  metrics: Metrics;
  /** As `wh_system`. */
  pool: Pool;
  redis: Redis;
  producer: Producer;
  emit: (emission: Emission) => Promise<Emitted>;
  master: KeyObject;
  vault: Vault;
}

/** Opens what has jobs made for contacts that are due. `start` returns how many were taken; call again while it is > 0. */
export function openContactAi({
  config,
  log,
  metrics,
  pool,
  redis,
  producer,
  emit,
  master,
  vault,
}: ContactAiResources) {
  const models = watchModels(pool, config.MODEL_CATALOG_FILE, log);
  const { router, embedder, providers } = openRouter(config, log, redis, metrics);
  const readWorkspaceAi = createWorkspaceAi(pool, vault);
  const ai = createAiService({ router, providers, embedder, readWorkspaceAi, knowLeads: createKnowLeads(pool) });
  const prefix = config.REDIS_PREFIX;
  const jobs = createJobs({ pool, systemPool: pool, producer, redis, emit, prefix, master, log });
  const submit = createSubmit({ ai, jobs, log });
  return {
    submit,
    async start(): Promise<number> {
      const starts = await takeDue(pool, BATCH);
      if (starts.length === 0) return 0;
      const texts = await findTexts(
        pool,
        starts.filter(({ kind }) => kind === 'sentiment'),
      );
      const outcomes = await Promise.allSettled(
        starts.map(async (start) => ({ ...start, isAccepted: await accept(submit, start, texts) })),
      );
      // Those that were accepted are noted whatever became of the others, or they would be paid for twice.
      await settleStarts(
        pool,
        outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : [])),
      );
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failed) throw failed.reason;
      return starts.length;
    },
    async close(): Promise<void> {
      models.close();
      await jobs.close();
    },
  };
}
