import type { EntityManager } from '@mikro-orm/postgresql';
import { badRequest, type FieldError } from '#src/errors.ts';
import { dealsOfKept } from '#src/modules/activities/activity-sight.ts';
import type { People } from '#src/modules/campaigns/campaigns.schemas.ts';
import { compileFilter } from '#src/modules/segments/compile-filter.query.ts';
import { loadFilterFields } from '#src/modules/segments/filter-fields.query.ts';
import { Segment } from '#src/modules/segments/segment.entity.ts';

/** A condition on the contact `c`; `params` stand for its `?`, in their order. */
interface Condition {
  sql: string;
  params: readonly (string | number | boolean | null)[];
}

/** Everybody it could be; a campaign beyond is refused, not cut. */
export const MAX_RECIPIENTS = 1_000_000;
const SAMPLE = 10;
const MOST_ERRORS = 20;

// Whoever went into another contact is meant by that one.
const byIds = (ids: readonly string[]): Condition => ({
  sql: `c.id in (with recursive meant as (select v::uuid as id from json_array_elements_text(?::json) v
    union select m.merged_into from contact m join meant on m.id = meant.id where m.workspace_id = current_workspace() and m.merged_into is not null)
    select id from meant)`,
  params: [JSON.stringify(ids)],
});
const byLabels = (labels: readonly string[]): Condition => ({
  sql: `exists (select from contact_label cl join label l on l.workspace_id = cl.workspace_id and l.id = cl.label_id
    where cl.workspace_id = c.workspace_id and cl.contact_id = c.id and l.id in (select v::uuid from json_array_elements_text(?::json) v))`,
  params: [JSON.stringify(labels)],
});
const missing = (path: string, what: string): FieldError => ({
  path,
  code: 'not_found',
  message: `there is no such ${what}`,
});
function mustBeThere(errors: FieldError[]): void {
  const [first] = errors;
  if (first) throw badRequest('validation_failed', `${first.path}: ${first.message}`, errors);
}

/** Labels by id, so that whom they stand for is the same whatever they are called later. */
async function pinLabels(em: EntityManager, labels: readonly string[], path: string) {
  const rows = await em.execute<{ id: string | null }[]>(
    `select (select l.id from label l where l.workspace_id = current_workspace() and (lower(l.name) = lower(v) or l.id::text = lower(v))
        order by l.id::text = lower(v) desc limit 1) as id
      from json_array_elements_text(?::json) with ordinality n (v, at) order by at`,
    [JSON.stringify(labels)],
  );
  const errors = rows.flatMap(({ id }, at) => (id === null ? [missing(`${path}.${at}`, 'label')] : []));
  return { ids: rows.flatMap(({ id }) => (id === null ? [] : [id])), errors };
}

/** The first of some contacts that are not there, or not for those to write to who see only their own. */
async function missingContacts(
  em: EntityManager,
  ids: readonly string[] | undefined,
  path: string,
  only: OnlyOf | null,
) {
  if (!ids || !only) return [];
  const rows = await em.execute<{ at: number }[]>(
    `select (n.at - 1)::int as at from json_array_elements_text(?::json) with ordinality n (v, at)
      where not exists (select from contact c where c.workspace_id = current_workspace() and c.id = n.v::uuid
        and (?::uuid is null or c.owner_id = ?::uuid)) order by at limit ${MOST_ERRORS}`,
    [JSON.stringify(ids), only.ownerId, only.ownerId],
  );
  return rows.map(({ at }) => missing(`${path}.${at}`, 'contact'));
}

/**
 * Whom a campaign is for, as it is kept: of contacts, labels and segments that there are.
 * @param only of who names contacts; null: those are not looked at, since one that is gone changes nothing
 * @throws AppError 400
 */
export async function pinPeople(
  em: EntityManager,
  { audience, exclude, requireConsent }: People,
  only: OnlyOf | null,
): Promise<People> {
  const within = 'labels' in audience ? await pinLabels(em, audience.labels, 'audience.labels') : undefined;
  const without = exclude.labels && (await pinLabels(em, exclude.labels, 'exclude.labels'));
  const segments: [string, string | undefined][] = [
    ['audience.segmentId', 'segmentId' in audience ? audience.segmentId : undefined],
    ['exclude.segmentId', exclude.segmentId],
  ];
  const errors = [
    ...(await missingContacts(
      em,
      'contactIds' in audience ? audience.contactIds : undefined,
      'audience.contactIds',
      only,
    )),
    ...(await missingContacts(em, exclude.contactIds, 'exclude.contactIds', only)),
    ...(within?.errors ?? []),
    ...(without?.errors ?? []),
  ];
  for (const [path, id] of segments)
    if (id !== undefined && !(await em.findOne(Segment, { id }))) errors.push(missing(path, 'segment'));
  mustBeThere(errors);
  return {
    audience: within ? { labels: within.ids } : audience,
    exclude: without ? { ...exclude, labels: without.ids } : exclude,
    requireConsent,
  };
}

/** The segments that say who is meant, of those that there are. */
export function segmentsOf(em: EntityManager, { audience, exclude }: People): Promise<Segment[]> {
  const ids = ['segmentId' in audience ? audience.segmentId : [], exclude.segmentId ?? []].flat();
  return ids.length === 0 ? Promise.resolve([]) : em.find(Segment, { id: ids });
}

/** Whose contacts, and whose deals, alone count, for who sees only their own. */
export interface OnlyOf {
  ownerId: string | null;
  dealOwnerId: string | null;
}

/** What a segment says at this moment. @throws AppError 400 where there is none, 422 where it names what is gone */
async function bySegment(em: EntityManager, id: string, { dealOwnerId }: OnlyOf): Promise<Condition> {
  const segment = await em.findOne(Segment, { id });
  if (!segment) {
    const errors = [missing('segmentId', 'segment')];
    throw badRequest('validation_failed', 'segmentId: there is no such segment', errors);
  }
  return compileFilter(segment.filter, await loadFilterFields(em, segment.filter, dealsOfKept(dealOwnerId)));
}

async function conditionOf(em: EntityManager, { audience, exclude }: People, only: OnlyOf) {
  const within: Condition[] = [];
  if ('contactIds' in audience) within.push(byIds(audience.contactIds));
  else if ('labels' in audience) within.push(byLabels(audience.labels));
  else if ('segmentId' in audience) within.push(await bySegment(em, audience.segmentId, only));
  const without: Condition[] = [
    ...(exclude.contactIds ? [byIds(exclude.contactIds)] : []),
    ...(exclude.labels ? [byLabels(exclude.labels)] : []),
    ...(exclude.segmentId === undefined ? [] : [await bySegment(em, exclude.segmentId, only)]),
  ];
  const all = [...within.map(({ sql }) => `(${sql})`), ...without.map(({ sql }) => `(${sql}) is not true`)];
  return { sql: all.join(' and ') || 'true', params: [...within, ...without].flatMap(({ params }) => [...params]) };
}

/** As `suppressionPads` makes them. */
interface Pads {
  inner: Buffer;
  outer: Buffer;
}

/** Who gets nothing, to compare with: so many of a hundred, by a hash of contact and seed. */
interface Holdout {
  percent: number;
  seed: string;
}

/** Contacts with the reason why not, where there is one; of two with one address the older is written to. */
async function judged(
  em: EntityManager,
  people: People,
  { only, pads, holdout, capped }: { only: OnlyOf; pads: Pads; holdout: Holdout; capped: string | null },
): Promise<Condition> {
  const where = await conditionOf(em, people, only);
  return {
    sql: `chosen as materialized (
        select c.id, c.name, c.consent, campaign_address(c.phone, c.workspace_id, c.id) as address from contact c
          where c.workspace_id = current_workspace() and c.deleted_at is null and c.erased_at is null and c.merged_into is null
            and (?::uuid is null or c.owner_id = ?::uuid) and ${where.sql}),
      judged as materialized (
        select c.id, c.name, c.address, case when c.consent = 'denied' then 'opted_out' when ?::boolean and c.consent <> 'granted' then 'no_consent'
          when c.address is null then 'no_identity'
          when campaign_is_suppressed(current_workspace(), c.address, decode(?, 'hex'), decode(?, 'hex')) then 'suppressed'
          when row_number() over (partition by c.address order by c.id) > 1 then 'same_address'
          when (hashtextextended(c.id::text || ?::text, 1) & 9223372036854775807) % 100 < ?::int then 'holdout'
          when ?::jsonb is not null and campaign_cap(current_workspace(), c.id, c.id, campaign_address_hash(current_workspace(), c.address),
            ?::jsonb) = 'frequency_cap' then 'frequency_cap' end as reason
        from chosen c)`,
    params: [
      only.ownerId,
      only.ownerId,
      ...where.params,
      people.requireConsent,
      pads.inner.toString('hex'),
      pads.outer.toString('hex'),
      holdout.seed,
      holdout.percent,
      capped,
      capped,
    ],
  };
}

/** How a campaign's people are parted: who gets nothing, and who gets which variant, by a hash of contact and campaign alone. */
export interface Parting {
  campaignId: string;
  holdoutPercent: number;
  weights: readonly number[];
}

/**
 * Who a campaign would reach now, in the transaction's workspace.
 * @param pacing of its channel, for how often people may be written to
 * @param holdout so many of a hundred, by the campaign's id, get nothing
 */
export async function previewAudience(
  em: EntityManager,
  people: People,
  { only, pads, pacing, holdout }: { only: OnlyOf; pads: Pads; pacing: object | null; holdout: Holdout },
): Promise<{ count: number; excluded: Record<string, number>; sample: { id: string; name: string; phone: string }[] }> {
  const capped = pacing && JSON.stringify(pacing);
  const { sql, params } = await judged(em, people, { only, pads, holdout, capped });
  const [row] = await em.execute<
    { count: number; excluded: Record<string, number>; sample: { id: string; name: string; phone: string }[] }[]
  >(
    `with ${sql}
      select (select count(*)::int from judged where reason is null) as count,
        (select coalesce(json_object_agg(reason, n), '{}') from (select reason, count(*) as n from judged where reason is not null group by reason) r) as excluded,
        (select coalesce(json_agg(json_build_object('id', id, 'name', name, 'phone', address)), '[]')
          from (select * from judged where reason is null order by id limit ${SAMPLE}) s) as sample`,
    [...params],
  );
  return row ?? { count: 0, excluded: {}, sample: [] };
}

/**
 * Writes down who a campaign is for, once and for all, in one statement that holds nobody in memory: an item for each contact and address.
 * @returns how many, and how many were left out, by reason
 */
export async function freezeAudience(
  em: EntityManager,
  people: People,
  {
    only,
    pads,
    channelId,
    awaitsTexts,
    parting,
  }: { only: OnlyOf; pads: Pads; channelId: string; awaitsTexts: boolean; parting: Parting },
): Promise<{ total: number; excluded: Record<string, number> }> {
  const { campaignId, holdoutPercent: percent, weights } = parting;
  const { sql, params } = await judged(em, people, {
    only,
    pads,
    holdout: { percent, seed: campaignId },
    capped: null,
  });
  const sum = weights.reduce((all, weight) => all + weight, 0);
  const [row] = await em.execute<{ total: number; excluded: Record<string, number> }[]>(
    `with ${sql},
      steps as materialized (select (at - 1)::int as variant, sum(w::int) over (order by at) as upto
        from json_array_elements_text(?::json) with ordinality s (w, at)),
      added as (
        insert into campaign_item (workspace_id, id, campaign_id, channel_id, contact_id, address_hash, variant, awaits_text)
          select current_workspace(), uuidv7(), ?::uuid, ?::uuid, j.id, campaign_address_hash(current_workspace(), j.address),
            (select min(s.variant) from steps s where (hashtextextended(j.id::text || ?::text, 0) & 9223372036854775807) % ?::int < s.upto), ?::boolean
          from judged j where j.reason is null order by j.id
        returning 1)
      select (select count(*)::int from added) as total,
        (select coalesce(json_object_agg(reason, n), '{}') from (select reason, count(*) as n from judged where reason is not null group by reason) r) as excluded`,
    [...params, JSON.stringify(weights), campaignId, channelId, campaignId, sum, awaitsTexts],
  );
  return row ?? { total: 0, excluded: {} };
}
