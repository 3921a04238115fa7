import type { OperationKind } from '#src/modules/bulk/operation.ts';
import { contactsBulk } from '#src/modules/contacts/bulk.ts';
import { exportContacts } from '#src/modules/exports/export.operation.ts';
import { importContacts } from '#src/modules/imports/import.operation.ts';
import { contactsErase } from '#src/modules/privacy/erase.ts';

/** Every kind of bulk operation there is. */
export const kinds: readonly OperationKind[] = [contactsBulk, importContacts, exportContacts, contactsErase];
