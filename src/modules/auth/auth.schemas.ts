import { z } from 'zod';
import { EmailAddress, LanguageTag, nameText } from '#src/http/fields.ts';
import { WorkspaceView } from '#src/modules/workspaces/workspaces.schemas.ts';

/** Length is the only rule, as NIST SP 800-63B and ASVS 6.2 advise: rules of composition make passwords worse. */
const NewPassword = z.string().min(8).max(128);

export const RegisterBody = z.strictObject({
  email: EmailAddress,
  password: NewPassword,
  name: nameText(120),
  workspaceName: nameText(120).optional(),
});
export type RegisterBody = z.infer<typeof RegisterBody>;

/** As loose as it can be: what could never be an account answers like any wrong password. */
export const LoginBody = z.strictObject({
  email: z.string().max(320).trim().toLowerCase(),
  password: z.string().max(1024),
});

export const RefreshBody = z.strictObject({ refreshToken: z.string().max(1024) });

export const MePatch = z
  .strictObject({ name: nameText(120).optional(), locale: LanguageTag.optional() })
  .refine((body) => Object.keys(body).length > 0, 'must change at least one field');

export const UserView = z
  .object({
    id: z.uuid(),
    email: z.string(),
    name: z.string(),
    locale: z.string(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'User' });
export type UserView = z.infer<typeof UserView>;

/** The user with the workspace this request works in. */
export const MeView = UserView.extend({ workspace: WorkspaceView }).meta({ id: 'Me' });
export type MeView = z.infer<typeof MeView>;

/** `expiresIn`: seconds until `token` expires. */
export const TokensView = z
  .object({ token: z.string(), refreshToken: z.string(), expiresIn: z.int() })
  .meta({ id: 'Tokens' });
export type TokensView = z.infer<typeof TokensView>;

export const SignedInView = TokensView.extend({ user: UserView, workspace: WorkspaceView }).meta({ id: 'SignedIn' });
export type SignedInView = z.infer<typeof SignedInView>;

export const SignedOutView = z.object({ signedOut: z.literal(true) }).meta({ id: 'SignedOut' });
