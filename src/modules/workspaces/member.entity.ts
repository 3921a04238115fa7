import { defineEntity, p } from '@mikro-orm/postgresql';
import { dates, ofWorkspace } from '#src/db/row.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

/** Who may act in which workspace, and as what. */
export const MemberSchema = defineEntity({
  name: 'Member',
  properties: {
    workspace: () => p.manyToOne(Workspace).ref().primary().deleteRule('cascade'),
    user: () => p.manyToOne(User).ref().primary().deleteRule('cascade').index(),
    role: p.enum(['owner', 'admin', 'member', 'viewer'] as const),
    /** Permissions on top of the role's, and those taken away from it. */
    grants: p.array().defaultRaw(`'{}'`),
    denies: p.array().defaultRaw(`'{}'`),
    ...dates,
  },
  filters: ofWorkspace(),
});

export class Member extends MemberSchema.class {}
MemberSchema.setClass(Member);
