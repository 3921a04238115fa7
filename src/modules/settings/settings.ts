import type { EntityManager } from '@mikro-orm/postgresql';
import type { Config } from '#src/config.ts';
import { unclaimed } from '#src/db/claim.ts';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx, type Scope } from '#src/db/tenant.ts';
import { etagOf, mustMatch } from '#src/http/etag.ts';
import { sealText } from '#src/lib/sealed.ts';
import type { Vault } from '#src/modules/vault/vault.ts';
import { mustHaveFeature } from '#src/modules/billing/room.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import {
  readStored,
  valuesOf,
  type Definition,
  type SecretKey,
  type SettingScope,
  type ValuesOf,
} from '#src/modules/settings/registry.ts';
import { secretPlace } from '#src/modules/settings/secret-place.ts';
import {
  findSettings,
  lockSettings,
  putSetting,
  removeSetting,
  TABLES,
  type Owner,
  type SettingRow,
} from '#src/modules/settings/settings.query.ts';

/** The workspace that stands for the installation in the audit log; nobody is a member of it. */
export const INSTALLATION = '00000000-0000-0000-0000-000000000000';

/** How long another process may still read what was changed. */
const FRESH_MS = 1000;
const MAX_KEPT = 10_000;

/** Whose settings, and in which transaction they are seen and written down. */
export interface Place {
  owner: Owner;
  tx: Scope;
}

export const ofInstallation: Place = { owner: { scope: 'global', id: null }, tx: { workspaceId: INSTALLATION } };
export const ofWorkspaceId = (workspaceId: string): Place => ({
  owner: { scope: 'workspace', id: workspaceId },
  tx: { workspaceId },
});
/** A person's own; changes of them are written down in the workspace they work in. */
export const ofPerson = ({ userId, workspaceId }: { userId: string; workspaceId?: string }): Place => ({
  owner: { scope: 'user', id: userId },
  tx: { userId, workspaceId },
});

/** What clients see: each key's value, or for a secret whether and when it was set; and the ETag of it. */
export interface SettingsView {
  values: Record<string, unknown>;
  etag: string;
}

export type Patch = Record<string, unknown>;

export interface Settings {
  /** The installation's settings; at most a second old, as all that `read…` gives. */
  readGlobal(): Promise<ValuesOf<'global'>>;
  readWorkspace(workspaceId: string): Promise<ValuesOf<'workspace'>>;
  readUser(userId: string): Promise<ValuesOf<'user'>>;
  /** A workspace's secret in the clear, or null. For the call that needs it, never for an answer. */
  readSecret(workspaceId: string, key: SecretKey): Promise<string | null>;
  view(place: Place, shown: Map<string, Definition>): Promise<SettingsView>;
  /**
   * Sets keys, or with `null` gives them their defaults back: all or none, written down in the audit log.
   * @param patch checked against the schemas before
   * @throws AppError 412 when `ifMatch` names an older state
   */
  change(
    place: Place,
    shown: Map<string, Definition>,
    request: { patch: Patch; ifMatch: string | undefined; actor: Actor },
  ): Promise<SettingsView>;
}

/** The settings of the installation, its workspaces and its people. */
export function createSettings({
  orm,
  config,
  vault,
}: {
  orm: Orm;
  config: Pick<Config, 'APP_SECRET'>;
  vault: Vault;
}): Settings {
  const kept = new Map<string, { rows: Promise<SettingRow[]>; goodUntil: number }>();

  const readRows = (place: Place): Promise<SettingRow[]> => {
    const name = nameOf(place.owner);
    const known = kept.get(name);
    const now = performance.now();
    if (known && known.goodUntil > now) return known.rows;
    kept.delete(name);
    const rows = unclaimed(() => inWorkspaceTx(orm, place.tx, (em) => findSettings(em, place.owner)));
    rows.catch(() => kept.delete(name));
    if (kept.size >= MAX_KEPT) for (const oldest of kept.keys()) if (kept.delete(oldest)) break;
    kept.set(name, { rows, goodUntil: now + FRESH_MS });
    return rows;
  };

  const read = async <Where extends SettingScope>(scope: Where, place: Place): Promise<ValuesOf<Where>> => {
    const rows = await readRows(place);
    return valuesOf(scope, new Map(rows.map(({ key, value }) => [key, value])));
  };

  const put = async (em: EntityManager, { owner }: Place, key: string, value: unknown, isSecret: boolean) => {
    if (value === null) return removeSetting(em, owner, key);
    if (!isSecret) return putSetting(em, owner, { key, value: JSON.stringify(value), sealed: null });
    if (typeof value !== 'string') throw new TypeError('A secret is a text');
    const sealed =
      owner.scope === 'workspace'
        ? await vault.seal(vaultPlace(owner, key), value)
        : sealText(config.APP_SECRET, placeOf(owner, key), value);
    return putSetting(em, owner, { key, value: null, sealed: sealed.toString('hex') });
  };

  return {
    readGlobal: () => read('global', ofInstallation),
    readWorkspace: (workspaceId) => read('workspace', ofWorkspaceId(workspaceId)),
    readUser: (userId) => read('user', ofPerson({ userId })),
    async readSecret(workspaceId, key) {
      const place = ofWorkspaceId(workspaceId);
      const { sealed } = (await readRows(place)).find((row) => row.key === key) ?? {};
      if (!sealed) return null;
      return vault.open(vaultPlace(place.owner, key), Buffer.from(sealed, 'hex'));
    },
    async view(place, shown) {
      return viewOf(await inWorkspaceTx(orm, place.tx, (em) => findSettings(em, place.owner)), shown);
    },
    async change(place, shown, { patch, ifMatch, actor }) {
      const { owner, tx } = place;
      const after = await inWorkspaceTx(orm, tx, async (em) => {
        await lockSettings(em, owner);
        const rows = await findSettings(em, owner);
        const before = viewOf(rows, shown);
        mustMatch(ifMatch, before.etag);
        const changed = Object.keys(patch).filter((key) => isChange(rows, key, patch[key]));
        if (changed.length === 0) return before;
        // One that is there may be changed for another, whatever the plan is by now: it may have leaked.
        const isNew = (key: string) => patch[key] !== null && !rows.some((row) => row.key === key);
        if (changed.some((key) => key.startsWith('ai.providerKey.') && isNew(key)))
          await mustHaveFeature(em, 'ownProviderKeys');
        for (const key of changed) await put(em, place, key, patch[key], shown.get(key)?.isSecret ?? false);
        const now = viewOf(await findSettings(em, owner), shown);
        const target = { type: 'settings', id: owner.id ?? owner.scope };
        const documents = { before: pick(before.values, changed), after: pick(now.values, changed) };
        await appendAudit(em, actor, { action: `settings.${owner.scope}_changed`, target, ...documents });
        return now;
      });
      kept.delete(nameOf(owner));
      return after;
    },
  };
}

const nameOf = ({ scope, id }: Owner) => `${scope}:${id}`;

/** Where a secret is kept; sealed bytes that are moved to another place do not open there. */
const placeOf = (owner: Owner, key: string) => `${TABLES[owner.scope]}.sealed:${owner.id}/${key}`;

const vaultPlace = ({ id }: Owner, key: string) => secretPlace(id ?? '', key);

const pick = (values: Record<string, unknown>, keys: string[]) =>
  Object.fromEntries(keys.map((key) => [key, values[key]]));

/** A secret is always a change: nobody must learn by trying whether it is the one that is set. */
function isChange(rows: SettingRow[], key: string, value: unknown): boolean {
  const row = rows.find((found) => found.key === key);
  if (value === null) return row !== undefined;
  return row?.value === null || row?.value !== JSON.stringify(value);
}

function viewOf(rows: SettingRow[], shown: Map<string, Definition>): SettingsView {
  const set = new Map(rows.filter(({ key }) => shown.has(key)).map((row) => [row.key, row]));
  const values = [...shown].map(([key, setting]) => [key, valueOf(setting, set.get(key))] as const);
  const etag = etagOf([...set.values()].map(({ key, changed }) => [key, changed]));
  return { values: Object.fromEntries(values), etag };
}

function valueOf(setting: Definition, row: SettingRow | undefined): unknown {
  if (setting.isSecret) return { isSet: row !== undefined, updatedAt: row?.changed ?? null };
  return readStored(setting, row?.value);
}
