import { defineEntity, p } from '@mikro-orm/postgresql';
import { ofWorkspace } from '#src/db/row.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

/** One credit in the unit of the account. A credit is worth 0.001 USD, so a micro-credit is exactly one nano-USD. */
export const MICRO_CREDITS_PER_CREDIT = 1_000_000;

/** What a workspace may spend, in micro-credits. `held` is the part of `balance` that running jobs have reserved. */
export const CreditAccountSchema = defineEntity({
  name: 'CreditAccount',
  properties: {
    workspace: () => p.manyToOne(Workspace).ref().primary().deleteRule('cascade'),
    balance: p.bigint('number').defaultRaw('0'),
    held: p.bigint('number').defaultRaw('0'),
  },
  filters: ofWorkspace(),
  checks: [
    { name: 'credit_account_balance_check', expression: 'balance >= 0' },
    { name: 'credit_account_held_check', expression: 'held >= 0' },
  ],
});

export class CreditAccount extends CreditAccountSchema.class {}
CreditAccountSchema.setClass(CreditAccount);
