import { z } from 'zod';
import { EmailAddress, IdText, nameText } from '#src/http/fields.ts';
import { pageOf, PageQuery } from '#src/http/page.ts';
import { CustomFields } from '#src/modules/contacts/custom-fields.ts';
import { IDENTITY_KINDS } from '#src/modules/contacts/identities.ts';

export const MAX_LABELS = 50;
const CONSENTS = ['unknown', 'granted', 'denied'] as const;

/** In any national or international spelling; the service says what is no number. */
const PhoneText = z.string().trim().min(1).max(60);
const LabelNames = z.array(nameText(60)).max(MAX_LABELS);

export const ContactBody = z.strictObject({
  name: nameText(200),
  phone: PhoneText.nullish(),
  email: EmailAddress.nullish(),
  company: nameText(200).nullish(),
  position: nameText(200).nullish(),
  /** By name; one that is not there is made. */
  labels: LabelNames.optional(),
  customFields: CustomFields.optional(),
  consent: z.enum(CONSENTS).optional(),
  ownerId: IdText.nullish(),
});
export type ContactBody = z.output<typeof ContactBody>;

export const ContactPatch = ContactBody.omit({ labels: true, consent: true }).partial().extend({
  isArchived: z.boolean().optional(),
  /** The version it was changed from, as `If-Match` would say it. */
  version: z.int().optional(),
});
export type ContactPatch = z.output<typeof ContactPatch>;

const LabelRef = z.object({ id: z.uuid(), name: z.string(), color: z.string() });

export const ContactView = z
  .object({
    id: z.uuid(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    version: z.int(),
    name: z.string(),
    /** In E.164. */
    phone: z.string().nullable(),
    email: z.string().nullable(),
    company: z.string().nullable(),
    position: z.string().nullable(),
    ownerId: z.uuid().nullable(),
    source: z.enum(['manual', 'import', 'message']),
    customFields: CustomFields,
    labels: z.array(LabelRef),
    /** All they are known by. */
    identities: z.array(z.object({ kind: z.enum(IDENTITY_KINDS), value: z.string() })),
    leadScore: z.int().nullable(),
    sentiment: z.enum(['positive', 'neutral', 'negative']).nullable(),
    consent: z.enum(CONSENTS),
    lastInboundAt: z.iso.datetime().nullable(),
    lastOutboundAt: z.iso.datetime().nullable(),
    archivedAt: z.iso.datetime().nullable(),
    /** Since when it is in the bin. */
    deletedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Contact' });
export type ContactView = z.output<typeof ContactView>;

export const SORTS = ['createdAt', 'lastInboundAt', 'leadScore', 'name'] as const;
export type SortName = (typeof SORTS)[number];
const Sort = z.enum([...SORTS, ...SORTS.map((name) => `-${name}` as const)]);

/** A moment of years that a calendar and Postgres agree on. */
const Moment = z.iso
  .datetime({ offset: true })
  .refine((text) => /^(19|20)\d\d-/.test(text), 'must be of this century or the last')
  // Postgres refuses offsets of 16 hours and more.
  .transform((text) => new Date(text).toISOString());
const plain = (maxLength: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(maxLength)
    .refine((text) => !/\p{Cc}/u.test(text) && text.isWellFormed(), 'must not contain control characters');

export const ContactQuery = PageQuery.extend({
  // The name a page ended with is in it.
  cursor: z.string().max(5000).optional(),
  /** Words of the name, company or e-mail, their beginnings or parts of three letters and more, or digits of the phone. */
  q: plain(100).optional(),
  /** Its id or its name. */
  label: plain(60).optional(),
  ownerId: IdText.optional(),
  consent: z.enum(CONSENTS).optional(),
  createdAfter: Moment.optional(),
  createdBefore: Moment.optional(),
  lastInboundAfter: Moment.optional(),
  minScore: z.coerce.number().int().min(0).max(100).optional(),
  archived: z.enum(['true', 'false', 'any']).default('false'),
  /** `true`: the bin, the last that went into it first. It has no filters and no other sort. */
  deleted: z.enum(['true', 'false']).default('false'),
  sort: Sort.default('-createdAt'),
});
export type ContactQuery = z.output<typeof ContactQuery>;
export const ContactPage = pageOf(ContactView);

export const LookupBody = z.strictObject({ phones: z.array(PhoneText).min(1).max(500) });
export const LookupView = z
  .object({
    /** In the order asked; null for a number that is nobody's, or none. */
    data: z.array(z.object({ phone: z.string(), e164: z.string().nullable(), contact: ContactView.nullable() })),
  })
  .meta({ id: 'ContactLookup' });

export const LabelsBody = z.strictObject({ labels: LabelNames });

export const NoteBody = z.strictObject({ text: z.string().trim().min(1).max(10_000) });
