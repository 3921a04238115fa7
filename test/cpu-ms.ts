/** Milliseconds of processor that work took: unlike those that passed, they hardly depend on what else runs on the machine. */
export function cpuMs(work: () => unknown): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
