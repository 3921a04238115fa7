import type { EntityManager } from '@mikro-orm/postgresql';
import { generateKeyBetween, generateNKeysBetween } from 'fractional-indexing';

/** Longer keys are made anew together with their neighbours. */
const MAX_KEY_LENGTH = 50;
/** Keys made anew leave this much to grow. */
const SPACED_KEY_LENGTH = 20;
const FIRST_REACH = 64;

const OF_STAGE = 'workspace_id = current_workspace() and stage_id = ?::uuid';

/** Where in a stage: behind a deal of it, first (`null`) or last (`undefined`). */
export type After = string | null | undefined;

/**
 * The key of a place in a stage, whose pipeline is locked. Fractional indexing as D. Greenspan describes it: there is a key between any
 * two, and only the moved row is written. Keys grow where people insert at one place again and again; before they are long, those around are
 * spaced out.
 * @param movedId the deal that goes there: it is no neighbour of itself
 * @returns undefined where `after` is no deal of the stage
 */
export function keyAt(em: EntityManager, stageId: string, movedId: string, after: undefined): Promise<string>;
export function keyAt(em: EntityManager, stageId: string, movedId: string, after: After): Promise<string | undefined>;
export async function keyAt(
  em: EntityManager,
  stageId: string,
  movedId: string,
  after: After,
): Promise<string | undefined> {
  for (;;) {
    const [low, high] = (await neighbours(em, stageId, movedId, after)) ?? [];
    if (low === undefined || high === undefined) return undefined;
    const key = generateKeyBetween(low, high);
    if (key.length <= MAX_KEY_LENGTH) return key;
    await spaceOut(em, stageId, key);
  }
}

async function neighbours(
  em: EntityManager,
  stageId: string,
  movedId: string,
  after: After,
): Promise<[string | null, string | null] | undefined> {
  if (after === undefined) {
    const [last] = await em.execute<{ position: string }[]>(
      `select position from deal where ${OF_STAGE} and position is not null and id <> ?::uuid order by position desc limit 1`,
      [stageId, movedId],
    );
    return [last?.position ?? null, null];
  }
  const low = after === null ? null : await positionOf(em, stageId, after);
  if (low === undefined) return undefined;
  const [next] = await em.execute<{ position: string }[]>(
    `select position from deal where ${OF_STAGE} and position > ? and id <> ?::uuid order by position limit 1`,
    [stageId, low ?? '', movedId],
  );
  return [low, next?.position ?? null];
}

async function positionOf(em: EntityManager, stageId: string, id: string): Promise<string | undefined> {
  const sql = `select position from deal where ${OF_STAGE} and id = ?::uuid and position is not null`;
  return (await em.execute<{ position: string }[]>(sql, [stageId, id]))[0]?.position;
}

/** Gives the deals around a key, as many as it takes, keys that are short again; their order stays. */
async function spaceOut(em: EntityManager, stageId: string, key: string): Promise<void> {
  for (let reach = FIRST_REACH; ; reach *= 4) {
    const around = (direction: '<' | '>') =>
      em.execute<{ id: string; position: string }[]>(
        `select id, position from deal where ${OF_STAGE} and position ${direction} ?
          order by position ${direction === '<' ? 'desc' : 'asc'} limit ?`,
        [stageId, key, reach + 1],
      );
    const [before, behind] = [await around('<'), await around('>')];
    const low = before[reach]?.position ?? null;
    const high = behind[reach]?.position ?? null;
    const rows = [...before.slice(0, reach).toReversed(), ...behind.slice(0, reach)];
    const keys = generateNKeysBetween(low, high, rows.length);
    const isWhole = low === null && high === null;
    if (!isWhole && keys.some(({ length }) => length > SPACED_KEY_LENGTH)) continue;
    await em.execute(
      `update deal d set position = t.position from json_to_recordset(?::json) as t (id uuid, position text)
        where d.workspace_id = current_workspace() and d.id = t.id`,
      [JSON.stringify(rows.map(({ id }, at) => ({ id, position: keys[at] })))],
    );
    return;
  }
}
