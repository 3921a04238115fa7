import type { Making, Json } from '#test/fuzz/fit.ts';
import type { Operation } from '#test/fuzz/operations.ts';
import type { Random } from '#test/fuzz/random.ts';
import type { Words } from '#test/fuzz/words.ts';
import { isRecord } from '#src/lib/record.ts';
import { fit } from '#test/fuzz/fit.ts';
import { nasty, nastyText, spoil, spoilJson } from '#test/fuzz/spoil.ts';

export interface FuzzRequest {
  operation: Operation;
  url: string;
  headers: Record<string, string>;
  payload?: string | Buffer;
}

/** Who asks, as the `Authorization` header they send. */
export interface Identities {
  owner: string;
  viewer: string;
  stranger: string;
  ops: string;
  /** Of the stranger: a workspace that is nobody else's. */
  strangersWorkspaceId: string;
}

const HEADER_TEXTS = [
  '',
  ' ',
  '-1',
  '0',
  'null',
  '*',
  '*/*',
  'a b',
  ',,',
  '../..',
  'é',
  'x'.repeat(300),
  '"1"',
  'W/"2"',
  '%00',
];
const OTHER_HEADERS: Record<string, string[]> = {
  'x-workspace-id': ['00000000-0000-0000-0000-000000000000', "' or 1=1"],
  'x-request-id': ['abc', '<script>'],
  'if-match': ['"1"', '"2"', '1', 'W/"1"', '"x"', '"99999999999999999999"'],
  'if-none-match': ['"1"', '*'],
  'idempotency-key': ['fuzz-1', 'fuzz-2', 'fuzz-3', 'a\tb', 'x'.repeat(256)],
  prefer: ['wait=0', 'wait=-1', 'wait=0.5', 'wait="0"', 'wait=', 'respond-async', 'wait=0, wait=0'],
  accept: ['text/event-stream', 'application/json;q=0', 'text/html', 'text/csv'],
  'last-event-id': ['0-0', '1-1', '1-1-1-999999999', '9-9-9-9-9', 'x'],
  authorization: ['Bearer', 'Bearer x.y.z', 'Basic eDp5', 'Bearer eyJhbGciOiJub25lIn0.e30.'],
  'content-encoding': ['gzip', 'identity', 'br'],
  'content-length': ['-1', '5', '99999999', 'x'],
  origin: ['null', 'https://evil.example', 'chrome-extension://x'],
  cookie: ['a=b', '\u00ff=;;'],
  range: ['bytes=0-', 'bytes=9-1', 'x=1'],
  'x-forwarded-for': ['1.2.3.4', 'x'],
  'user-agent': ['', 'x'.repeat(2000)],
  'x-http-method-override': ['DELETE'],
};
const CONTENT_TYPES = [
  'application/json; charset=utf-16',
  'application/json; charset=nonsense',
  'application/json;',
  'APPLICATION/JSON',
  'application/json, text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'multipart/form-data',
  'text/plain',
  'text/csv',
  'application/octet-stream',
  'application/merge-patch+json',
  'nonsense',
  '',
  '\u00ff/\u00ff',
];

/** A request that fits its route's schemas, most often with something wrong somewhere. */
export function makeRequest(operation: Operation, random: Random, words: Words, who: Identities): FuzzRequest {
  const making: Making = { random, words, root: {} };
  const headers: Record<string, string> = { ...whoAsks(operation, random, who), ...oddHeaders(random) };
  const search = searchOf(operation, making, who);
  const request: FuzzRequest = { operation, url: `${pathOf(operation, making)}${search}`, headers };
  if (operation.method === 'GET' || operation.method === 'HEAD') return request;
  const payload = payloadOf(operation.body, making);
  if (payload !== undefined) {
    request.payload = payload;
    headers['content-type'] = random.chance(0.94) ? 'application/json' : (random.pick(CONTENT_TYPES) ?? '');
  }
  return request;
}

function whoAsks({ access }: Operation, random: Random, who: Identities): { authorization?: string } {
  if (access === 'ops' && random.chance(0.8)) return { authorization: who.ops };
  return random.one<{ authorization?: string }>(
    [14, () => ({ authorization: who.owner })],
    [2, () => ({ authorization: who.viewer })],
    [1, () => ({ authorization: `${who.owner.slice(0, -5)}AAAAA` })],
    [2, () => ({})],
  );
}

function oddHeaders(random: Random): Record<string, string> {
  const names = Object.keys(OTHER_HEADERS);
  const count = random.one([14, () => 0], [3, () => 1], [1, () => 3]);
  return Object.fromEntries(
    Array.from({ length: count }, () => {
      const name = random.pick(names) ?? 'x';
      const texts = random.chance(0.75) ? OTHER_HEADERS[name] : HEADER_TEXTS;
      return [name, random.pick(texts ?? []) ?? ''];
    }),
  );
}

/** Each parameter by its schema, or by what stands before it: `/jobs/:id` takes the id of a job. */
function pathOf({ url, params }: Operation, making: Making): string {
  const { random, words } = making;
  const made = params ? fit(params, { ...making, root: params }) : {};
  return url
    .split('/')
    .map((part, index, parts) => {
      if (part === '*') return random.pick(['', 'static/index.html', '..%2f..%2fetc%2fpasswd', '%00', 'x']);
      if (!part.startsWith(':')) return part;
      const name = part.slice(1).replace(/[?(].*$/, '');
      const value = random.one<unknown>(
        [12, () => words.recall(parts[index - 1] ?? '', random) ?? words.recall(name, random)],
        [3, () => (isRecord(made) ? made[name] : undefined)],
        [1, () => words.recall('uuid', random)],
        [1, () => nastyText(random)],
      );
      const text = written(value ?? 'none').slice(0, 3000);
      return random.chance(0.97) ? encodeURIComponent(text.toWellFormed()) : random.pick(['%', '%ff', '%00', '%c0%af']);
    })
    .join('/');
}

const written = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

function searchOf({ query }: Operation, making: Making, who: Identities): string {
  const { random } = making;
  const made = query ? fit(query, { ...making, root: query }) : {};
  const fields = isRecord(made) ? Object.entries(made) : [];
  const known = query && isRecord(query['properties']) ? Object.keys(query['properties']) : [];
  if (random.chance(known.length > 0 ? 0.3 : 0.05)) {
    const name = random.pick(known) ?? 'extra';
    fields.push(
      random.one<[string, unknown]>(
        [4, () => [name, nasty(random)]],
        [2, () => [name, random.pick(['1', 'desc', '9999999999', '-1', '1e3', '0x10'])]],
        [2, () => ['cursor', cursor(random)]],
        [1, () => [`${name}[]`, '1']],
        [1, () => [random.pick(['__proto__', 'constructor', 'extra', 'x[y]', '']), '1']],
        [1, () => ['workspaceId', who.strangersWorkspaceId]],
      ),
    );
    if (random.chance(0.2)) fields.push(...fields);
  }
  const search = fields
    .flatMap(([name, value]) =>
      Array.isArray(value) && value.length < 20 ? value.map((item) => [name, item]) : [[name, value]],
    )
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join('&');
  const odd = random.chance(0.01) ? (random.pick(['%', '%ff', '&&==', '?', 'a=%00', '%E0%A4%A']) ?? '') : '';
  return search || odd ? `?${search}${odd}` : '';
}

const encode = (value: unknown): string => encodeURIComponent(written(value).slice(0, 2000).toWellFormed());

/** A cursor as lists make them, with another key in it than they put there. */
const cursor = (random: Random): string =>
  random.one(
    [3, () => Buffer.from(JSON.stringify(spoil([1, 'a', null], random)) ?? '').toString('base64url')],
    [1, () => nastyText(random)],
  );

const json = (value: unknown): string => JSON.stringify(value) ?? '';

function payloadOf(schema: Json | undefined, making: Making): string | Buffer | undefined {
  const { random } = making;
  if (!schema) return random.one([8, () => undefined], [1, () => '{}'], [1, () => JSON.stringify(nasty(random))]);
  const good = fit(schema, { ...making, root: schema });
  return random.one<string | Buffer | undefined>(
    [40, () => json(good)],
    [42, () => json(spoil(good, random))],
    [6, () => json(spoil(spoil(good, random), random))],
    [9, () => spoilJson(json(good), random)],
    [2, () => undefined],
    [0.2, () => json({ ...(isRecord(good) ? good : {}), huge: 'x'.repeat(1_048_577) })],
  );
}
