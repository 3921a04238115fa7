import { defineEntity, p } from '@mikro-orm/postgresql';
import { dates, ofWorkspace } from '#src/db/row.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

/** A program's way into a workspace. It can do what its scopes say, and never more than the member who made it. */
export const ApiKeySchema = defineEntity({
  name: 'ApiKey',
  properties: {
    workspace: () => p.manyToOne(Workspace).ref().primary().deleteRule('cascade'),
    id: p.uuid().primary(),
    ...dates,
    name: p.string().length(120),
    /** How its text begins: what people recognise it by. */
    prefix: p.string().length(20),
    secretHash: p.blob(),
    scopes: p.array(),
    createdBy: () => p.manyToOne(User).ref().deleteRule('cascade').index(),
    expiresAt: p.datetime().nullable(),
    lastUsedAt: p.datetime().nullable(),
    rotatedAt: p.datetime().nullable(),
    revokedAt: p.datetime().nullable(),
  },
  filters: ofWorkspace(),
});

export class ApiKey extends ApiKeySchema.class {}
ApiKeySchema.setClass(ApiKey);
