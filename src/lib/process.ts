import { flushCompileCache } from 'node:module';
import type { Logger } from 'pino';

const FORCE_AFTER_MS = 60_000;

/** Runs a process' entry point; what it throws is one clear block on stderr and exit code 1. `isKnown` errors need no stack. */
export function runMain(main: () => Promise<void>, isKnown: (error: unknown) => boolean): void {
  // What NODE_COMPILE_CACHE keeps is otherwise written at the end alone, and not by a process that is killed. It takes its time.
  flushCompileCache();
  main().catch((error: unknown) => {
    const isShort = isKnown(error) || !(error instanceof Error);
    process.stderr.write(`${isShort ? String(error instanceof Error ? error.message : error) : error.stack}\n`);
    process.exit(1);
  });
}

/**
 * Keeps the process until SIGTERM or SIGINT, then closes in order; exits 0, or 1 when closing failed or took longer than a
 * minute. A second signal exits at once.
 */
export async function runUntilSignal(log: Logger, close: () => Promise<void>): Promise<void> {
  const signal = await new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name));
  });
  log.info({ signal }, 'Closing');
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => process.exit(1));
  setTimeout(() => {
    log.error('Closing took too long');
    process.exit(1);
  }, FORCE_AFTER_MS).unref();
  try {
    await close();
    process.exit(0);
  } catch (error) {
    log.error({ err: error }, 'Closing failed');
    process.exit(1);
  }
}
