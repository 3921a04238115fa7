import { ApiKeySchema } from '#src/modules/api-keys/api-key.entity.ts';
import {
  EmailVerificationSchema,
  PasswordResetSchema,
  RecoveryCodeSchema,
} from '#src/modules/auth/one-time-token.entity.ts';
import { SessionSchema } from '#src/modules/auth/session.entity.ts';
import { UserSchema } from '#src/modules/auth/user.entity.ts';
import { ContactFieldSchema } from '#src/modules/contacts/contact-field.entity.ts';
import { LabelSchema } from '#src/modules/contacts/label.entity.ts';
import { OutgoingMailSchema } from '#src/modules/mail/outgoing-mail.entity.ts';
import { PipelineSchema } from '#src/modules/pipelines/pipeline.entity.ts';
import { SegmentSchema } from '#src/modules/segments/segment.entity.ts';
import { CreditAccountSchema } from '#src/modules/workspaces/credit-account.entity.ts';
import { InviteSchema } from '#src/modules/workspaces/invite.entity.ts';
import { MemberSchema } from '#src/modules/workspaces/member.entity.ts';
import { WorkspaceSchema } from '#src/modules/workspaces/workspace.entity.ts';

/** Every entity there is: one that is not listed here has no table. */
export const entities = [
  UserSchema,
  SessionSchema,
  EmailVerificationSchema,
  PasswordResetSchema,
  RecoveryCodeSchema,
  OutgoingMailSchema,
  WorkspaceSchema,
  MemberSchema,
  CreditAccountSchema,
  ApiKeySchema,
  InviteSchema,
  LabelSchema,
  SegmentSchema,
  ContactFieldSchema,
  PipelineSchema,
];
