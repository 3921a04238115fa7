import type { EntityManager } from '@mikro-orm/postgresql';
import type { Statement } from '#src/modules/contacts/contact-list.query.ts';
import { CONTACT_COLUMNS, type ContactRow } from '#src/modules/contacts/contact.row.ts';

/** `binned_us`: when it went into the bin, in microseconds since 1970, as pages go on by. */
export type BinnedContact = ContactRow & { binned_us: number };

interface Bin {
  ownerId: string | undefined;
  after: readonly [number, string] | null;
  limit: number;
}

/**
 * Asks for the contacts in the bin that can be restored: none that was merged, was erased, or is to be.
 * @param ownerId whose alone @param after the key of the one they come after
 */
export function binStatement({ ownerId, after, limit }: Bin): Statement {
  const mine = ownerId === undefined ? '' : 'and c.owner_id = ?::uuid';
  const beyond = after
    ? `and (c.deleted_at, c.id) < (timestamptz 'epoch' + ?::bigint * interval '1 microsecond', ?::uuid)`
    : '';
  return {
    sql: `select ${CONTACT_COLUMNS}, (extract(epoch from c.deleted_at) * 1000000)::float8 as binned_us from contact c
      where c.workspace_id = current_workspace() and c.deleted_at is not null and c.merged_into is null and c.erased_at is null ${mine} ${beyond}
        and not exists (select from privacy_request r where r.workspace_id = c.workspace_id and r.contact_id = c.id and r.completed_at is null)
      order by c.deleted_at desc, c.id desc limit ${limit}`,
    values: [...(ownerId === undefined ? [] : [ownerId]), ...(after ?? [])],
  };
}

export function findBinned(em: EntityManager, asked: Bin): Promise<BinnedContact[]> {
  const { sql, values } = binStatement(asked);
  return em.execute<BinnedContact[]>(sql, values);
}
