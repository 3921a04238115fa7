/** Who was turned away comes back after this, and up to as long again. */
const COME_BACK_MS = 1000;

/**
 * Shares a process's places among workspaces: each may have as many as are left free by all (dynamic thresholds, Choudhury and Hahne 1998).
 * One alone has half of them, and whoever comes next finds a place at once, however long the others' receivers take to answer.
 * @param places runs that the process makes at once
 * @returns makes a run, or, where its workspace has its share, none; then the milliseconds after which it wants to be handed out again
 */
export function createShare(places: number) {
  const runs = new Map<string, number>();
  let all = 0;
  const count = (workspaceId: string, change: 1 | -1): void => {
    const own = (runs.get(workspaceId) ?? 0) + change;
    all += change;
    if (own === 0) runs.delete(workspaceId);
    else runs.set(workspaceId, own);
  };
  return async (workspaceId: string, run: () => Promise<number | null>): Promise<number | null> => {
    if ((runs.get(workspaceId) ?? 0) >= Math.max(1, places - all))
      return Math.round(COME_BACK_MS * (1 + Math.random()));
    count(workspaceId, 1);
    try {
      return await run();
    } finally {
      count(workspaceId, -1);
    }
  };
}
