import { expect, it } from 'vitest';
import { EVENT_TYPES, EVENTS, isLiveOnly, isPersonal } from '#src/events/catalog.ts';
import { eventCatalogue, exampleOf } from '#src/modules/webhooks/event-catalogue.ts';
import { bodyOf, newestVersion, VERSIONS, type PayloadVersion } from '#src/modules/webhooks/payload.ts';
import { closeMatches, patternsOf, SUBSCRIPTIONS } from '#src/modules/webhooks/subscription.ts';

const payload = (version: string) => ({
  type: 'workspace.changed',
  timestamp: '2026-11-26T12:00:00.000Z',
  workspaceId: 'w',
  version,
  sequence: 7,
  data: { fields: ['name'] },
});

it('tells each endpoint an event as its version does, through every version between', () => {
  const versions: PayloadVersion[] = [
    { name: '2027-03-01' },
    {
      name: '2027-01-01',
      down: ({ type, data }) => ({ type, data: { changed: (data as { fields: string[] }).fields } }),
    },
    {
      name: '2026-11-26',
      down: ({ data }) => ({ type: 'workspace.updated', data: { ...(data as object), first: true } }),
    },
  ];
  const told = versions.map(({ name }) => JSON.parse(bodyOf(payload(name), versions)) as unknown);
  expect(told).toEqual([
    payload('2027-03-01'),
    { ...payload('2027-01-01'), data: { changed: ['name'] } },
    { ...payload('2026-11-26'), type: 'workspace.updated', data: { changed: ['name'], first: true } },
  ]);
  expect(newestVersion(versions)).toBe('2027-03-01');
  expect(() => bodyOf(payload('1999-01-01'), versions)).toThrow('no payload version');
  expect(VERSIONS.map(({ name }) => name)).toContain(newestVersion());
});

it('shows every event with a schema and an example that fits it', () => {
  const { data } = eventCatalogue();
  expect(data.map(({ type }) => type)).toEqual(EVENT_TYPES.filter((type) => !isPersonal(type) && !isLiveOnly(type)));
  for (const { type, schema, example, description } of data) {
    const known = EVENT_TYPES.find((one) => one === type);
    if (!known) throw new Error(`There is no ${type}`);
    expect(description).toBe(EVENTS[known].description);
    expect(schema['type']).toBe('object');
    expect(EVENTS[known].data.parse(example['data'])).toEqual(example['data']);
  }
  expect(exampleOf({ type: 'array', items: { type: 'number', minimum: 5 } })).toEqual([5]);
});

it('knows what can be subscribed to, and what somebody may have meant', () => {
  expect(patternsOf('ai.job.failed')).toEqual(['*', 'ai.*', 'ai.job.*', 'ai.job.failed']);
  expect(SUBSCRIPTIONS).toEqual(expect.arrayContaining(['*', 'ai.*', 'ai.job.*', 'member.joined']));
  for (const name of ['', 'ai', 'ai.job', '*.job', 'webhook.test', 'notification.created'])
    expect(SUBSCRIPTIONS).not.toContain(name);
  expect(closeMatches('ai.job.complete')[0]).toBe('ai.job.completed');
  expect(closeMatches('Member.Joind')[0]).toBe('member.joined');
  expect(closeMatches('zzzzzzzzzzzzzzzzzzzz')).toEqual([]);
});
