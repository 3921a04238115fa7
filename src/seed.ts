import { Client } from 'pg';
import type { Config } from '#src/config.ts';
import { ConfigError } from '#src/config.ts';
import { asRole } from '#src/db/tenant.ts';
import { AppError } from '#src/errors.ts';
import { readApiKey } from '#src/http/api-key-text.ts';
import { createPasswords } from '#src/lib/password.ts';
import { awaitsLicense, findDemo, findOpenKeys, isKeyOpen, replacePassword } from '#src/seed.query.ts';

const DEMO_NAME = 'Demo';
const DEMO_WORKSPACE = 'Loja Demo';
const DEMO_KEY = 'Demo (npm start)';

/** What a script needs to know about the demo account. */
export interface Demo {
  email: string;
  workspaceId: string;
  /** A key that works, when one was asked for; null when the workspace has no room for one. */
  apiKey?: string | null;
}

/**
 * Makes the demo account of `DEMO_EMAIL` and `DEMO_PASSWORD` with a workspace, once; when the password in the environment has changed,
 * gives the account the new one and ends its sessions. Its workspace gets a licence for everything, once. Running it again, or twice at once, changes nothing.
 * @param withKey also answers an API key of the workspace: `DEMO_API_KEY` while it works, else a new one, and the last ends
 * @throws ConfigError when one of the two variables is missing
 */
export async function seed(config: Config, withKey = false): Promise<Demo> {
  const { DEMO_EMAIL: email, DEMO_PASSWORD: password } = config;
  if (!email || !password) throw new ConfigError('--seed needs DEMO_EMAIL and DEMO_PASSWORD.');
  const client = new Client({
    connectionString: config.DATABASE_URL,
    application_name: 'whatshybrid-migrate',
    options: asRole('wh_system'),
  });
  await client.connect();
  try {
    let demo = await findDemo(client, email);
    if (!demo) {
      await createDemo(config, email, password);
      demo = await findDemo(client, email);
    }
    if (!demo) throw new Error(`The account ${email} is in no workspace.`);
    const passwords = createPasswords();
    if (!(await passwords.verify(demo.passwordHash, password)).ok) {
      await replacePassword(client, demo.userId, await passwords.hash(password));
    }
    const { workspaceId } = demo;
    // Let go of when the client ends.
    if (await awaitsLicense(client, workspaceId)) await licenseDemo(config, demo);
    if (!withKey) return { email, workspaceId };
    return { email, workspaceId, apiKey: await demoKey(client, config, demo) };
  } finally {
    await client.end();
  }
}

/** @returns the kept key or a new one; its text is nowhere to be had again, so whoever asks has to keep it */
async function demoKey(
  client: Client,
  config: Config,
  { userId, workspaceId }: { userId: string; workspaceId: string },
): Promise<string | null> {
  const { DEMO_API_KEY: kept } = config;
  const presented = kept === undefined ? undefined : readApiKey(kept);
  if (kept && presented?.workspaceId === workspaceId && (await isKeyOpen(client, presented))) return kept;
  const [{ createApiKey, revokeApiKey }, { SYSTEM }, { openRuntime }] = await Promise.all([
    import('#src/modules/api-keys/api-keys.service.ts'),
    import('#src/modules/audit/audit.ts'),
    import('#src/runtime.ts'),
  ]);
  const rt = await openRuntime(config, 'migrate');
  try {
    const auth = { workspaceId, userId };
    for (const id of await findOpenKeys(client, { workspaceId, name: DEMO_KEY })) {
      await revokeApiKey(rt.orm, auth, SYSTEM, id);
    }
    return (await createApiKey(rt.orm, auth, SYSTEM, { name: DEMO_KEY, scopes: ['*'] })).secret;
  } catch (error) {
    if (error instanceof AppError && error.code === 'plan_limit') return null;
    throw error;
  } finally {
    await rt.close();
  }
}

/** The demo workspace is there to try everything in: it gets a licence as any other does. */
async function licenseDemo(config: Config, auth: { userId: string; workspaceId: string }): Promise<void> {
  const [{ activateLicense, makeLicenses }, { SYSTEM }, { openRuntime }] = await Promise.all([
    import('#src/modules/billing/licenses.service.ts'),
    import('#src/modules/audit/audit.ts'),
    import('#src/runtime.ts'),
  ]);
  const rt = await openRuntime(config, 'migrate');
  try {
    const { licenses } = await makeLicenses(rt, SYSTEM, { plan: 'enterprise', count: 1 });
    for (const { key } of licenses) await activateLicense(rt, auth, SYSTEM, { key, replace: false });
  } finally {
    await rt.close();
  }
}

async function createDemo(config: Config, email: string, password: string): Promise<void> {
  // Loaded only for the first start: the services bring the ORM, which takes a third of a second.
  const [{ createUser }, { openRuntime }] = await Promise.all([
    import('#src/modules/auth/auth.service.ts'),
    import('#src/runtime.ts'),
  ]);
  const rt = await openRuntime(config, 'migrate');
  try {
    await createUser(rt, { email, password, name: DEMO_NAME, workspaceName: DEMO_WORKSPACE }, true);
  } catch (error) {
    // Another run of the seed was faster.
    if (!(error instanceof AppError && error.code === 'email_taken')) throw error;
  } finally {
    await rt.close();
  }
}
