import type { CustomFields } from '#src/modules/contacts/custom-fields.ts';
import type { ContactView } from '#src/modules/contacts/contacts.schemas.ts';

/** A contact as it is read, with its labels and what it is known by. */
export interface ContactRow {
  id: string;
  created_at: string;
  updated_at: string;
  version: number;
  name: string;
  phone: string | null;
  email: string | null;
  company: string | null;
  position: string | null;
  owner_id: string | null;
  source: ContactView['source'];
  custom_fields: CustomFields;
  labels: ContactView['labels'];
  identities: ContactView['identities'];
  lead_score: number | null;
  sentiment: ContactView['sentiment'];
  consent: ContactView['consent'];
  last_inbound_at: string | null;
  last_outbound_at: string | null;
  archived_at: string | null;
  deleted_at: string | null;
}

const time = (column: string) =>
  `to_char(c.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`;

/** What is read of a contact `c`. */
export const CONTACT_COLUMNS = `c.id, ${['created_at', 'updated_at', 'last_inbound_at', 'last_outbound_at', 'archived_at', 'deleted_at'].map(time).join()},
  c.version, c.name, c.phone, c.email, c.company, c.position, c.owner_id, c.source, c.custom_fields, c.lead_score, c.sentiment, c.consent,
  (select coalesce(json_agg(json_build_object('id', l.id, 'name', l.name, 'color', l.color) order by lower(l.name)), '[]')
    from contact_label cl join label l on l.workspace_id = cl.workspace_id and l.id = cl.label_id
    where cl.workspace_id = c.workspace_id and cl.contact_id = c.id) as labels,
  (select coalesce(json_agg(json_build_object('kind', i.kind, 'value', i.value) order by i.kind, i.value), '[]')
    from contact_identity i where i.workspace_id = c.workspace_id and i.contact_id = c.id and i.released_at is null) as identities`;

/** A contact as clients see it. */
export const presentContact = (row: ContactRow): ContactView => ({
  id: row.id,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
  name: row.name,
  phone: row.phone,
  email: row.email,
  company: row.company,
  position: row.position,
  ownerId: row.owner_id,
  source: row.source,
  customFields: row.custom_fields,
  labels: row.labels,
  identities: row.identities,
  leadScore: row.lead_score,
  sentiment: row.sentiment,
  consent: row.consent,
  lastInboundAt: row.last_inbound_at,
  lastOutboundAt: row.last_outbound_at,
  archivedAt: row.archived_at,
  deletedAt: row.deleted_at,
});
