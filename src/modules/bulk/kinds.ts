import type { OperationKind } from '#src/modules/bulk/operation.ts';
import { contactsBulk } from '#src/modules/contacts/bulk.ts';

/** Every kind of bulk operation there is. */
export const kinds: readonly OperationKind[] = [contactsBulk];
