import { analytics } from '#queues/analytics.ts';
import { openPool } from '#src/db/pool.ts';
import { runExport } from '#src/modules/analytics/exports.ts';
import { tendPartitions } from '#src/modules/analytics/partitions.ts';
import { rollUpAll } from '#src/modules/analytics/rollup.ts';
import { INSTALLATION } from '#src/modules/analytics/schedule.ts';
import type { Run } from '#workers/pool.ts';
import type { WorkerRuntime } from '#workers/runtime.ts';

export const contract = analytics;

/** Figures, exports and partitions. What is due again, `control` hands out again. */
export async function createRun(rt: WorkerRuntime): Promise<Run> {
  const { config, log, pool } = rt;
  const keepMonths = config.AI_USAGE_KEEP_MONTHS;
  const tend = async (): Promise<void> => {
    const systemPool = openPool(config, { name: 'analytics-partitions', role: 'wh_system', max: 1 }, log);
    try {
      await tendPartitions({ pool: systemPool, keepMonths, log }, new Date());
    } catch (error) {
      log.warn({ err: error }, 'The partitions are tended again in a while');
    } finally {
      await systemPool.end();
    }
  };
  return async ({ workspaceId, jobId }) => {
    if (jobId === INSTALLATION) await tend();
    else if (jobId === workspaceId) await rollUpAll({ pool, keepMonths, log }, workspaceId);
    else await runExport({ pool, log }, workspaceId, jobId);
    return null;
  };
}
