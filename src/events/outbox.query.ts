import type { EntityManager } from '@mikro-orm/postgresql';
import type { EventData, EventType } from '#src/events/catalog.ts';
import { newId } from '#src/lib/ids.ts';

/** Something that happened in the transaction's workspace. */
export interface NewEvent<Type extends EventType> {
  type: Type;
  data: EventData<Type>;
  /** The row it is about; what is known of a person is found by it when they ask to be forgotten. */
  subjectId: string | null;
  /** The member who did it; null for the platform or an API key without one. */
  actorId: string | null;
}

/**
 * Writes an event into the outbox, in the transaction that makes the change (`inWorkspaceTx`): both last, or neither does. The relay hands
 * it to every consumer, at least once.
 * @returns its id
 */
export async function emitEvent<Type extends EventType>(em: EntityManager, event: NewEvent<Type>): Promise<string> {
  const id = newId();
  await em.execute(
    `insert into outbox_event (workspace_id, id, type, subject_id, actor_id, data)
      values (current_workspace(), ?::uuid, ?::text, ?::uuid, ?::uuid, ?::json)`,
    [id, event.type, event.subjectId, event.actorId, JSON.stringify(event.data)],
  );
  return id;
}

/** Writes many events, in their order, in one statement; otherwise as `emitEvent`. */
export async function emitEvents(em: EntityManager, events: readonly NewEvent<EventType>[]): Promise<void> {
  if (events.length === 0) return;
  const rows = events.map(({ type, data, subjectId, actorId }) => ({
    id: newId(),
    type,
    subject_id: subjectId,
    actor_id: actorId,
    data,
  }));
  await em.execute(
    `insert into outbox_event (workspace_id, id, type, subject_id, actor_id, data)
      select current_workspace(), e.id, e.type, e.subject_id, e.actor_id, e.data
      from json_to_recordset(?::json) as e (id uuid, type text, subject_id uuid, actor_id uuid, data json)`,
    [JSON.stringify(rows)],
  );
}
