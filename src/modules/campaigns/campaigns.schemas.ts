import { z } from 'zod';
import { IdText, momentText, nameText, TimeZoneName } from '#src/http/fields.ts';
import { pageOf, PageQuery } from '#src/http/page.ts';
import { Windows } from '#src/modules/channels/channels.schemas.ts';
import { CloudTemplate } from '#src/modules/cloud-api/message.ts';

/** Said where a campaign is made: what WhatsApp's own rules say, plainly. */
export const NOTICE =
  "Sending in bulk or by automation through WhatsApp's apps, WhatsApp Web among them, breaks WhatsApp's terms, and numbers are banned for it. " +
  'Write only to people who asked for it. For volume use the WhatsApp Business Platform (Cloud API).';

export const STATUSES = [
  'draft',
  'scheduled',
  'preparing',
  'running',
  'paused',
  'completed',
  'completed_with_unknown',
  'cancelled',
  'missed',
  'failed',
] as const;
export type CampaignStatus = (typeof STATUSES)[number];

export const ITEM_STATUSES = [
  'pending',
  'claimed',
  'dispatching',
  'sent',
  'delivered',
  'read',
  'failed',
  'skipped',
  'cancelled',
  'unknown',
] as const;

const Text = z
  .string()
  .max(4096)
  .refine((text) => text.trim() !== '', 'must not be empty');
/** On the Cloud API the text goes as a template that Meta has approved; without one, only to those who wrote in the last 24 hours. */
const cloud = { cloudTemplate: CloudTemplate.optional() };
export const Content = z.union([
  z.strictObject({ text: Text, ...cloud }),
  z.strictObject({ templateId: IdText, ...cloud }),
]);
export type Content = z.infer<typeof Content>;

const Labels = z.array(z.string().trim().min(1).max(60)).min(1).max(50);
const ContactIds = z.array(IdText).min(1).max(10_000);
/** Whom it is for: one of these. Labels by name or id; they are kept by id. */
export const Audience = z.union([
  z.strictObject({ contactIds: ContactIds }),
  z.strictObject({ labels: Labels }),
  z.strictObject({ segmentId: IdText }),
  z.strictObject({ all: z.literal(true) }),
]);
export type Audience = z.infer<typeof Audience>;
const Exclude = z.strictObject({
  contactIds: ContactIds.optional(),
  labels: Labels.optional(),
  segmentId: IdText.optional(),
});

const People = z.strictObject({
  audience: Audience,
  exclude: Exclude.default({}),
  /** Only those who said yes; without it, all who did not say no. */
  requireConsent: z.boolean().default(false),
});
export type People = z.infer<typeof People>;

/**
 * What becomes of messages nobody knows the end of, a quarter of an hour later: they wait for somebody; or count as sent; or are sent once more,
 * with the risk that somebody gets it twice.
 */
const OnUnknown = z.enum(['hold', 'assume_sent', 'resend_once']);
export type OnUnknown = z.infer<typeof OnUnknown>;

const usd = (most: number) => z.number().positive().max(most);
/** Has a model write each recipient's own text from the campaign's; who gets none in time, or beyond the budget, gets the campaign's. */
const Ai = z
  .strictObject({
    instruction: z.string().trim().min(3).max(2000),
    /** What all texts together may cost. */
    budgetUsd: usd(10_000),
    /** What one may cost. */
    maxCostUsd: usd(1).default(0.01),
  })
  .refine(({ budgetUsd, maxCostUsd }) => maxCostUsd <= budgetUsd, {
    path: ['maxCostUsd'],
    message: 'must not be more than budgetUsd',
  });
export type CampaignAi = z.output<typeof Ai>;

const Variant = z.strictObject({ content: Content, weight: z.int().min(1).max(100).default(1) });
const fields = {
  name: nameText(120),
  channelId: IdText,
  content: Content,
  /** Instead of one content: each contact gets one of them, always the same. */
  variants: z.array(Variant).min(2).max(5).optional(),
  /** So many of a hundred get nothing, to compare with. */
  holdoutPercent: z.int().min(0).max(50).default(0),
  /** For `start`: not before. */
  scheduledAt: momentText().optional(),
  maxLatenessMinutes: z.int().min(1).max(10_080).default(60),
  timeZone: TimeZoneName.optional(),
  /** When it sends, within its channel's own windows. */
  windows: Windows.default([]),
  onUnknown: OnUnknown.default('hold'),
  ai: Ai.optional(),
};

const isOneContent = ({ content, variants }: { content?: unknown; variants?: unknown }) =>
  (content === undefined) !== (variants === undefined);
const ONE_CONTENT = { path: ['content'], message: 'or variants: exactly one of them' };

export const CampaignBody = z
  .strictObject({ ...fields, ...People.shape, content: fields.content.optional() })
  .refine(isOneContent, ONE_CONTENT);
export type CampaignBody = z.infer<typeof CampaignBody>;
export const CampaignPatch = z
  .strictObject({
    name: fields.name,
    channelId: fields.channelId,
    content: fields.content,
    variants: z.array(Variant).min(2).max(5),
    holdoutPercent: z.int().min(0).max(50),
    scheduledAt: momentText().nullable(),
    maxLatenessMinutes: z.int().min(1).max(10_080),
    timeZone: TimeZoneName,
    windows: Windows,
    onUnknown: OnUnknown,
    ai: Ai.nullable(),
    audience: Audience,
    exclude: Exclude,
    requireConsent: z.boolean(),
  })
  .partial()
  .refine((patch) => Object.keys(patch).length > 0, 'must change something')
  .refine(({ content, variants }) => content === undefined || variants === undefined, ONE_CONTENT);
export type CampaignPatch = z.infer<typeof CampaignPatch>;
export const ScheduleBody = z.strictObject({
  scheduledAt: momentText(),
  timeZone: TimeZoneName.optional(),
  windows: Windows.optional(),
});

/** `holdoutPercent` counts by chance who would be kept out; with `campaignId` those that this campaign keeps out. */
export const PreviewBody = z.strictObject({
  ...People.shape,
  channelId: IdText.optional(),
  campaignId: IdText.optional(),
  holdoutPercent: fields.holdoutPercent,
});
export type PreviewBody = z.infer<typeof PreviewBody>;
export const PreviewView = z.object({
  /** Who would get it. */
  count: z.int(),
  /** Who was meant and would not, by reason. */
  excluded: z.record(z.string(), z.int()),
  sample: z.array(z.object({ id: z.uuid(), name: z.string(), phone: z.string() })),
});

export const Counters = z.object({
  total: z.int(),
  pending: z.int(),
  claimed: z.int(),
  dispatching: z.int(),
  sent: z.int(),
  delivered: z.int(),
  read: z.int(),
  failed: z.int(),
  skipped: z.int(),
  cancelled: z.int(),
  unknown: z.int(),
});

/** A content as it was when the campaign was made: a template's version is pinned. */
export const VariantView = z.object({
  key: z.string(),
  weight: z.int(),
  text: z.string(),
  templateId: z.uuid().nullable(),
  templateVersion: z.int().nullable(),
  cloudTemplate: CloudTemplate.nullable(),
});
export type VariantView = z.infer<typeof VariantView>;

export const CampaignView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    channelId: z.uuid(),
    variants: z.array(VariantView),
    holdoutPercent: z.int(),
    audience: z.unknown(),
    exclude: z.unknown(),
    requireConsent: z.boolean(),
    status: z.enum(STATUSES),
    pauseReason: z.string().nullable(),
    /** Why a campaign that runs sends nothing for now: `plan_limit` until the workspace's next day. */
    waitReason: z.string().nullable(),
    scheduledAt: z.iso.datetime().nullable(),
    maxLatenessMinutes: z.int(),
    timeZone: z.string(),
    windows: Windows,
    onUnknown: OnUnknown,
    ai: z
      .object({
        instruction: z.string(),
        budgetUsd: z.number(),
        maxCostUsd: z.number(),
        /** With what is reserved for texts that are being written. */
        spentUsd: z.number(),
      })
      .nullable(),
    counters: Counters,
    /** Who was meant and left out when it began, by reason. */
    excluded: z.record(z.string(), z.int()),
    startedAt: z.iso.datetime().nullable(),
    finishedAt: z.iso.datetime().nullable(),
    createdBy: z.uuid().nullable(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Campaign' });
export type CampaignView = z.infer<typeof CampaignView>;
export const NewCampaignView = CampaignView.extend({ notice: z.string() }).meta({ id: 'NewCampaign' });
export const CampaignPage = pageOf(CampaignView);
export const CampaignQuery = PageQuery.extend({ status: z.enum(STATUSES).optional() });

export const ItemQuery = PageQuery.extend({ status: z.enum(ITEM_STATUSES).optional() });
export const ItemView = z
  .object({
    id: z.uuid(),
    contactId: z.uuid().nullable(),
    variant: z.string(),
    status: z.enum(ITEM_STATUSES),
    attempts: z.int(),
    skipReason: z.string().nullable(),
    errorCode: z.string().nullable(),
    messageId: z.string().nullable(),
    sentAt: z.iso.datetime().nullable(),
    deliveredAt: z.iso.datetime().nullable(),
    readAt: z.iso.datetime().nullable(),
    repliedAt: z.iso.datetime().nullable(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'CampaignItem' });
export type ItemView = z.infer<typeof ItemView>;
export const ItemPage = pageOf(ItemView);
/** What became of a campaign for one contact. */
const ContactCampaignView = ItemView.extend({
  campaignId: z.uuid(),
  campaignName: z.string(),
  campaignStatus: z.enum(STATUSES),
}).meta({ id: 'ContactCampaign' });
export type ContactCampaignView = z.infer<typeof ContactCampaignView>;
export const ContactCampaignPage = pageOf(ContactCampaignView);
export const AttemptsView = z.object({
  data: z.array(
    z.object({
      attemptId: z.uuid(),
      fence: z.int(),
      from: z.enum(ITEM_STATUSES),
      to: z.enum(ITEM_STATUSES),
      outcome: z.string().nullable(),
      errorCode: z.string().nullable(),
      holder: z.string().nullable(),
      at: z.iso.datetime(),
    }),
  ),
});
export const ResolveBody = z.strictObject({ as: z.enum(['sent', 'failed', 'resend']) });
export const ResolvedView = z.object({ resolved: z.int() });

export const TestBody = z.strictObject({ to: z.array(z.string().trim().min(5).max(40)).min(1).max(5) });
/** What became of a test: of a phone's channel the texts alone, which that phone may send itself. */
export const TestView = z.object({
  results: z.array(
    z.object({
      /** E.164. */
      to: z.string(),
      variant: z.string(),
      text: z.string(),
      outcome: z.enum(['sent', 'failed', 'unknown', 'skipped', 'rendered']),
      code: z.string().nullable(),
      messageId: z.string().nullable(),
    }),
  ),
});
export type TestView = z.infer<typeof TestView>;

export const ProgressView = z.object({
  status: z.enum(STATUSES),
  pauseReason: z.string().nullable(),
  waitReason: z.string().nullable(),
  counters: Counters,
  /** By what its channel may still send; null where nothing says. */
  etaSeconds: z.int().nullable(),
});
const share = z.number().min(0).max(1);
export const ReportView = z.object({
  counters: Counters,
  excluded: z.record(z.string(), z.int()),
  /** Each stage contains the ones behind it. */
  funnel: z.object({ reached: z.int(), delivered: z.int(), read: z.int(), replied: z.int(), optedOut: z.int() }),
  skipped: z.record(z.string(), z.int()),
  failed: z.record(z.string(), z.int()),
  variants: z.array(
    z.object({
      key: z.string(),
      sent: z.int(),
      replied: z.int(),
      /** Of those who were reached, who answered, with Wilson's interval (95 %). */
      replyRate: z.object({ rate: share, low: share, high: share }).nullable(),
    }),
  ),
});
