import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import type { Config } from '#src/config.ts';
import { AppError } from '#src/errors.ts';
import {
  blindIndex,
  open,
  seal,
  unwrapKey,
  versionOf,
  wrapKey,
  type IndexedKind,
  type Place,
} from '#src/lib/envelope.ts';
import { deriveKey } from '#src/lib/secrets.ts';
import { destroyKeys, findKeys, insertKeys, type KeyRow } from '#src/modules/vault/keys.query.ts';

/** So long may a process go on with keys that another has destroyed or replaced. */
const KEPT_MS = 60_000;
const MAX_KEPT = 5000;
/** The version that look-ups are made with; it stays when the others change, or nothing would be found any more. */
const INDEX_VERSION = 0;

/** The key in which workspaces' keys are wrapped: the current one first, then those that old ones may still be wrapped in. */
export interface Keks {
  currentId: string;
  byId: Map<string, Buffer>;
}

/** @returns the keys of `ENCRYPTION_KEYS`, or one from APP_SECRET, which stays readable when others come before it */
export function readKeks(config: Pick<Config, 'ENCRYPTION_KEYS' | 'APP_SECRET'>): Keks {
  const own = { id: 'app', secretBase64: config.APP_SECRET };
  const all = [...config.ENCRYPTION_KEYS, own];
  const byId = new Map(all.map(({ id, secretBase64 }) => [id, deriveKey(secretBase64, `key-encryption.${id}`, 32)]));
  return { currentId: (all[0] ?? own).id, byId };
}

export const keyName = (workspaceId: string, version: number): string => `workspace_key|${workspaceId}|${version}`;

/** Unwraps a key's row. @throws when it was wrapped in a key that is not configured */
export function unwrapRow(keks: Keks, row: KeyRow & { wrapped: Buffer }): Buffer {
  const kek = keks.byId.get(row.kek_id);
  if (!kek) throw new Error(`The key "${row.kek_id}" is not in ENCRYPTION_KEYS`);
  return unwrapKey(kek, keyName(row.workspace_id, row.version), row.wrapped);
}

interface Keys {
  current: number;
  byVersion: Map<number, Buffer>;
}

export interface Vault {
  /** @returns the text sealed with the workspace's current key. @throws AppError 410 `erased` once the keys were destroyed */
  seal(place: Place, text: string): Promise<Buffer>;
  /** @throws AppError 410 `erased`; an Error for bytes that were changed or moved */
  open(place: Place, sealed: Uint8Array): Promise<string>;
  /** The code to find a sealed e-mail address or phone by. @throws AppError 410, TypeError for a phone that is not E.164 */
  index(
    workspaceId: string,
    column: Pick<Place, 'table' | 'column'>,
    kind: IndexedKind,
    value: string,
  ): Promise<Buffer>;
  /** Makes the workspace's next key; the `control` process then seals anew what is sealed with older ones. */
  rotate(workspaceId: string): Promise<number>;
  /** Destroys the workspace's keys: what they sealed can never be opened again. In other processes within a minute. */
  destroy(workspaceId: string): Promise<void>;
}

const erased = () => new AppError(410, 'erased', 'The data of this workspace was erased.');

/** Opens the vault over a pool; keys are made when they are first needed. */
export function createVault(pool: Pool, config: Pick<Config, 'ENCRYPTION_KEYS' | 'APP_SECRET'>): Vault {
  const keks = readKeks(config);
  const kept = new Map<string, { keys: Promise<Keys>; goodUntil: number }>();

  const newRow = (workspaceId: string, version: number) => {
    const kek = keks.byId.get(keks.currentId);
    if (!kek) throw new Error('There is no key to wrap with');
    const wrapped = wrapKey(kek, keyName(workspaceId, version), randomBytes(32));
    return { version, kek_id: keks.currentId, wrapped };
  };

  const load = async (workspaceId: string): Promise<Keys> => {
    let rows = await findKeys(pool, workspaceId);
    if (rows.length === 0) {
      await insertKeys(pool, workspaceId, [newRow(workspaceId, INDEX_VERSION), newRow(workspaceId, 1)]);
      rows = await findKeys(pool, workspaceId);
    }
    const byVersion = new Map<number, Buffer>();
    for (const row of rows) {
      if (row.wrapped) byVersion.set(row.version, unwrapRow(keks, { ...row, wrapped: row.wrapped }));
    }
    if (byVersion.size === 0) throw erased();
    return { current: Math.max(...byVersion.keys()), byVersion };
  };

  const keysOf = (workspaceId: string): Promise<Keys> => {
    const now = performance.now();
    const known = kept.get(workspaceId);
    if (known && known.goodUntil > now) return known.keys;
    kept.delete(workspaceId);
    const keys = load(workspaceId);
    keys.catch(() => kept.delete(workspaceId));
    if (kept.size >= MAX_KEPT) for (const oldest of kept.keys()) if (kept.delete(oldest)) break;
    kept.set(workspaceId, { keys, goodUntil: now + KEPT_MS });
    return keys;
  };

  const keyOf = async (workspaceId: string, version: number): Promise<Buffer> => {
    const known = (await keysOf(workspaceId)).byVersion.get(version);
    if (known) return known;
    // Another process has rotated since.
    kept.delete(workspaceId);
    const key = (await keysOf(workspaceId)).byVersion.get(version);
    if (!key) throw new Error(`The workspace has no key of version ${version}`);
    return key;
  };

  return {
    async seal(place, text) {
      const { current, byVersion } = await keysOf(place.workspaceId);
      const key = byVersion.get(current);
      if (!key) throw erased();
      return seal(key, current, place, text);
    },
    async open(place, sealed) {
      return open(await keyOf(place.workspaceId, versionOf(sealed)), place, sealed);
    },
    async index(workspaceId, column, kind, value) {
      return blindIndex(await keyOf(workspaceId, INDEX_VERSION), column, kind, value);
    },
    async rotate(workspaceId) {
      kept.delete(workspaceId);
      const version = (await keysOf(workspaceId)).current + 1;
      await insertKeys(pool, workspaceId, [newRow(workspaceId, version)]);
      kept.delete(workspaceId);
      return version;
    },
    async destroy(workspaceId) {
      await destroyKeys(pool, workspaceId);
      kept.delete(workspaceId);
    },
  };
}
