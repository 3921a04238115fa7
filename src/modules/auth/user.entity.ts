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
  },
  checks: [{ name: 'app_user_email_check', expression: 'email = lower(email)' }],
});

export class User extends UserSchema.class {}
UserSchema.setClass(User);
