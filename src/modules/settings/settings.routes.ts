import type { FastifyReply, FastifyRequest } from 'fastify';
import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { authOf, type RouteAccess } from '#src/http/auth.ts';
import { ifMatchOf } from '#src/http/etag.ts';
import { mustHave } from '#src/http/permissions.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { settingsOf, type Definition } from '#src/modules/settings/registry.ts';
import { ofInstallation, ofPerson, ofWorkspaceId, type Patch, type Place } from '#src/modules/settings/settings.ts';
import { patchOf, viewSchemaOf } from '#src/modules/settings/settings.schemas.ts';

interface Resource {
  url: string;
  summary: string;
  shown: Map<string, Definition>;
  placeOf: (request: FastifyRequest) => Place;
  read: RouteAccess;
  /** Null: nobody changes it here. */
  change: RouteAccess | null;
  isHidden?: boolean;
}

const workspaceOf = (request: FastifyRequest) => ofWorkspaceId(authOf(request).workspaceId);
const ofWorkspace = { placeOf: workspaceOf, read: 'settings:read', change: 'settings:update' } as const;

const ofOneself = {
  placeOf: (request: FastifyRequest) => ofPerson(authOf(request)),
  read: 'person',
  change: 'person',
} as const;

const RESOURCES: Resource[] = [
  { ...ofOneself, url: '/api/settings/user', summary: 'your own settings', shown: settingsOf('user') },
  {
    ...ofWorkspace,
    url: '/api/settings/workspace',
    summary: "the workspace's settings",
    shown: settingsOf('workspace'),
  },
  {
    ...ofWorkspace,
    url: '/api/settings/ai',
    summary: "the workspace's settings of AI",
    shown: settingsOf('workspace', (key) => key.startsWith('ai.')),
  },
  {
    ...ofOneself,
    url: '/api/settings/notifications',
    summary: 'what you are told of, and how',
    shown: settingsOf('user', (key) => key.startsWith('notifications.')),
  },
  {
    url: '/api/settings/global',
    summary: "the installation's public settings",
    shown: settingsOf('global', (_, setting) => setting.isPublic),
    placeOf: () => ofInstallation,
    read: 'member',
    change: null,
  },
];

/** The installation's settings, for operators. The routes' scope must check who they are. */
const OPERATORS: Resource = {
  url: '/ops/settings',
  summary: "the installation's settings",
  shown: settingsOf('global'),
  placeOf: () => ofInstallation,
  read: 'ops',
  change: 'ops',
  isHidden: true,
};

type Needs = Pick<Runtime, 'settings'>;

/** `/api/settings`: what can be set, by whom, is in `registry.ts`. */
export function settingsRoutes(rt: Needs) {
  return async (app: App): Promise<void> => {
    for (const resource of RESOURCES) addSettings(app, rt, resource);
  };
}

/** Adds `/ops/settings` to a scope that lets only operators in. */
export const addOperatorSettings = (app: App, rt: Needs): void => addSettings(app, rt, OPERATORS);

function addSettings(app: App, rt: Needs, { url, summary, shown, placeOf, read, change, isHidden }: Resource): void {
  const response = { 200: viewSchemaOf(shown) };
  const schema = { tags: ['settings'], response, ...(isHidden ? { hide: true } : { security: [{ bearer: [] }] }) };
  app.get(url, {
    config: { access: read },
    schema: { ...schema, summary: `Read ${summary}` },
    handler: async (request, reply) => {
      const { values, etag } = await rt.settings.view(placeOf(request), shown);
      return reply.header('etag', etag).send(values);
    },
  });
  if (change === null) return;
  app.patch(url, {
    config: { access: change },
    schema: { ...schema, summary: `Change ${summary}; null gives a default back`, body: patchOf(shown) },
    handler: (request, reply) => applyPatch(request, reply, request.body),
  });

  async function applyPatch(request: FastifyRequest, reply: FastifyReply, patch: Patch) {
    for (const key of Object.keys(patch)) {
      const permission = shown.get(key)?.permission;
      if (permission) mustHave(authOf(request), permission);
    }
    const change = { patch, ifMatch: ifMatchOf(request), actor: actorOf(request) };
    const { values, etag } = await rt.settings.change(placeOf(request), shown, change);
    return reply.header('etag', etag).send(values);
  }
}
