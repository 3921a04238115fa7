import { createHmac, timingSafeEqual } from 'node:crypto';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Config } from '#src/config.ts';
import type { Orm } from '#src/db/orm.ts';
import { deriveKey } from '#src/lib/secrets.ts';

/** Where a chain stands: its last entry's number and hash, in hex; `mac` is the code kept of it, null when there is none. */
export interface Head {
  seq: number;
  hash: string;
  mac: string | null;
}

/** Codes (HMAC-SHA-256, in hex) under a key that is derived from `APP_SECRET`: whoever has the database alone cannot make them. */
export interface Anchor {
  /** Tells the codes of one key from those of another; says nothing of the key. */
  keyId: string;
  /** The code of an entry. */
  entryMac(workspaceId: string, seq: number, hash: string): string;
  /** The code of a chain that ends in this entry: another one, or a cut chain could end in the code of any entry. */
  headMac(workspaceId: string, seq: number, hash: string): string;
}

export function createAnchor({ APP_SECRET }: Pick<Config, 'APP_SECRET'>): Anchor {
  const key = deriveKey(APP_SECRET, 'audit-anchor.v1', 32);
  const mac = (...parts: (string | number)[]) => createHmac('sha256', key).update(JSON.stringify(parts)).digest('hex');
  return {
    keyId: mac('key').slice(0, 16),
    entryMac: (workspaceId, seq, hash) => mac('entry', workspaceId, seq, hash),
    headMac: (workspaceId, seq, hash) => mac('head', workspaceId, seq, hash),
  };
}

/** Whether the code is there and right. */
export const isMac = (found: string | null | undefined, right: string): boolean =>
  typeof found === 'string' && found.length === right.length && timingSafeEqual(Buffer.from(found), Buffer.from(right));

/** Whether a chain ends as we left it. One that is empty has nothing to vouch for. */
export const isOurHead = (anchor: Anchor, workspaceId: string, { seq, hash, mac }: Head): boolean =>
  seq === 0 || isMac(mac, anchor.headMac(workspaceId, seq, hash));

/** By the ORM whose transactions append; entity managers of one ORM share its configuration. */
const anchors = new WeakMap<object, Anchor>();

/** Gives the transactions of an ORM the key their audit entries are anchored with. */
export const anchorWith = (orm: Orm, anchor: Anchor): void => void anchors.set(orm.config, anchor);

/** @throws when its ORM was given none: an entry that nothing vouches for must not be written */
export function anchorOf(em: EntityManager): Anchor {
  const anchor = anchors.get(em.config);
  if (!anchor) throw new Error('This ORM has no key for the audit log');
  return anchor;
}
