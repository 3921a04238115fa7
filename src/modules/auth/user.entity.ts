import { defineEntity, p } from '@mikro-orm/postgresql';
import { row } from '#src/db/row.ts';

export const UserSchema = defineEntity({
  name: 'User',
  // `user` is a reserved word in SQL.
  tableName: 'app_user',
  properties: {
    ...row,
    /** Trimmed and lower-cased before it gets here; the check keeps a second account from hiding behind capitals. */
    email: p.string().length(254).unique(),
    name: p.string().length(120),
    passwordHash: p.text(),
    locale: p.string().length(35).default('pt-BR'),
    emailVerifiedAt: p.datetime().nullable(),
    /** Whose starting credits wait for the address to be confirmed; null once they were granted. */
    startingWorkspaceId: p.uuid().nullable(),
    /** A disabled user keeps everything and cannot sign in. */
    status: p.enum(['active', 'disabled'] as const).default('active'),
    /** Sealed; there before `totpEnabledAt`, until its owner has shown a code. */
    totpSeed: p.blob().nullable(),
    totpEnabledAt: p.datetime().nullable(),
    /** The latest time step whose code was taken: no code works twice. */
    totpLastStep: p.bigint('number').nullable(),
  },
  checks: [
    { name: 'app_user_email_check', expression: 'email = lower(email)' },
    { name: 'app_user_totp_check', expression: 'totp_enabled_at is null or totp_seed is not null' },
  ],
});

export class User extends UserSchema.class {}
UserSchema.setClass(User);
