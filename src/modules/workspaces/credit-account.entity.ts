import { defineEntity, p } from '@mikro-orm/postgresql';
import { ofWorkspace } from '#src/db/row.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

/** One credit in the unit of the account. A credit is worth 0.001 USD, so a micro-credit is exactly one nano-USD. */
export const MICRO_CREDITS_PER_CREDIT = 1_000_000;

/**
 * What a workspace may spend, in micro-credits: `balance` is free, `held` is set aside by open jobs. Changed by the functions of the ledger
 * alone (docs/billing.md). `lowAt` and the budgets repeat settings, `month` and `monthSpent` what was spent in the last month with any.
 */
export const CreditAccountSchema = defineEntity({
  name: 'CreditAccount',
  properties: {
    workspace: () => p.manyToOne(Workspace).ref().primary().deleteRule('cascade'),
    balance: p.bigint('number').defaultRaw('0'),
    held: p.bigint('number').defaultRaw('0'),
    lastEntry: p.bigint('number').defaultRaw('0'),
    lowAt: p.bigint('number').defaultRaw('100000000'),
    monthlyBudget: p.bigint('number').nullable(),
    memberBudget: p.bigint('number').nullable(),
    month: p.date().nullable(),
    monthSpent: p.bigint('number').defaultRaw('0'),
    exhaustedAt: p.datetime().nullable(),
    openedAt: p.datetime().defaultRaw('now()'),
  },
  filters: ofWorkspace(),
  checks: [
    { name: 'credit_account_balance_check', expression: 'balance >= 0' },
    { name: 'credit_account_held_check', expression: 'held >= 0' },
  ],
});

export class CreditAccount extends CreditAccountSchema.class {}
CreditAccountSchema.setClass(CreditAccount);
