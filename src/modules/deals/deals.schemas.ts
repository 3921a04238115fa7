import { z } from 'zod';
import { IdText, nameText } from '#src/http/fields.ts';
import { pageOf, PageQuery } from '#src/http/page.ts';
import { StageKind } from '#src/modules/pipelines/pipelines.schemas.ts';

/** A hundred thousand million of any currency: sums of many are still exact. */
const MAX_AMOUNT_MINOR = 10_000_000_000_000;

const Currency = z.string().regex(/^[A-Z]{3}$/, 'must be a currency code like BRL (ISO 4217)');
const AmountMinor = z.int().min(0).max(MAX_AMOUNT_MINOR);
/** A day without a time; of years that a calendar and Postgres agree on. */
export const Day = z.iso.date().refine((text) => /^(19|20)\d\d-/.test(text), 'must be of this century or the last');
const Probability = z.int().min(0).max(100).nullable();
const Reason = nameText(300);

const fields = {
  title: nameText(200),
  contactId: IdText,
  /** Who looks after it; by default who makes it. */
  ownerId: IdText.nullable(),
  amountMinor: AmountMinor,
  currency: Currency,
  /** In percent; null: that of its stage. */
  probability: Probability,
  expectedCloseDate: Day.nullable(),
};

export const DealBody = z.strictObject({
  ...z
    .object(fields)
    .partial({ ownerId: true, amountMinor: true, currency: true, probability: true, expectedCloseDate: true }).shape,
  pipelineId: IdText.optional(),
  stageId: IdText.optional(),
});
export type DealBody = z.infer<typeof DealBody>;

export const DealPatch = z.strictObject(z.object(fields).partial().shape);
export type DealPatch = z.infer<typeof DealPatch>;

export const MoveBody = z.strictObject({
  stageId: IdText,
  /** The deal it comes right behind; null puts it first, and without one it comes last. */
  afterId: IdText.nullable().optional(),
  /** Why it was lost, where it goes to a lost stage. */
  reason: Reason.optional(),
});
export type MoveBody = z.infer<typeof MoveBody>;
export const LostBody = z.strictObject({ reason: Reason });

export const DealView = z
  .object({
    id: z.uuid(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    version: z.int(),
    title: z.string(),
    /** Null where the contact is gone for good. */
    contactId: z.uuid().nullable(),
    pipelineId: z.uuid(),
    stageId: z.uuid(),
    ownerId: z.uuid().nullable(),
    amountMinor: z.number(),
    currency: z.string(),
    probability: z.int().nullable(),
    expectedCloseDate: z.string().nullable(),
    status: StageKind,
    closedAt: z.iso.datetime().nullable(),
    lostReason: z.string().nullable(),
    /** Sorts the deals of a stage, byte by byte. */
    position: z.string().nullable(),
  })
  .meta({ id: 'Deal' });
export type DealView = z.infer<typeof DealView>;
export const DealList = pageOf(DealView);

export const SORTS = ['createdAt', 'amount', 'expectedClose'] as const;
export const DealQuery = PageQuery.extend({
  status: StageKind.optional(),
  ownerId: IdText.optional(),
  contactId: IdText.optional(),
  pipelineId: IdText.optional(),
  stageId: IdText.optional(),
  expectedCloseFrom: Day.optional(),
  expectedCloseTo: Day.optional(),
  q: z.string().trim().min(1).max(100).optional(),
  /** `position`: as on the board, of one stage. Deals without a date are the last of `expectedClose`. */
  sort: z
    .enum(['-createdAt', 'createdAt', '-amount', 'amount', 'expectedClose', '-expectedClose', 'position'])
    .default('-createdAt'),
}).refine(({ sort, stageId }) => sort !== 'position' || stageId !== undefined, {
  path: ['sort'],
  message: 'by position takes a stageId',
  when: ({ issues }) => issues.length === 0,
});
export type DealQuery = z.infer<typeof DealQuery>;

export const HistoryView = z
  .object({
    id: z.uuid(),
    fromStageId: z.uuid().nullable(),
    fromStage: z.string().nullable(),
    toStageId: z.uuid(),
    toStage: z.string(),
    status: StageKind,
    reason: z.string().nullable(),
    movedBy: z.uuid().nullable(),
    movedAt: z.iso.datetime(),
  })
  .meta({ id: 'DealMove' });
export const HistoryList = pageOf(HistoryView);
