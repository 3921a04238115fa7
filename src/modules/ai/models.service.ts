import { z } from 'zod';
import { checkOverride, findModel, isHidden, listModels } from '#src/ai/catalog.ts';
import { ModelOverride, type ModelOverrideBody } from '#src/ai/catalog-entry.ts';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import { fieldErrors } from '#src/http/validation.ts';
import { isRecord } from '#src/lib/record.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { type ModelWatch, readOverride } from '#src/modules/ai/models.ts';
import {
  findOverrides,
  lockOverrides,
  type ModelOverrideRow,
  putOverride,
  removeOverride,
} from '#src/modules/ai/models.query.ts';
import { toModelView, type ModelView } from '#src/modules/ai/models.schemas.ts';
import { INSTALLATION } from '#src/modules/settings/settings.ts';
import type { Pool } from 'pg';

/** Every process lays all of them over the catalogue again after each change. */
const MAX_OVERRIDES = 1000;

interface Needs {
  orm: Orm;
  pool: Pool;
  models: ModelWatch;
}

interface Named {
  provider: string;
  model: string;
}

export interface OperatorModel extends ModelView {
  isHidden: boolean;
  override: Record<string, unknown> | null;
}

const isOf =
  ({ provider, model }: Named) =>
  (row: ModelOverrideRow): boolean =>
    row.provider === provider && row.model === model;

/** The whole catalogue, hidden models too, with what operators said of each. */
export async function listForOperators({ pool }: Needs): Promise<OperatorModel[]> {
  const rows = await findOverrides(pool);
  return listModels(Date.now(), true).map((facts) => {
    const body = rows.find(isOf(facts))?.body;
    return {
      ...toModelView(facts),
      isHidden: isHidden(facts.provider, facts.model),
      override: isRecord(body) ? body : null,
    };
  });
}

function parsed(named: Named, body: ModelOverrideBody): ModelOverride {
  const override = ModelOverride.safeParse({ ...body, ...named });
  if (!override.success) throw notFound('The provider');
  return override.data;
}

/**
 * Says something of a model; what was said of it before is forgotten. Written down in the audit log of the installation.
 * @throws AppError 404 for an unknown provider, 400 where a new model lacks something, 409 `too_many_models`
 */
export async function saveOverride(
  rt: Needs,
  actor: Actor,
  named: Named,
  body: ModelOverrideBody,
): Promise<OperatorModel> {
  const override = parsed(named, body);
  await inWorkspaceTx(rt.orm, { workspaceId: INSTALLATION }, async (em) => {
    const rows = await lockOverrides(em);
    const others = rows.filter((row) => !isOf(named)(row));
    if (others.length >= MAX_OVERRIDES)
      throw conflict('too_many_models', `There are ${MAX_OVERRIDES} changed models; take one back first.`);
    mustFit(override, [...rt.models.file, ...others.flatMap((row) => readOverride(row) ?? [])]);
    await putOverride(em, { ...named, body });
    const before = rows.find(isOf(named))?.body ?? null;
    await appendAudit(em, actor, { action: 'model.changed', target: targetOf(named), before, after: body });
  });
  await rt.models.refresh();
  const facts = findModel(override.provider, override.model);
  if (!facts) throw notFound('The model');
  return { ...toModelView(facts), isHidden: isHidden(override.provider, override.model), override: { ...body } };
}

function mustFit(override: ModelOverride, others: readonly ModelOverride[]): void {
  try {
    checkOverride(override, others);
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    // The first part of each path is the model's name, which the caller knows.
    const errors = fieldErrors(
      error.issues.map((issue) => ({ ...issue, path: issue.path.slice(1) })),
      '',
    );
    throw badRequest('validation_failed', `${errors[0]?.path}: ${errors[0]?.message}`, errors);
  }
}

/** Takes back what was said of a model. @throws AppError 404 where nothing was said; 400 where another model's replacement would go */
export async function dropOverride(rt: Needs, actor: Actor, named: Named): Promise<void> {
  await inWorkspaceTx(rt.orm, { workspaceId: INSTALLATION }, async (em) => {
    const rows = await lockOverrides(em);
    const row = rows.find(isOf(named));
    if (!row) throw notFound('The change of this model');
    const [last, ...others] = [
      ...rt.models.file,
      ...rows.filter((one) => one !== row).flatMap((one) => readOverride(one) ?? []),
    ].toReversed();
    if (last) mustFit(last, others.toReversed());
    await removeOverride(em, named.provider, named.model);
    await appendAudit(em, actor, {
      action: 'model.change_dropped',
      target: targetOf(named),
      before: row.body,
      after: null,
    });
  });
  await rt.models.refresh();
}

const targetOf = ({ provider, model }: Named) => ({ type: 'model', id: `${provider}/${model}` });
