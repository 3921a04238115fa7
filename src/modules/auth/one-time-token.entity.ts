import { defineEntity, p } from '@mikro-orm/postgresql';
import { User } from '#src/modules/auth/user.entity.ts';

const lifetime = {
  createdAt: p.datetime().defaultRaw('now()'),
  expiresAt: p.datetime().index(),
  usedAt: p.datetime().nullable(),
};

/** A token that proves an address. Only its digest is stored. */
export const EmailVerificationSchema = defineEntity({
  name: 'EmailVerification',
  properties: {
    tokenHash: p.blob().primary(),
    user: () => p.manyToOne(User).ref().deleteRule('cascade').index(),
    ...lifetime,
  },
});

export class EmailVerification extends EmailVerificationSchema.class {}
EmailVerificationSchema.setClass(EmailVerification);

/** A token that lets its holder set a new password. Without a user it is a decoy: the address asked for has no account. */
export const PasswordResetSchema = defineEntity({
  name: 'PasswordReset',
  properties: {
    tokenHash: p.blob().primary(),
    user: () => p.manyToOne(User).ref().nullable().deleteRule('cascade').index(),
    ...lifetime,
  },
});

export class PasswordReset extends PasswordResetSchema.class {}
PasswordResetSchema.setClass(PasswordReset);

/** One of ten codes that stand in for a lost authenticator. Only its digest is stored. */
export const RecoveryCodeSchema = defineEntity({
  name: 'RecoveryCode',
  properties: {
    codeHash: p.blob().primary(),
    user: () => p.manyToOne(User).ref().deleteRule('cascade').index(),
    usedAt: p.datetime().nullable(),
  },
});

export class RecoveryCode extends RecoveryCodeSchema.class {}
RecoveryCodeSchema.setClass(RecoveryCode);
