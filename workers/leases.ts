import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Pool } from 'pg';
import type { Metrics } from '#src/lib/metrics.ts';
import { renewLeases } from '#src/modules/jobs/claim.query.ts';
import { Control, controlChannel } from '#src/streams/frame.ts';
import type { StreamWriter } from '#src/streams/writer.ts';
import { Stop, type StopReason } from '#workers/stop.ts';

/** An attempt this process runs. */
export interface Running {
  workspaceId: string;
  id: string;
  leaseToken: string;
  controller: AbortController;
  writer: StreamWriter;
}

/** Keeps the leases of this process's attempts, and hears cancels for them. */
export interface Leases {
  hold(running: Running): void;
  release(running: Running): void;
  /** Stops all attempts, and those that are yet to come. */
  stopAll(reason: StopReason): void;
  close(): void;
}

export interface LeasesOptions {
  pool: Pool;
  /** In subscriber mode, these leases' own. */
  subscriber: Redis;
  prefix: string;
  leaseMs: number;
  log: Logger;
  metrics: Metrics;
}

/** What a process of another version says may be unknown here; it must not end this one. */
function readControl(message: string): Control | null {
  try {
    return Control.parse(JSON.parse(message));
  } catch {
    return null;
  }
}

/**
 * Renews all leases in one statement three times a lease. The statement also brings cancels whose message was missed; an
 * attempt whose lease is gone is stopped, because another worker runs the job now.
 */
export function createLeases(options: LeasesOptions): Leases {
  const { pool, subscriber, prefix, leaseMs, log, metrics } = options;
  const byToken = new Map<string, Running>();
  let stopped: StopReason | null = null;

  const renew = async (): Promise<void> => {
    const held = [...byToken.values()];
    if (held.length === 0) return;
    const kept = await renewLeases(pool, held, leaseMs);
    for (const running of held) {
      if (!byToken.has(running.leaseToken)) continue;
      const isCancelRequested = kept.get(running.leaseToken);
      if (isCancelRequested) running.controller.abort(new Stop('cancelled'));
      if (isCancelRequested === undefined) {
        metrics.refusals.inc({ kind: 'renew' });
        running.controller.abort(new Stop('lease_lost'));
      }
    }
  };
  let isRenewing = false;
  const timer = setInterval(() => {
    if (isRenewing) return;
    isRenewing = true;
    renew()
      .catch((error: unknown) => log.warn({ err: error }, 'Leases could not be renewed'))
      .finally(() => (isRenewing = false));
  }, leaseMs / 3);

  const hear = (message: string): void => {
    const control = readControl(message);
    if (!control) return;
    for (const running of byToken.values()) {
      if (running.id !== control.jobId) continue;
      if (control.op === 'cancel') running.controller.abort(new Stop('cancelled'));
      else running.writer.resync();
    }
  };
  subscriber.on('message', (_channel: string, message: string) => hear(message));
  // Asked for at each connection: one that Redis refused while it was away is not repeated by the client library.
  const listen = () => void subscriber.subscribe(controlChannel(prefix)).catch(() => undefined);
  subscriber.on('ready', listen);
  if (subscriber.status === 'ready') listen();

  return {
    hold(running) {
      byToken.set(running.leaseToken, running);
      // Its claim was under way when the others were stopped.
      if (stopped) running.controller.abort(new Stop(stopped));
    },
    release: (running) => void byToken.delete(running.leaseToken),
    stopAll(reason) {
      stopped = reason;
      for (const running of byToken.values()) running.controller.abort(new Stop(reason));
    },
    close() {
      clearInterval(timer);
      subscriber.off('ready', listen);
    },
  };
}
