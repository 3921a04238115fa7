import type { OperationKind } from '#src/modules/bulk/operation.ts';
import { importContacts } from '#src/modules/imports/import.operation.ts';

/** Every kind of bulk operation there is. */
export const kinds: readonly OperationKind[] = [importContacts];
