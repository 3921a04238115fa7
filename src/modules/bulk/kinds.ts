import type { OperationKind } from '#src/modules/bulk/operation.ts';

/** Every kind of bulk operation there is. */
export const kinds: readonly OperationKind[] = [];
