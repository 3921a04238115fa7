import { buildApp } from '#src/app.ts';
import { ConfigError, readConfig } from '#src/config.ts';
import { runMain, runUntilSignal } from '#src/lib/process.ts';
import { openRuntime } from '#src/runtime.ts';

/** Opens everything, listens, and closes in reverse on SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const config = readConfig();
  const rt = await openRuntime(config);
  const app = await buildApp(rt);
  const address = await app.listen({ host: config.HOST, port: config.PORT, listenTextResolver: () => 'Bound' });
  rt.log.info({ address }, 'Listening');
  await runUntilSignal(rt.log, async () => {
    await app.close();
    await rt.close();
  });
}

// A port in use is the operator's to mend, like a wrong variable: no stack.
const isKnown = (error: unknown) => error instanceof ConfigError || (error instanceof Error && 'syscall' in error);

runMain(main, isKnown);
