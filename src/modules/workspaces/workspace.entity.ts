import { defineEntity, p } from '@mikro-orm/postgresql';
import { ofWorkspace, row } from '#src/db/row.ts';
import { PLANS } from '#src/http/access-token.ts';
import type { PlanOverride } from '#src/modules/billing/plans.ts';

export const WorkspaceSchema = defineEntity({
  name: 'Workspace',
  properties: {
    ...row,
    name: p.string().length(120),
    plan: p.enum(PLANS).defaultRaw(`'free'`),
    /** What it has when nothing gives it a better one: `DEFAULT_PLAN`. */
    basePlan: p.enum(PLANS).defaultRaw(`'free'`),
    /** Where its licence differs from its plan. */
    planOverride: p.json<PlanOverride>().nullable(),
    timeZone: p.string().length(64).default('America/Sao_Paulo'),
    /** When its time zone was last changed. */
    zonedAt: p.datetime().nullable(),
    currency: p.character().length(3).default('BRL'),
    country: p.character().length(2).default('BR'),
    /** Set when its owner deleted it; its rows are then as good as gone, and its key is destroyed. */
    deletedAt: p.datetime().nullable(),
    /** Since when it is known that its key is destroyed, and no other was made meanwhile. */
    keysGoneAt: p.datetime().nullable(),
  },
  indexes: [
    { name: 'workspace_closed', properties: ['deletedAt'], where: 'deleted_at is not null' },
    { name: 'workspace_keyed', properties: ['deletedAt'], where: 'deleted_at is not null and keys_gone_at is null' },
  ],
  filters: ofWorkspace('id'),
});

export class Workspace extends WorkspaceSchema.class {}
WorkspaceSchema.setClass(Workspace);
