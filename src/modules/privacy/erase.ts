import { z } from 'zod';
import { emitEvent } from '#src/events/outbox.query.ts';
import { appendAudit, SYSTEM } from '#src/modules/audit/audit.ts';
import { defineOperation } from '#src/modules/bulk/operation.ts';
import { readSubject } from '#src/modules/privacy/person.query.ts';
import { ownerOf, saveReceipt } from '#src/modules/privacy/requests.query.ts';
import { STORES } from '#src/modules/privacy/stores.ts';

export const ERASE_KIND = 'contacts.erase';
/** Where an erasure begins. */
export const ERASE_START = { at: 0, place: null, receipt: [] };

const Receipt = z.array(z.object({ store: z.string(), count: z.int(), ok: z.boolean() }));

/**
 * Forgets a person, store by store, a part in each step. Nothing of them stands in the operation: who they are is read anew from the contact,
 * which is the last store; killed anywhere, it goes on where it was.
 */
export const contactsErase = defineOperation({
  name: ERASE_KIND,
  input: z.object({ contactId: z.uuid() }),
  state: z.object({ at: z.int(), place: z.string().nullable(), receipt: Receipt }),
  async step(em, { id, userId, input: { contactId }, state }) {
    const { at, receipt } = state;
    const store = STORES[at];
    if (!store) throw new Error(`There is no store ${at}`);
    const ownerId = await ownerOf(em, contactId);
    const { count, place } = await store.erase(em, await readSubject(em, contactId), state.place);
    const before = receipt.find((one) => one.store === store.name)?.count ?? 0;
    const others = receipt.filter((one) => one.store !== store.name);
    const now = [...others, { store: store.name, count: before + count, ok: place === null }];
    const next = place === null ? at + 1 : at;
    const isOver = next === STORES.length;
    await saveReceipt(em, id, now, isOver);
    if (isOver) {
      await emitEvent(em, {
        type: 'contact.erased',
        data: { contactId, ownerId },
        subjectId: contactId,
        actorId: userId,
      });
      await appendAudit(em, SYSTEM, { action: 'contact.erased', target: { type: 'contact', id: contactId } });
    }
    const counts = Object.fromEntries(now.map((one) => [one.store, one.count]));
    return { state: { at: next, place, receipt: now }, done: next, total: STORES.length, counts, isOver };
  },
});
