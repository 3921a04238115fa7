import { randomUUID } from 'node:crypto';
import type { TestApp } from '#test/harness.ts';
import type { TestUser } from '#test/factories.ts';
import type { Role } from '#src/http/access-token.ts';
import { makeApiKey } from '#src/http/api-key-text.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { newId } from '#src/lib/ids.ts';
import { insertTest } from '#src/modules/webhooks/deliveries.query.ts';
import { newestVersion } from '#src/modules/webhooks/payload.ts';
import { sealSecrets } from '#src/modules/webhooks/secrets.ts';
import { makeSecret } from '#src/modules/webhooks/signature.ts';
import { insertWebhook } from '#src/modules/webhooks/webhooks.query.ts';
import { ApiKey } from '#src/modules/api-keys/api-key.entity.ts';
import { Invite } from '#src/modules/workspaces/invite.entity.ts';
import { aMember, aUser, onPlan } from '#test/factories.ts';

/** In every text of the workspace that others must not see. */
export const CANARY = 'CANARIO';

/** A workspace with members of every role and a row of everything, all of it marked. */
export interface World {
  id: string;
  people: Record<Role, TestUser>;
  /** Somebody new of that role. */
  join(role: Role): Promise<TestUser>;
  /** A new row to change or delete; its id. */
  job(): Promise<string>;
  /** One that is over, whose events end. */
  endedJob(): Promise<string>;
  apiKey(scopes: string[]): Promise<{ id: string; secret: string }>;
  invite(): Promise<string>;
  /** Of the owner's own. */
  reminder(): Promise<string>;
  notification(): Promise<string>;
  /** A file of the whole workspace's figures, which nobody writes here. */
  analyticsExport(): Promise<string>;
  /** A file of contacts that is not imported. */
  contactImport(): Promise<string>;
  /** One with a delivery. */
  webhook(): Promise<{ id: string; deliveryId: string }>;
  /** One that a contact of the workspace wrote. */
  message(): Promise<{ id: string; conversationId: string; contactId: string }>;
  /** The one every workspace has, and its first stage. */
  pipeline(): Promise<{ id: string; stageId: string }>;
  deal(isDeleted?: boolean): Promise<string>;
  /** Of the plan that the owner asked for. */
  invoice(): Promise<string>;
  /** What the owner makes by a POST; its id. */
  create(url: string, payload: object): Promise<string>;
}

export async function makeWorld(test: TestApp): Promise<World> {
  const { rt } = test;
  const marked = (what: string) => ({ name: `${CANARY} ${what}` });
  const owner = await aUser(rt, { ...marked('owner'), workspaceName: `${CANARY} workspace` });
  const id = owner.workspace.id;
  // Every line makes rows of its own.
  await onPlan(rt, id, 'enterprise');
  const join = async (role: Role): Promise<TestUser> => {
    const person = await aUser(rt, marked(role));
    await aMember(rt, id, person.user.id, role);
    return person;
  };
  const people = { owner, admin: await join('admin'), member: await join('member'), viewer: await join('viewer') };
  const world: World = {
    id,
    people,
    join,
    async job() {
      const payload = { text: `${CANARY} job` };
      const request = { method: 'POST', url: '/api/ai/sentiment', headers: owner.headers, payload } as const;
      return (await test.app.inject(request)).json().jobId;
    },
    async endedJob() {
      const jobId = await world.job();
      await test.app.inject({ method: 'POST', url: `/api/jobs/${jobId}/cancel`, headers: owner.headers });
      return jobId;
    },
    async analyticsExport() {
      const request = { method: 'POST', url: '/api/analytics/export', headers: owner.headers } as const;
      return (await test.app.inject({ ...request, payload: { report: 'calls' } })).json().id;
    },
    async contactImport() {
      const headers = { ...owner.headers, 'content-type': 'text/csv' };
      const payload = `nome,telefone\n${CANARY},11987654321\n`;
      return (await test.app.inject({ method: 'POST', url: '/api/imports', headers, payload })).json().id;
    },
    async apiKey(scopes) {
      const keyId = randomUUID();
      const { text, prefix, secretHash } = makeApiKey(id, keyId);
      const fields = {
        ...marked('key'),
        workspace: id,
        id: keyId,
        prefix,
        secretHash,
        scopes,
        createdBy: owner.user.id,
      };
      await inWorkspaceTx(rt.orm, { workspaceId: id }, (em) => em.insert(ApiKey, fields));
      return { id: keyId, secret: text };
    },
    async message() {
      const chat = { waId: '5511987654321' };
      const one = {
        clientId: randomUUID(),
        chat,
        direction: 'inbound',
        body: CANARY,
        sentAt: new Date().toISOString(),
      };
      const payload = { channel: { externalId: '5511900000000' }, messages: [one] };
      const request = { method: 'POST', url: '/api/messages/sync', headers: owner.headers, payload } as const;
      const [{ messageId }] = (await test.app.inject(request)).json().results;
      return (await test.app.inject({ url: `/api/messages/${messageId}`, headers: owner.headers })).json();
    },
    async create(url, payload) {
      const made = await test.app.inject({ method: 'POST', url, headers: owner.headers, payload });
      return made.json().id;
    },
    async invoice() {
      const request = { method: 'POST', url: '/api/billing/checkout', headers: owner.headers } as const;
      return (await test.app.inject({ ...request, payload: { plan: 'starter' } })).json().invoiceId;
    },
    async pipeline() {
      const { rows } = await rt.systemPool.query<{ id: string; stageId: string }>(
        `select pipeline_id as id, s.id as "stageId" from pipeline_stage s join pipeline p on p.workspace_id = s.workspace_id
          and p.id = s.pipeline_id where p.is_default and p.workspace_id = $1 order by s.position limit 1`,
        [id],
      );
      return rows[0] ?? { id: '', stageId: '' };
    },
    async deal(isDeleted = false) {
      const contact = { id: newId(), ...marked('contact') };
      await rt.systemPool.query('insert into contact (workspace_id, id, name) values ($1, $2, $3)', [
        id,
        contact.id,
        contact.name,
      ]);
      const dealId = await world.create('/api/deals', { title: `${CANARY} deal`, contactId: contact.id });
      const request = { method: 'DELETE', url: `/api/deals/${dealId}`, headers: owner.headers } as const;
      if (isDeleted) await test.app.inject(request);
      return dealId;
    },
    async invite() {
      const inviteId = randomUUID();
      const email = `${CANARY}-${inviteId}@example.com`.toLowerCase();
      const expiresAt = new Date(Date.now() + 60_000);
      const fields = {
        email,
        role: 'viewer' as const,
        tokenHash: Buffer.alloc(32),
        expiresAt,
        invitedBy: owner.user.id,
      };
      await inWorkspaceTx(rt.orm, { workspaceId: id }, (em) =>
        em.insert(Invite, { ...fields, workspace: id, id: inviteId }),
      );
      return inviteId;
    },
    async reminder() {
      const payload = { title: `${CANARY} reminder`, remindAt: new Date(Date.now() + 3_600_000).toISOString() };
      const request = { method: 'POST', url: '/api/reminders', headers: owner.headers, payload } as const;
      return (await test.app.inject(request)).json().id;
    },
    async notification() {
      const { rows } = await rt.systemPool.query<{ id: string }>(
        `insert into notification (workspace_id, id, user_id, kind, data, source_id)
         values ($1, uuidv7(), $2, $3, '{}', uuidv7()) returning id`,
        [id, owner.user.id, `${CANARY} kind`],
      );
      return rows[0]?.id ?? '';
    },
    async webhook() {
      const webhook = { id: newId(), deliveryId: '' };
      const key = { workspaceId: id, id: webhook.id };
      const secrets = await sealSecrets(rt.vault, id, webhook.id, { current: makeSecret(false), previous: null });
      await inWorkspaceTx(rt.orm, { workspaceId: id }, async (em) => {
        await insertWebhook(em, {
          ...key,
          ...marked('webhook'),
          url: `https://example.com/${CANARY}`,
          events: ['*'],
          isOrdered: false,
          isAsymmetric: false,
          payloadVersion: newestVersion(),
          publicKey: null,
          secrets,
        });
        const data = { webhookId: webhook.id };
        const event = { type: 'webhook.test', data, subjectId: null, actorId: null } as const;
        webhook.deliveryId = await insertTest(em, key, await emitEvent(em, event), event.type);
      });
      return webhook;
    },
  };
  const rest = [world.reminder(), world.notification(), world.webhook()];
  await Promise.all([world.job(), world.deal(), world.invite(), world.apiKey(['*']), ...rest]);
  const settings = { 'ai.tone': 'friendly' };
  await test.app.inject({ method: 'PATCH', url: '/api/settings/workspace', headers: owner.headers, payload: settings });
  return world;
}

/**
 * What makes a digest of every row of a workspace, in every table that has such rows, but for the notes the platform makes by itself.
 * It is one statement over all tables, whose plan costs more than its run: prepared, each connection plans it once.
 */
export async function createDigest({ rt }: TestApp, workspaceId: string): Promise<() => Promise<string>> {
  const tables = await rt.systemPool.query<{ name: string }>(
    `select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'workspace_id'
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'session' order by 1`,
  );
  // Whatever is written gives a row a later transaction, whatever is deleted leaves one less. Jobs alone are changed by the platform meanwhile.
  const parts = tables.rows.map(({ name }) =>
    name === 'job'
      ? `select 'job' as t, md5(coalesce(string_agg(t, '|' order by t), '')) as d
          from (select (to_jsonb(x) - 'dispatched_at')::text as t from job x where workspace_id = $1) y`
      : `select '${name}' as t, count(*) || ' ' || coalesce(max(xmin::text::bigint), 0) as d from ${name}
          where workspace_id = $1`,
  );
  const own = `select 'workspace', md5(x::text) from workspace x where id = $1`;
  const statement = { name: 'digest', text: [...parts, own].join(' union all '), values: [workspaceId] };
  return async () => JSON.stringify((await rt.systemPool.query(statement)).rows);
}
