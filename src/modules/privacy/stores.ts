import type { EntityManager } from '@mikro-orm/postgresql';
import { eraseItems } from '#src/modules/campaigns/erase.query.ts';
import { cleanFilters, OPERATION_FILTERS, SEGMENT_FILTERS } from '#src/modules/privacy/clean-filter.query.ts';
import { emptyImportRows, emptyImports } from '#src/modules/privacy/erase-imports.query.ts';
import {
  cleanReminded,
  cleanReminders,
  cleanTexts,
  cleanTheirs,
  dropExports,
  dropMerges,
  dropProofs,
  dropRows,
  emptyActivities,
  emptyContacts,
  emptyJobs,
  forgetAnswers,
  lockSubject,
  type Erased,
  type Texts,
} from '#src/modules/privacy/erase.query.ts';
import type { Subject } from '#src/modules/privacy/person.query.ts';

/** A place where something of a person may be, and how it goes from there. */
export interface Store {
  /** As the receipt names it. */
  name: string;
  table: string;
  /** Takes the next part away. @param place where the last step ended; null: at the beginning */
  erase(em: EntityManager, subject: Subject, place: string | null): Promise<Erased>;
}

/** Rows that are gone with the person. @param key what tells rows apart besides the workspace */
const dropped = (table: string, key = 'id') => ({
  name: table,
  table,
  erase: (em: EntityManager, subject: Subject) => dropRows(em, subject, { table, key }),
});

/** What the platform itself goes on to write of a person, messages before what they are in. */
const WRITTEN = [
  dropped('message'),
  dropped('conversation'),
  dropped('lead_score'),
  dropped('contact_ai', 'contact_id, kind'),
];

/** Texts that are cleared of a person wherever they are named. A table's key is the workspace and `id`. */
const cleared = (table: string, columns: Texts, name = table): Store => ({
  name,
  table,
  erase: (em, { anywhere }, place) => cleanTexts(em, { table, key: 'id', columns, where: 'true' }, anywhere, place),
});

/** Texts of rows that hang on a person: there a single name is theirs. */
const clearedOfTheirs = (table: string, columns: Texts): Store => ({
  name: `${table}.theirs`,
  table,
  erase: (em, subject, place) => cleanTheirs(em, subject, { table, columns }, place),
});

/**
 * Every store, in the order in which they are gone through. Who a person is, is read from the contact and its identities, so these come last;
 * and who is theirs (`deal`, `task`, `lead_score`) is known until the tables that say so are reached. A table with texts or contacts that is
 * neither here nor among the exceptions of the test fails it.
 */
export const STORES: readonly Store[] = [
  { name: 'job', table: 'job', erase: emptyJobs },
  { name: 'campaign_item', table: 'campaign_item', erase: eraseItems },
  ...WRITTEN,
  dropped('contact_label', 'contact_id, label_id'),
  { name: 'activity', table: 'activity', erase: emptyActivities },
  clearedOfTheirs('deal', { title: 'text', lost_reason: 'text' }),
  clearedOfTheirs('task', { title: 'text', description: 'text' }),
  { name: 'notification.theirs', table: 'notification', erase: cleanReminded },
  { name: 'reminder.theirs', table: 'reminder', erase: cleanReminders },
  cleared('deal', { title: 'text', lost_reason: 'text' }),
  cleared('deal_stage_history', { reason: 'text' }),
  cleared('task', { title: 'text', description: 'text' }),
  cleared('reminder', { title: 'text', note: 'text' }),
  cleared('notification', { data: 'json' }),
  {
    name: 'activity.texts',
    table: 'activity',
    erase: (em, { anywhere }, place) =>
      cleanTexts(em, { table: 'activity', key: 'id', columns: { payload: 'json' }, where: 'true' }, anywhere, place),
  },
  {
    name: 'message.texts',
    table: 'message',
    erase: (em, { anywhere }, place) =>
      cleanTexts(
        em,
        { table: 'message', key: 'id', columns: { body: 'text', media_ref: 'text' }, where: 'true' },
        anywhere,
        place,
      ),
  },
  cleared('campaign', { name: 'text', variants: 'jsonb', ai: 'jsonb' }),
  cleared('contact', { company: 'text', position: 'text', custom_fields: 'jsonb' }, 'contact.others'),
  cleared('label', { name: 'name' }),
  cleared('message_template', { name: 'name' }),
  {
    name: 'message_template_version',
    table: 'message_template_version',
    // All versions of a template are gone through at once.
    erase: (em, { anywhere }, place) => {
      const texts = { table: 'message_template_version', key: 'template_id', columns: { body: 'text' } as const };
      return cleanTexts(em, { ...texts, where: 'true' }, anywhere, place);
    },
  },
  cleared('segment', { name: 'name' }, 'segment.names'),
  {
    name: 'segment',
    table: 'segment',
    erase: (em, subject, place) => cleanFilters(em, subject, SEGMENT_FILTERS, place),
  },
  {
    name: 'outbox_event',
    table: 'outbox_event',
    // Events carry ids, and say whom they are of: the others, of which there are most, are not looked through.
    erase: (em, subject, place) =>
      cleanTheirs(em, subject, { table: 'outbox_event', columns: { data: 'json' }, column: 'subject_id' }, place),
  },
  cleared('webhook_delivery', { response_snippet: 'text', error: 'text', attempt_log: 'jsonb' }),
  {
    name: 'bulk_operation.filters',
    table: 'bulk_operation',
    erase: (em, subject, place) => cleanFilters(em, subject, OPERATION_FILTERS, place),
  },
  {
    name: 'bulk_operation',
    table: 'bulk_operation',
    // What is under way needs what it was given, and is gone 30 days after its end.
    erase: (em, { anywhere }, place) =>
      cleanTexts(
        em,
        {
          table: 'bulk_operation',
          key: 'id',
          columns: { input: 'json', state: 'json', problem: 'json' },
          where: 'finished_at is not null',
        },
        anywhere,
        place,
      ),
  },
  cleared('contact_import', { file_name: 'text', columns: 'json', preview: 'json' }),
  { name: 'contact_import.rows', table: 'import_row', erase: emptyImportRows },
  { name: 'contact_import.files', table: 'contact_import', erase: emptyImports },
  { name: 'contact_export', table: 'contact_export', erase: dropExports },
  { name: 'contact_merge', table: 'contact_merge', erase: dropMerges },
  { name: 'consent_event', table: 'consent_event', erase: dropProofs },
  // From here on nobody knows any more who it was.
  {
    name: 'contact',
    table: 'contact',
    erase: async (em, subject) => {
      // Whoever had found the contact before it was closed may have written since.
      await lockSubject(em, subject);
      let late = 0;
      for (const store of WRITTEN) {
        const { count, place } = await store.erase(em, subject);
        late += count;
        if (place !== null) return { count: late, place };
      }
      const { count } = await dropRows(em, subject, { table: 'contact_identity', key: 'id' });
      const { count: contacts } = await emptyContacts(em, subject);
      return { count: late + count + contacts, place: null };
    },
  },
  // Behind all that an answer could be made of.
  { name: 'idempotent_request', table: 'idempotent_request', erase: forgetAnswers },
];
