import { defineEntity, p } from '@mikro-orm/postgresql';
import { dates, ofWorkspace } from '#src/db/row.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

/** Somebody asked into a workspace by mail. Only a digest of the token in the mail is stored. */
export const InviteSchema = defineEntity({
  name: 'Invite',
  tableName: 'workspace_invite',
  properties: {
    workspace: () => p.manyToOne(Workspace).ref().primary().deleteRule('cascade'),
    id: p.uuid().primary(),
    ...dates,
    email: p.string().length(254),
    role: p.enum(['owner', 'admin', 'member', 'viewer'] as const),
    tokenHash: p.blob(),
    invitedBy: () => p.manyToOne(User).ref().deleteRule('cascade').index(),
    expiresAt: p.datetime(),
    acceptedAt: p.datetime().nullable(),
  },
  filters: ofWorkspace(),
  checks: [{ name: 'workspace_invite_email_check', expression: 'email = lower(email)' }],
  indexes: [
    {
      name: 'workspace_invite_pending',
      expression:
        'create unique index workspace_invite_pending on workspace_invite (workspace_id, email) where accepted_at is null',
    },
  ],
});

export class Invite extends InviteSchema.class {}
InviteSchema.setClass(Invite);
