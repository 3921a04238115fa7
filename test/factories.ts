import { randomBytes } from 'node:crypto';
import type { Auth, Plan, Role } from '#src/http/access-token.ts';
import type { PlanOverride } from '#src/modules/billing/plans.ts';
import type { RegisterBody, SignedInView } from '#src/modules/auth/auth.schemas.ts';
import type { Runtime } from '#src/runtime.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { newId } from '#src/lib/ids.ts';
import type { NewJob } from '#src/modules/jobs/accept.query.ts';
import type { UsageCall } from '#src/modules/jobs/finish.query.ts';
import { register } from '#src/modules/auth/auth.service.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';

/** Of everybody for whom a test chooses no other. Hashes are made to be dear, and most tests need users and not their passwords. */
const PASSWORD = 'what all of them know';
let hashed: Promise<string> | undefined;

const DEVICE = { userAgent: 'test', ip: '127.0.0.1' };

export interface TestUser extends SignedInView {
  email: string;
  password: string;
  /** The headers of a request this user makes. */
  headers: { authorization: string };
  auth: Auth;
}

/** A registered and signed-in user who owns a workspace, made by the real service; the password that all share is hashed once a process. */
export async function aUser(rt: Runtime, overrides: Partial<RegisterBody> = {}): Promise<TestUser> {
  const unique = randomBytes(6).toString('hex');
  const body = { email: `user-${unique}@example.com`, password: PASSWORD, name: 'Ana Lima', ...overrides };
  const { passwords } = rt;
  const hash = (password: string) =>
    password === PASSWORD ? (hashed ??= passwords.hash(password)) : passwords.hash(password);
  const signedIn = await register({ ...rt, passwords: { ...passwords, hash } }, body, DEVICE);
  return {
    ...signedIn,
    email: body.email,
    password: body.password,
    headers: { authorization: `Bearer ${signedIn.token}` },
    auth: await rt.accessTokens.verify(signedIn.token),
  };
}

/** Gives a workspace a plan for good, as a licence does; what a licence has otherwise is `override`. */
export async function onPlan(
  rt: Pick<Runtime, 'systemPool'>,
  workspaceId: string,
  plan: Plan,
  override: PlanOverride | null = null,
): Promise<void> {
  await rt.systemPool.query(
    `with said as (update workspace set plan = $2, plan_override = $3 where id = $1)
      insert into plan_claim (workspace_id, source, plan, override) values ($1, 'license', $2, $3)
        on conflict (workspace_id, source) do update set plan = excluded.plan, override = excluded.override`,
    [workspaceId, plan, override && JSON.stringify(override)],
  );
}

/** A new member of a workspace whom some permissions are denied, as requests of that workspace name them. */
export async function aDeniedMember(rt: Runtime, workspaceId: string, denies: readonly string[]): Promise<TestUser> {
  const person = await aUser(rt);
  await aMember(rt, workspaceId, person.user.id, 'admin');
  await rt.systemPool.query('update member set denies = $1 where workspace_id = $2 and user_id = $3', [
    denies,
    workspaceId,
    person.user.id,
  ]);
  const headers = { ...person.headers, 'x-workspace-id': workspaceId };
  return { ...person, headers };
}

/** Makes a user a member of somebody's workspace. */
export async function aMember(rt: Runtime, workspaceId: string, userId: string, role: Role): Promise<void> {
  await inWorkspaceTx(rt.orm, { workspaceId }, (em) =>
    em.insert(Member, { workspace: workspaceId, user: userId, role }),
  );
}

/** A job as it is accepted. @param hold micro-credits, a credit where no other are named */
export const aJob = (user: TestUser, hold = 1_000_000, userId = user.user.id): NewJob => ({
  workspaceId: user.workspace.id,
  id: newId(),
  userId,
  queue: 'ai-inference',
  engine: 'chat',
  band: 'normal',
  input: {},
  options: {},
  requestId: 'request',
  maxAttempts: 3,
  hold,
  idempotency: null,
});

/** A call of a provider as a handler tells of it; it cost 400 micro-credits. */
export const aCall = (provider: string, outcome: UsageCall['outcome'], failure: string | null = null): UsageCall => ({
  call_no: 1,
  strategy: 'failover',
  provider,
  model: 'm',
  key_owner: 'installation',
  outcome,
  failure,
  fallback_from: null,
  input_tokens: 1,
  cached_input_tokens: 0,
  cache_write_tokens: 0,
  output_tokens: 1,
  reasoning_tokens: 0,
  is_estimated: true,
  is_paid: false,
  cost_nano: 400,
  price_version: 'v',
  latency_ms: 1,
  ttft_ms: 1,
  started_at_ms: Date.now(),
});
