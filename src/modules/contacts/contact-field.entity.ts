import { defineEntity, p } from '@mikro-orm/postgresql';
import { ofWorkspace } from '#src/db/row.ts';
import { owned } from '#src/modules/workspaces/owned.ts';

export const FIELD_KINDS = ['text', 'number', 'date', 'boolean', 'select', 'url'] as const;

/** A field of contacts that a workspace has beyond those everybody has. */
export const ContactFieldSchema = defineEntity({
  name: 'ContactField',
  properties: {
    ...owned,
    key: p.string().length(40),
    name: p.string().length(60),
    kind: p.enum(FIELD_KINDS),
    /** What can be chosen, for `select`. */
    options: p.array().defaultRaw(`'{}'`),
  },
  filters: ofWorkspace(),
  uniques: [{ name: 'contact_field_key', properties: ['workspace', 'key'] }],
});

export class ContactField extends ContactFieldSchema.class {}
ContactFieldSchema.setClass(ContactField);
