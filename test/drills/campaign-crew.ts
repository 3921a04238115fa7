import { join } from 'node:path';
import type { CampaignPlan } from '#test/drills/campaign-field.ts';
import type { DeathPoint } from '#test/drills/mortal-worker.ts';
import type { Slot } from '#test/drills/webhook-crew.ts';
import type { Random } from '#test/fuzz/random.ts';
import type { Installation, Running } from '#test/processes.ts';

export interface CampaignCrew {
  api: Slot;
  workers: Slot[];
  controls: Slot[];
  /** A line with the process and where it ended for each worker that ended by itself. */
  deathsFile: string;
  /** Kills one, and starts another in its place. */
  replace(slots: readonly Slot[]): Promise<void>;
  /** Starts nobody any more; resolves when all that were being started are there. */
  rest(): Promise<void>;
  /** Of those that ended and should not have. @param deaths the processes that were to */
  crashes(deaths: ReadonlySet<number>): string[];
}

const POINTS: readonly DeathPoint[] = ['claim', 'begin', 'call', 'ack'];

/** An API, some that lead or stand by, and workers of campaigns that end behind steps of theirs and are replaced. */
export async function openCampaignCrew(
  installation: Installation,
  plan: Pick<CampaignPlan, 'workers' | 'controls' | 'deaths'>,
  random: Random,
  port: number,
): Promise<CampaignCrew> {
  const everStarted: Running[] = [];
  const starting = new Set<Promise<unknown>>();
  const deathsFile = join(installation.env['MAIL_DIR'] ?? '', 'deaths');
  let planned = 0;
  let isResting = false;
  const track = async (start: () => Promise<Running>): Promise<Running> => {
    const running = await start();
    everStarted.push(running);
    return running;
  };
  const startMortal = (): Promise<Running> => {
    const point = planned < plan.deaths ? POINTS[planned % POINTS.length] : undefined;
    planned += 1;
    const death = point === undefined ? '' : `${point} ${1 + random.int(6)}`;
    return installation.startWorkerAs('test/drills/mortal-worker.ts', 'campaigns', {
      DRILL_DEATH: death,
      DRILL_DEATHS_FILE: deathsFile,
    });
  };
  const fill = async (start: () => Promise<Running>): Promise<Slot> => {
    const tracked = () => track(start);
    return { start: tracked, running: await tracked() };
  };
  /** Whoever ends by itself has another in its place. */
  const keep = (slot: Slot): void => {
    const { running } = slot;
    const follow = async (): Promise<void> => {
      await running.exited;
      if (isResting || slot.running !== running || running.crash() === null) return;
      const work = slot.start();
      starting.add(work);
      slot.running = await work.finally(() => starting.delete(work));
      keep(slot);
    };
    void follow();
  };
  const [api, controls, workers] = await Promise.all([
    fill(() => installation.startApi(port)),
    Promise.all(Array.from({ length: plan.controls }, () => fill(() => installation.startControl()))),
    Promise.all(Array.from({ length: plan.workers }, () => fill(startMortal))),
  ]);
  for (const slot of workers) keep(slot);
  return {
    api,
    workers,
    controls,
    deathsFile,
    async replace(slots) {
      await Promise.all(slots.map((slot) => slot.running.kill('SIGKILL')));
      await Promise.all(slots.map(async (slot) => void (slot.running = await slot.start())));
      for (const slot of slots) if (workers.includes(slot)) keep(slot);
    },
    async rest() {
      isResting = true;
      await Promise.allSettled(starting);
    },
    crashes: (deaths) => everStarted.flatMap((running) => (deaths.has(running.pid) ? [] : (running.crash() ?? []))),
  };
}
