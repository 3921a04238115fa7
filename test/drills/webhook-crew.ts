import type { Installation, Running } from '#test/processes.ts';

/** A place where one process stands, and another after it has gone. */
export interface Slot {
  start: () => Promise<Running>;
  running: Running;
}
export interface Crew {
  workers: Slot[];
  controls: Slot[];
  everStarted: Running[];
}

/** Two that lead or stand by, and those of a pool that deliver. */
export async function openCrew(installation: Installation, workers: number, pool = 'webhooks'): Promise<Crew> {
  const everStarted: Running[] = [];
  const fill = async (start: () => Promise<Running>): Promise<Slot> => {
    const tracked = async () => {
      const running = await start();
      everStarted.push(running);
      return running;
    };
    return { start: tracked, running: await tracked() };
  };
  const [controls, delivering] = await Promise.all([
    Promise.all([0, 1].map(() => fill(() => installation.startControl()))),
    Promise.all(Array.from({ length: workers }, () => fill(() => installation.startWorker(pool)))),
  ]);
  return { workers: delivering, controls, everStarted };
}
