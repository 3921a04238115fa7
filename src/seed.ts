import { Client } from 'pg';
import type { Config } from '#src/config.ts';
import { ConfigError } from '#src/config.ts';
import { asRole } from '#src/db/tenant.ts';
import { AppError } from '#src/errors.ts';
import { createPasswords } from '#src/lib/password.ts';
import { findDemo, replacePassword } from '#src/seed.query.ts';

const DEMO_NAME = 'Demo';
const DEMO_WORKSPACE = 'Loja Demo';

/** What a script needs to know about the demo account. */
export interface Demo {
  email: string;
  workspaceId: string;
}

/**
 * Makes the demo account of `DEMO_EMAIL` and `DEMO_PASSWORD` with a workspace, once; when the password in the environment has changed,
 * gives the account the new one and ends its sessions. Running it again, or twice at once, changes nothing.
 * @throws ConfigError when one of the two variables is missing
 */
export async function seed(config: Config): Promise<Demo> {
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
    return { email, workspaceId: demo.workspaceId };
  } finally {
    await client.end();
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
