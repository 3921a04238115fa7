import { engines } from '#src/ai/engines/index.ts';
import { engineNamed } from '#src/modules/ai/engine-named.ts';
import { isUsable } from '#src/ai/candidates.ts';
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
import { budgetOf } from '#src/modules/ai/budget.ts';
import type { JobOptions } from '#src/modules/jobs/job.schemas.ts';
import type { Submission } from '#src/modules/jobs/jobs.service.ts';

const BAND_OF: Record<NonNullable<JobOptions['priority']>, Band> = {
  interactive: 'interactive',
  normal: 'normal',
  batch: 'bulk',
};

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
  prepare(
    auth: Auth,
    engine: Engine,
    input: unknown,
    options: JobOptions,
    origin: { requestId: string; idempotencyKey: string | null },
  ): Promise<Submission>;
  /** How a job would be routed now. @throws AppError 400 for an unknown provider or model, 503 `no_provider_available` */
  explain(engine: Engine, input: unknown, options: JobOptions): Promise<Explanation>;
  /** The state of each provider. */
  status(): Promise<ProviderStatus[]>;
  /** The providers this installation can ask. */
  providers(): { name: string; models: string[] }[];
}

export interface AiResources {
  router: Router;
  providers: readonly Provider[];
  readWorkspaceAi: ReadWorkspaceAi;
}

/** Whether a policy can refuse a job for its text. Only then is the prompt written before the job is accepted. */
const mayRefuse = ({ privacy, safety }: WorkspaceAi): boolean =>
  safety?.injection === 'block' || Object.values(privacy?.pii ?? {}).includes('block');

export function createAiService({ router, providers, readWorkspaceAi }: AiResources): AiService {
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
    async prepare(auth, engine, input, options, origin) {
      mustHave(auth, 'ai:run');
      const workspace = await readWorkspaceAi(auth.workspaceId);
      const bound = bindTo(engine, input, workspace);
      if (mayRefuse(workspace))
        refuseByPolicy(engine.name, bound.engine.ask(bound.input), workspace.privacy, workspace.safety);
      return {
        workspaceId: auth.workspaceId,
        userId: auth.userId,
        requestId: origin.requestId,
        engine: engine.name,
        queue: engine.queue,
        band: options.priority ? BAND_OF[options.priority] : engine.band,
        input,
        options,
        hold: budgetOf(router, bound.engine, bound.input, withMaxCost(options, workspace), workspace).hold,
        idempotencyKey: origin.idempotencyKey,
      };
    },
    explain: (engine, input, options) => router.explain(engine, input, options),
    status: () => router.status(),
    providers: () => providers.filter(isUsable).map(({ name, models }) => ({ name, models: [...models] })),
  };
}
