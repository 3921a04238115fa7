import { z } from 'zod';
import { nameText, TimeZoneName } from '#src/http/fields.ts';
import { pageOf } from '#src/http/page.ts';
import { CloudCredentials, CloudCredentialsPatch } from '#src/modules/cloud-api/credentials.ts';

const CLOCK = /^(?:[01]\d|2[0-3]):[0-5]\d$/;
/** Hours of some days of the week, Monday being 1, by local clocks. */
export const Window = z
  .strictObject({
    days: z.array(z.int().min(1).max(7)).min(1).max(7),
    from: z.string().regex(CLOCK, 'must be a time like 08:00'),
    to: z.union([z.literal('24:00'), z.string().regex(CLOCK, 'must be a time like 20:00')]),
  })
  .refine(({ from, to }) => from < to, { path: ['to'], message: 'must be later than from' });
export const Windows = z.array(Window).max(21);

const ms = z.int().min(0).max(3_600_000);
const limit = (most: number) => z.int().min(1).max(most).nullable();
const pacing = {
  /** Between two messages, at random. */
  minDelayMs: ms,
  maxDelayMs: ms,
  /** After about so many messages, a longer pause; null for none. */
  pauseEvery: z.int().min(2).max(1000).nullable(),
  pauseMinMs: ms,
  pauseMaxMs: ms,
  /** Messages in any sixty minutes, and on one local day. */
  perHour: limit(1_000_000),
  perDay: limit(10_000_000),
  /** Campaign messages to one contact in 24 hours, and in seven days. */
  perContactDay: limit(100),
  perContactWeek: limit(1000),
  /** Fewer a day at first: 50 on two days, 100 on three, 150 on five. */
  warmUp: z.boolean(),
  /** When it sends; none: always. */
  windows: Windows,
};
export const Pacing = z.strictObject(pacing);
export type Pacing = z.infer<typeof Pacing>;
export const PacingPatch = Pacing.partial();

/** A phone's number, which its owner would lose. */
const CAREFUL: Pacing = {
  minDelayMs: 8000,
  maxDelayMs: 25_000,
  pauseEvery: 20,
  pauseMinMs: 60_000,
  pauseMaxMs: 180_000,
  perHour: 60,
  perDay: 200,
  perContactDay: 1,
  perContactWeek: 3,
  warmUp: true,
  windows: [{ days: [1, 2, 3, 4, 5, 6, 7], from: '08:00', to: '20:00' }],
};
/** A gateway, which knows its own limits. */
const FREE: Pacing = {
  ...CAREFUL,
  minDelayMs: 0,
  maxDelayMs: 0,
  pauseEvery: null,
  perHour: null,
  perDay: null,
  perContactDay: null,
  perContactWeek: null,
  warmUp: false,
  windows: [],
};
/** A number of the Cloud API: somewhat below Meta's 80 messages a second, which what people write counts towards. */
const FAST: Pacing = { ...FREE, minDelayMs: 15, maxDelayMs: 15, perContactDay: 1, perContactWeek: 3 };
const PACINGS: Record<string, Pacing> = { webhook: FREE, cloud_api: FAST };
export const defaultPacing = (kind: string): Pacing => PACINGS[kind] ?? CAREFUL;

const fields = {
  name: nameText(120),
  phone: z.string().trim().min(5).max(40),
  url: z.string().trim().min(1).max(2048),
  timeZone: TimeZoneName,
  pacing: PacingPatch,
};

export const ChannelBody = z
  .strictObject({
    ...fields,
    kind: z.enum(['extension', 'cloud_api', 'webhook']),
    phone: fields.phone.optional(),
    url: fields.url.optional(),
    timeZone: fields.timeZone.optional(),
    pacing: fields.pacing.default({}),
    credentials: CloudCredentials.optional(),
  })
  .refine(({ kind, url }) => (kind === 'webhook') === (url !== undefined), {
    path: ['url'],
    message: 'is for channels of the kind webhook, and they need it',
  })
  .refine(({ kind, credentials }) => (kind === 'cloud_api') === (credentials !== undefined), {
    path: ['credentials'],
    message: 'are for channels of the kind cloud_api, and they need them',
  })
  .refine(({ kind, phone }) => kind !== 'cloud_api' || phone !== undefined, {
    path: ['phone'],
    message: 'is needed: the number as people see it',
  });
export type ChannelBody = z.infer<typeof ChannelBody>;
export const ChannelPatch = z
  .strictObject({ ...fields, credentials: CloudCredentialsPatch })
  .partial()
  .refine((patch) => Object.keys(patch).length > 0, 'must change something');
export type ChannelPatch = z.infer<typeof ChannelPatch>;

export const ChannelView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    kind: z.enum(['extension', 'cloud_api', 'webhook']),
    phone: z.string().nullable(),
    url: z.string().nullable(),
    state: z.enum(['active', 'paused']),
    /** `by_hand`, or what made it stop by itself. */
    pauseReason: z.string().nullable(),
    timeZone: z.string(),
    pacing: Pacing,
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Channel' });
export type ChannelView = z.infer<typeof ChannelView>;
export const ChannelPage = pageOf(ChannelView);
/** The only answer that has the secret: what it posts is signed with it, and what is posted back to it. */
export const NewChannelView = ChannelView.extend({ secret: z.string().optional() }).meta({ id: 'NewChannel' });

/** How a channel is; what Meta says of a number as it was last told or asked (`checkedAt`). */
export const HealthView = z
  .object({
    state: z.enum(['active', 'paused']),
    pauseReason: z.string().nullable(),
    /** It was too fast for Meta, and keeps still until then. */
    slowedUntil: z.iso.datetime().nullable(),
    quality: z.string().nullable(),
    status: z.string().nullable(),
    verifiedName: z.string().nullable(),
    throughput: z.string().nullable(),
    /** How many people may be written to in 24 hours who did not write first; of all numbers of the business together. */
    messagingLimit: z.string().nullable(),
    /** What Meta last told of the number by itself. */
    event: z.string().nullable(),
    eventAt: z.iso.datetime().nullable(),
    /** Why Meta could not be asked, as `cloud_190` for a token that is refused. */
    problem: z.string().nullable(),
    checkedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'ChannelHealth' });
export type HealthView = z.infer<typeof HealthView>;

const room = z.object({ limit: z.int().nullable(), sent: z.int() });
/** What a channel may send, and what it has sent of it. */
export const ChannelLimitsView = z
  .object({
    /** Counted by blocks of five minutes, of which the one that the hour began in counts whole. */
    hour: room,
    /** The channel's own day; fewer while it warms up. */
    day: room,
    /** How many more there is room for now, beside what phones have claimed; null: no limit. */
    room: z.int().nullable(),
    /** When there is room again, where there is none. */
    fullUntil: z.iso.datetime().nullable(),
  })
  .meta({ id: 'ChannelLimits' });
export type ChannelLimitsView = z.infer<typeof ChannelLimitsView>;
