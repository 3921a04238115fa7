import { engines } from '#src/ai/engines/index.ts';
import { engineNamed } from '#src/modules/ai/engine-named.ts';
import { isUsable } from '#src/ai/candidates.ts';
import { isHidden } from '#src/ai/catalog.ts';
import type { Target } from '#src/ai/candidates.ts';
import type { Engine } from '#src/ai/engines/define.ts';
import type { Explanation, ProviderStatus } from '#src/ai/explain.ts';
import type { Provider } from '#src/ai/model.ts';
import type { Router } from '#src/ai/router.ts';
import { badRequest } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { mustHave } from '#src/http/permissions.ts';
import { fieldErrors } from '#src/http/validation.ts';
import type { Band } from '#queues/define.ts';
import { withLivingModel } from '#src/modules/ai/chosen-model.ts';
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
  ): Submission;
  /** How a job would be routed now. @throws AppError 400 for an unknown provider or model, 503 `no_provider_available` */
  explain(engine: Engine, input: unknown, options: JobOptions): Promise<Explanation>;
  /** The state of each provider. */
  status(): Promise<ProviderStatus[]>;
  /** The providers this installation can ask. */
  providers(): { name: string; models: string[] }[];
  /** The models this installation can ask, but those that operators hide. */
  targets(): Target[];
}

export function createAiService(router: Router, providers: readonly Provider[]): AiService {
  const usable = providers.filter(isUsable);
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
    prepare(auth, engine, input, options, origin) {
      mustHave(auth, 'ai:run');
      return {
        workspaceId: auth.workspaceId,
        userId: auth.userId,
        requestId: origin.requestId,
        engine: engine.name,
        queue: engine.queue,
        band: options.priority ? BAND_OF[options.priority] : engine.band,
        input,
        options,
        hold: budgetOf(router, engine, input, withLivingModel(providers, options)).hold,
        idempotencyKey: origin.idempotencyKey,
      };
    },
    explain: (engine, input, options) => router.explain(engine, input, options),
    status: () => router.status(),
    providers: () => usable.map(({ name, models }) => ({ name, models: [...models] })),
    targets: () =>
      usable.flatMap(({ name, models }) =>
        models.filter((model) => !isHidden(name, model)).map((model) => ({ provider: name, model })),
      ),
  };
}
