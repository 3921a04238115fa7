import { z } from 'zod';
import { engines } from '#src/ai/engines/index.ts';
import { ScoreLeadInput, type KnownLead } from '#src/ai/engines/score-lead.ts';
import { engineNamed } from '#src/modules/ai/engine-named.ts';
import { isUsable } from '#src/ai/candidates.ts';
import { isHidden } from '#src/ai/catalog.ts';
import type { Target } from '#src/ai/candidates.ts';
import type { Embedder } from '#src/ai/embedder.ts';
import type { Engine } from '#src/ai/engines/define.ts';
import type { Explanation, ProviderStatus } from '#src/ai/explain.ts';
import type { Provider } from '#src/ai/model.ts';
import type { Router } from '#src/ai/router.ts';
import { bindTo, type WorkspaceAi } from '#src/ai/workspace-ai.ts';
import { type ReadWorkspaceAi, withMaxCost } from '#src/modules/ai/workspace-ai.ts';
import { badRequest } from '#src/errors.ts';
import { refuseByPolicy } from '#src/ai/pii/protect.ts';
import type { Auth } from '#src/http/access-token.ts';
import { mustHave } from '#src/http/permissions.ts';
import { fieldErrors } from '#src/http/validation.ts';
import type { Band } from '#queues/define.ts';
import { withLivingModel } from '#src/modules/ai/chosen-model.ts';
import { EMBEDDINGS, embeddingsHold, type EmbeddingsInput } from '#src/modules/ai/embeddings.ts';
import { BatchFrame } from '#src/modules/ai/batch.schemas.ts';
import { budgetOf } from '#src/modules/ai/budget.ts';
import type { JobOptions } from '#src/modules/jobs/job.schemas.ts';
import type { Submission } from '#src/modules/jobs/jobs.service.ts';

const BAND_OF: Record<NonNullable<JobOptions['priority']>, Band> = {
  interactive: 'interactive',
  normal: 'normal',
  batch: 'bulk',
};

/** Which request it came with. */
export interface Origin {
  requestId: string;
  idempotencyKey: string | null;
}

export interface AiService {
  /**
   * Checks an engine's input from a socket, where no route schema has done it.
   * @throws AppError 400 `unknown_engine` or `validation_failed`, with paths below `input`.
   */
  parse(engineName: string, input: unknown): { engine: Engine; input: unknown };
  /**
   * Turns a checked request into what can be accepted: its queue, band and the most it can cost.
   * @throws AppError 403 for a viewer, 400 for an unknown provider or model, 422 `max_cost_too_low`, 503 `no_provider_available`.
   */
  prepare(auth: Auth, engine: Engine, input: unknown, options: JobOptions, origin: Origin): Promise<Submission>;
  /**
   * Turns a checked batch into what can be accepted: the job above, and each item with the most it can cost.
   * @throws AppError as `prepare` does, for whichever item comes first
   */
  prepareBatch(
    auth: Auth,
    engine: Engine,
    items: unknown[],
    options: JobOptions,
    origin: Origin,
  ): Promise<{ submission: Submission; items: { input: unknown; hold: number }[] }>;
  /** Checks a batch from a socket. @throws AppError 400 `validation_failed`, with paths below `input` and `options` */
  parseBatch(input: unknown, options: unknown): { engine: Engine; items: unknown[]; options: JobOptions };
  /** Turns checked texts into what can be accepted. @throws AppError as `prepare` does */
  prepareEmbeddings(auth: Auth, input: EmbeddingsInput, origin: Origin): Promise<Submission>;
  /** The models this installation can have texts embedded by. */
  embeddingTargets(): Target[];
  /** How a job of the workspace would be routed now. @throws AppError 400 for an unknown provider or model, 503 `no_provider_available` */
  explain(workspaceId: string, engine: Engine, input: unknown, options: JobOptions): Promise<Explanation>;
  /** The state of each provider. */
  status(): Promise<ProviderStatus[]>;
  /** The providers this installation can ask. */
  providers(): { name: string; models: string[] }[];
  /** The models this installation can ask, but those that operators hide. */
  targets(): Target[];
}

export interface AiResources {
  router: Router;
  providers: readonly Provider[];
  embedder: Embedder;
  readWorkspaceAi: ReadWorkspaceAi;
  /** Puts the features of contacts into inputs that name them. @throws AppError 404 for one the caller may not see */
  knowLeads: (auth: Auth, inputs: readonly ScoreLeadInput[]) => Promise<KnownLead[]>;
}

/** Whether a policy can refuse a job for its text. Only then is the prompt written before the job is accepted. */
const mayRefuse = ({ privacy, safety }: WorkspaceAi): boolean =>
  safety?.injection === 'block' || Object.values(privacy?.pii ?? {}).includes('block');

function refuseByWorkspace(engine: Engine, input: unknown, workspace: WorkspaceAi): void {
  if (!mayRefuse(workspace)) return;
  const bound = bindTo(engine, input, workspace);
  refuseByPolicy(engine.name, bound.engine.ask(bound.input), workspace.privacy, workspace.safety);
}

export function createAiService({ router, providers, embedder, readWorkspaceAi, knowLeads }: AiResources): AiService {
  const usable = providers.filter(isUsable);
  /** The inputs as the worker gets them. */
  const complete = async (auth: Auth, engine: Engine, inputs: readonly unknown[]): Promise<readonly unknown[]> =>
    engine.name === 'score-lead' ? knowLeads(auth, z.array(ScoreLeadInput).parse(inputs)) : inputs;
  const holdOf = (engine: Engine, input: unknown, options: JobOptions, workspace: WorkspaceAi): number => {
    const bound = bindTo(engine, input, workspace);
    return budgetOf(
      router,
      bound.engine,
      bound.input,
      withMaxCost(withLivingModel(providers, options), workspace),
      workspace,
    ).hold;
  };
  return {
    parse(engineName, input) {
      const engine = engineNamed(engineName);
      if (!engine) {
        const message = `must be one of ${Object.keys(engines).join(', ')}`;
        throw badRequest('unknown_engine', `engine: ${message}`, [{ path: 'engine', code: 'unknown_engine', message }]);
      }
      const parsed = engine.input.safeParse(input);
      if (parsed.success) return { engine, input: parsed.data };
      const errors = fieldErrors(parsed.error.issues, 'input');
      throw badRequest('validation_failed', `${errors[0]?.path}: ${errors[0]?.message}`, errors);
    },
    parseBatch(input, options) {
      const { data, error } = BatchFrame.safeParse({ input, options });
      const engine = data && engineNamed(data.input.engine);
      if (engine) return { engine, items: data.input.items, options: data.options ?? {} };
      const errors = fieldErrors(error?.issues ?? [], '');
      throw badRequest('validation_failed', `${errors[0]?.path}: ${errors[0]?.message}`, errors);
    },
    async prepare(auth, engine, asked, options, origin) {
      mustHave(auth, 'ai:run');
      const [input] = await complete(auth, engine, [asked]);
      const workspace = await readWorkspaceAi(auth.workspaceId);
      refuseByWorkspace(engine, input, workspace);
      const hold = holdOf(engine, input, options, workspace);
      return { ...submissionOf(auth, engine, input, options, origin, hold), asked };
    },
    async prepareBatch(auth, engine, asked, options, origin) {
      mustHave(auth, 'ai:run');
      const inputs = await complete(auth, engine, asked);
      const workspace = await readWorkspaceAi(auth.workspaceId);
      const items = inputs.map((input) => ({ input, hold: holdOf(engine, input, options, workspace) }));
      const submission = submissionOf(auth, engine, null, options, origin, 0);
      return { submission: { ...submission, asked: [engine.name, asked] }, items };
    },
    async prepareEmbeddings(auth, input, origin) {
      mustHave(auth, 'ai:run');
      const workspace = await readWorkspaceAi(auth.workspaceId);
      return {
        workspaceId: auth.workspaceId,
        userId: auth.userId,
        ...origin,
        engine: EMBEDDINGS,
        queue: 'ai-inference',
        band: 'interactive',
        input,
        options: {},
        hold: embeddingsHold(embedder, input, workspace),
      };
    },
    embeddingTargets: () => embedder.targets(),
    async explain(workspaceId, engine, input, options) {
      const workspace = await readWorkspaceAi(workspaceId);
      const bound = bindTo(engine, input, workspace);
      const chosen = withMaxCost(withLivingModel(providers, options), workspace);
      return router.explain(bound.engine, bound.input, chosen, workspace);
    },
    status: () => router.status(),
    providers: () => usable.map(({ name, models }) => ({ name, models: [...models] })),
    targets: () =>
      usable.flatMap(({ name, models }) =>
        models.filter((model) => !isHidden(name, model)).map((model) => ({ provider: name, model })),
      ),
  };
}

function submissionOf(
  auth: Auth,
  engine: Engine,
  input: unknown,
  options: JobOptions,
  origin: Origin,
  hold: number,
): Submission {
  return {
    workspaceId: auth.workspaceId,
    userId: auth.userId,
    requestId: origin.requestId,
    engine: engine.name,
    queue: engine.queue,
    band: options.priority ? BAND_OF[options.priority] : engine.band,
    input,
    options,
    hold,
    idempotencyKey: origin.idempotencyKey,
  };
}
