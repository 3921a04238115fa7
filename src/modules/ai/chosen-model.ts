import { closestModels, isHidden, livingName } from '#src/ai/catalog.ts';
import type { Provider } from '#src/ai/model.ts';
import { unknownModel } from '#src/modules/ai/unknown-model.ts';
import type { JobOptions } from '#src/modules/jobs/job.schemas.ts';

/**
 * The options with the model that is to be asked: an alias, or the name of a model that is switched off, becomes the one in its place.
 * @param providers those that can be asked here
 * @throws AppError 400 `unknown_model` naming what may have been meant
 */
export function withLivingModel(providers: readonly Provider[], options: JobOptions): JobOptions {
  const { model, provider } = options;
  if (model === undefined) return options;
  const here = providers
    .filter(({ name }) => provider === undefined || name === provider)
    .map(({ name, models }) => ({ name, models: models.filter((one) => !isHidden(name, one)) }));
  // A provider that is not here is named by the router.
  if (here.length === 0) return options;
  for (const { name, models } of here) {
    const living = livingName(name, model);
    if (models.includes(living)) return living === model ? options : { ...options, model: living };
  }
  // Switched off by now, but the only one that is configured: the operator knows.
  if (here.some(({ models }) => models.includes(model))) return options;
  throw unknownModel(model, closestModels(model, here), 'options.model');
}
