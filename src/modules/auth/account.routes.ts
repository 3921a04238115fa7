import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { authOf } from '#src/http/auth.ts';
import {
  AcceptedView,
  ChangePasswordBody,
  ForgotPasswordBody,
  PasswordChangedView,
  RecoveryCodesView,
  ResetPasswordBody,
  TotpDisableBody,
  TotpDisabledView,
  TotpEnableBody,
  TotpSetupBody,
  TotpSetupView,
  VerifiedView,
  VerifyEmailBody,
} from '#src/modules/auth/auth.schemas.ts';
import { resendVerification, verifyEmail } from '#src/modules/auth/email-verification.ts';
import { changePassword, forgotPassword, resetPassword } from '#src/modules/auth/password.service.ts';
import { disableTotp, enableTotp, setUpTotp } from '#src/modules/auth/totp.service.ts';

const open = { tags: ['auth'] };
const signedIn = { tags: ['auth'], security: [{ bearer: [] }] };
const accepted = { accepted: true } as const;

/** `/api/auth`: proving an address, getting back in, the password, the second factor. */
export function accountRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    mailedLinks(app, rt);
    passwordAndTotp(app, rt);
  };
}

/** What is done with a link that was mailed, and asking for one. */
function mailedLinks(app: App, rt: Runtime): void {
  app.post('/api/auth/verify-email', {
    config: { access: 'public', limits: ['login'] },
    schema: {
      ...open,
      summary: 'Confirm an e-mail address with the token of the mail',
      body: VerifyEmailBody,
      response: { 200: VerifiedView },
    },
    handler: async (request) => {
      await verifyEmail(rt, request.body.token);
      return { verified: true as const };
    },
  });

  app.post('/api/auth/resend-verification', {
    config: { access: 'person', limits: ['mail'] },
    schema: { ...signedIn, summary: 'Send the mail that confirms your address again', response: { 202: AcceptedView } },
    handler: async (request, reply) => {
      await resendVerification(rt, authOf(request));
      return reply.code(202).send(accepted);
    },
  });

  app.post('/api/auth/forgot-password', {
    config: { access: 'public', limits: ['mail'] },
    schema: {
      ...open,
      summary: 'Ask for a mail with which to set a new password; the answer never says whether there is an account',
      body: ForgotPasswordBody,
      response: { 202: AcceptedView },
    },
    handler: async (request, reply) => {
      await forgotPassword(rt, request.body.email);
      return reply.code(202).send(accepted);
    },
  });

  app.post('/api/auth/reset-password', {
    config: { access: 'public', limits: ['login'] },
    schema: {
      ...open,
      summary: 'Set a new password with the token of the mail; ends all sessions and opens none',
      body: ResetPasswordBody,
      response: { 200: PasswordChangedView },
    },
    handler: async (request) => {
      await resetPassword(rt, request.body);
      return { changed: true as const };
    },
  });
}

function passwordAndTotp(app: App, rt: Runtime): void {
  app.post('/api/auth/change-password', {
    config: { access: 'person', limits: ['secret'] },
    schema: {
      ...signedIn,
      summary: 'Change your password; ends your other sessions',
      body: ChangePasswordBody,
      response: { 200: PasswordChangedView },
    },
    handler: async (request) => {
      await changePassword(rt, authOf(request), request.body);
      return { changed: true as const };
    },
  });

  app.post('/api/auth/totp/setup', {
    config: { access: 'person', limits: ['secret'] },
    schema: {
      ...signedIn,
      summary: 'Get a seed for an authenticator; `enable` turns it on',
      body: TotpSetupBody,
      response: { 200: TotpSetupView },
    },
    handler: (request) => setUpTotp(rt, authOf(request), request.body.password),
  });

  app.post('/api/auth/totp/enable', {
    config: { access: 'person', limits: ['secret'] },
    schema: {
      ...signedIn,
      summary: 'Turn two-step verification on; the recovery codes are shown this once',
      body: TotpEnableBody,
      response: { 200: RecoveryCodesView },
    },
    handler: async (request) => ({
      recoveryCodes: await enableTotp(rt, authOf(request), request.body.code),
    }),
  });

  app.post('/api/auth/totp/disable', {
    config: { access: 'person', limits: ['secret'] },
    schema: {
      ...signedIn,
      summary: 'Turn two-step verification off',
      body: TotpDisableBody,
      response: { 200: TotpDisabledView },
    },
    handler: async (request) => {
      await disableTotp(rt, authOf(request), request.body);
      return { disabled: true as const };
    },
  });
}
