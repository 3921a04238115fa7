import type { EntityManager } from '@mikro-orm/postgresql';
import { conflict, forbidden } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { may, mustHave } from '#src/http/permissions.ts';
import { kinds } from '#src/modules/bulk/kinds.ts';
import { requestCancel, type OperationRow } from '#src/modules/bulk/operations.query.ts';
import { cutShort } from '#src/modules/bulk/run.ts';

/**
 * Ends an operation before its next step, or at once where it has not begun.
 * @throws AppError 403 for who neither began it nor is an administrator, 409 where it is over
 */
export async function cancelOperation(
  em: EntityManager,
  auth: Auth,
  { id, user_id: userId, status, kind }: Pick<OperationRow, 'id' | 'user_id' | 'status' | 'kind'>,
): Promise<void> {
  if (kind === 'contacts.erase') mustHave(auth, 'contacts:erase');
  if (userId !== auth.userId && !may(auth, 'contacts:export'))
    throw forbidden('Only who began it, or an administrator, can cancel it.');
  const row = await requestCancel(em, id);
  if (!row) throw conflict('operation_over', `The operation is ${status}.`);
  if (row.status === 'cancelled')
    await cutShort(em, kinds, { workspaceId: auth.workspaceId, row }, { status: 'cancelled', problem: null });
}
