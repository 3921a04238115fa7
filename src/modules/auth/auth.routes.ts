import type { FastifyRequest } from 'fastify';
import type { App } from '#src/http/app-type.ts';
import type { Device } from '#src/modules/auth/auth.session.ts';
import type { Runtime } from '#src/runtime.ts';
import { authOf } from '#src/http/auth.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import {
  LoginBody,
  MePatch,
  MeView,
  RefreshBody,
  RegisterBody,
  SignedInView,
  SignedOutView,
  TokensView,
} from '#src/modules/auth/auth.schemas.ts';
import { login, readMe, register, updateMe } from '#src/modules/auth/auth.service.ts';
import { refreshSession } from '#src/modules/auth/auth.session.ts';
import { endSession } from '#src/modules/auth/sessions.service.ts';
import { whileRegistrationIsOpen } from '#src/modules/settings/registration.ts';

const open = { tags: ['auth'] };
const signedIn = { tags: ['auth'], security: [{ bearer: [] }] };

const deviceOf = (request: FastifyRequest): Device => ({
  userAgent: request.headers['user-agent'],
  ip: request.ip,
  requestId: request.id,
});

/** `/api/auth`: accounts, sessions and the caller's own profile. */
export function authRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    app.post('/api/auth/register', {
      config: { access: 'public', limits: ['register'] },
      schema: {
        ...open,
        summary: 'Make an account and its workspace',
        body: RegisterBody,
        response: { 201: SignedInView },
      },
      preHandler: whileRegistrationIsOpen(rt),
      handler: async (request, reply) => reply.code(201).send(await register(rt, request.body, deviceOf(request))),
    });

    app.post('/api/auth/login', {
      config: { access: 'public', limits: ['login'] },
      schema: { ...open, summary: 'Sign in', body: LoginBody, response: { 200: SignedInView } },
      handler: (request) => login(rt, request.body, deviceOf(request)),
    });

    app.post('/api/auth/refresh', {
      config: { access: 'public', limits: ['refresh'] },
      schema: { ...open, summary: 'Exchange a refresh token', body: RefreshBody, response: { 200: TokensView } },
      handler: (request) => refreshSession(rt, request.body.refreshToken),
    });

    app.post('/api/auth/logout', {
      schema: { ...signedIn, summary: 'End this session', response: { 200: SignedOutView } },
      config: { access: 'person' },
      handler: async (request) => {
        const auth = authOf(request);
        await endSession(rt.orm, auth, actorOf(request), auth.sessionId);
        return { signedOut: true as const };
      },
    });

    app.get('/api/auth/me', {
      schema: { ...signedIn, summary: 'Who you are', response: { 200: MeView } },
      config: { access: 'person' },
      handler: (request) => readMe(rt, authOf(request)),
    });

    app.patch('/api/auth/me', {
      schema: { ...signedIn, summary: 'Change your name or language', body: MePatch, response: { 200: MeView } },
      config: { access: 'person' },
      handler: (request) => updateMe(rt, authOf(request), request.body, actorOf(request)),
    });
  };
}
