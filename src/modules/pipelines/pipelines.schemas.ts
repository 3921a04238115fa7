import { z } from 'zod';
import { IdText, nameText } from '#src/http/fields.ts';
import { ownedView } from '#src/modules/crud.ts';

export const MAX_STAGES = 50;

export const StageKind = z.enum(['open', 'won', 'lost']);
export type StageKind = z.infer<typeof StageKind>;

const Probability = z.int().min(0).max(100);

/** Of a stage that deals end in, the probability goes without saying. */
export const StageBody = z
  .strictObject({ name: nameText(60), kind: StageKind.default('open'), probability: Probability.optional() })
  .refine(
    ({ kind, probability }) =>
      probability === undefined || kind === 'open' || probability === (kind === 'won' ? 100 : 0),
    {
      path: ['probability'],
      message: 'must be 100 where deals are won, and 0 where they are lost',
      when: ({ issues }) => issues.length === 0,
    },
  );
export type StageBody = z.infer<typeof StageBody>;
export const StagePatch = z.strictObject({ name: nameText(60).optional(), probability: Probability.optional() });

export const StageView = z
  .object({ id: z.uuid(), name: z.string(), kind: StageKind, probability: z.int(), position: z.int() })
  .meta({ id: 'PipelineStage' });
export const StageList = z.object({ data: z.array(StageView) });

export const PipelineBody = z.strictObject({ name: nameText(60) });
export const NewPipelineBody = PipelineBody.extend({
  stages: z
    .array(StageBody)
    .min(1)
    .max(MAX_STAGES)
    .refine((stages) => stages.some(({ kind }) => kind === 'open'), 'must have an open stage')
    .optional(),
});
export const PipelineView = z
  .object({ ...ownedView, name: z.string(), isDefault: z.boolean(), stages: z.array(StageView) })
  .meta({ id: 'Pipeline' });

export const StageParams = z.strictObject({ id: IdText, stageId: IdText });
export const ReorderBody = z.strictObject({ stageIds: z.array(IdText).min(1).max(MAX_STAGES) });
export const RemoveStageQuery = z.strictObject({ targetStageId: IdText.optional() });
