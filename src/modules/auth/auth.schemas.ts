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

/** As loose as they can be: what could never be an account answers like any wrong password. */
const AnyAddress = z.string().max(320).trim().toLowerCase();
const AnyPassword = z.string().max(1024);
/** Six digits of an authenticator, or a recovery code. */
const SecondFactor = z.string().max(64);
const OneTimeToken = z.string().max(128);

export const LoginBody = z.strictObject({ email: AnyAddress, password: AnyPassword, totp: SecondFactor.optional() });
export type LoginBody = z.infer<typeof LoginBody>;

export const ForgotPasswordBody = z.strictObject({ email: AnyAddress });
export const ResetPasswordBody = z.strictObject({ token: OneTimeToken, password: NewPassword });
export const ChangePasswordBody = z.strictObject({ currentPassword: AnyPassword, newPassword: NewPassword });
export const VerifyEmailBody = z.strictObject({ token: OneTimeToken });
export const TotpSetupBody = z.strictObject({ password: AnyPassword });
export const TotpEnableBody = z.strictObject({ code: SecondFactor });
export const TotpDisableBody = z.strictObject({ password: AnyPassword, code: SecondFactor });

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
    emailVerified: z.boolean(),
    totpEnabled: z.boolean(),
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

/** Taken, which says nothing of what comes of it. */
export const AcceptedView = z.object({ accepted: z.literal(true) }).meta({ id: 'Accepted' });
export const VerifiedView = z.object({ verified: z.literal(true) }).meta({ id: 'Verified' });
export const PasswordChangedView = z.object({ changed: z.literal(true) }).meta({ id: 'PasswordChanged' });
/** `uri`: for a QR code; `secret`: the same in base32, to type in. */
export const TotpSetupView = z.object({ secret: z.string(), uri: z.string() }).meta({ id: 'TotpSetup' });
/** Shown once, each good for one sign-in without the authenticator. */
export const RecoveryCodesView = z.object({ recoveryCodes: z.array(z.string()) }).meta({ id: 'RecoveryCodes' });
export const TotpDisabledView = z.object({ disabled: z.literal(true) }).meta({ id: 'TotpDisabled' });
