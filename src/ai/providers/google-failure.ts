import { HttpFailure } from '#src/ai/providers/upstream.ts';

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const objects = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : []);

/**
 * Google's error (`google.rpc.Status` with its details) in the words that `failure.ts` reads of every provider: a code, and a wait,
 * which Google sends in the body, as `RetryInfo`.
 * @returns undefined where the body has no such error
 */
export function googleFailure(body: unknown, status: number, headers = new Headers()): HttpFailure | undefined {
  // Without `alt=sse` it comes as the only item of a list.
  const error = isObject(body) ? body['error'] : objects(body)[0]?.['error'];
  if (!isObject(error)) return undefined;
  const waiting = new Headers(headers);
  const wait = objects(error['details']).find((one) => typeof one['retryDelay'] === 'string')?.['retryDelay'];
  if (typeof wait === 'string') waiting.set('retry-after', wait);
  const message = typeof error['message'] === 'string' ? error['message'] : '';
  const at = typeof error['code'] === 'number' ? error['code'] : status;
  return new HttpFailure(at, waiting, JSON.stringify({ error: { message, code: codeOf(error, message) } }));
}

/** The error inside a stream that began with 200. */
export const errorIn = (response: object): HttpFailure | undefined =>
  'error' in response ? googleFailure(response, 500) : undefined;

/** What was thrown, with Google's own error in it read. */
export function readFailure(error: unknown): unknown {
  if (!(error instanceof HttpFailure)) return error;
  try {
    return googleFailure(JSON.parse(error.body), error.status, error.headers) ?? error;
  } catch {
    return error;
  }
}

function codeOf(error: Json, message: string): string | undefined {
  const details = objects(error['details']);
  const reason = details.find((one) => typeof one['reason'] === 'string')?.['reason'];
  if (reason === 'API_KEY_INVALID') return 'api_key_invalid';
  // A wait of seconds is named for the quota of a day too.
  const isOfDay = details.some((one) =>
    objects(one['violations']).some(({ quotaId }) => /PerDay/.test(String(quotaId))),
  );
  if (isOfDay || /credits? (is|are) depleted/i.test(message)) return 'insufficient_quota';
  // Without billing a free tier is refused in some countries.
  if (error['status'] === 'FAILED_PRECONDITION' && /billing/i.test(message)) return 'billing_not_active';
  return typeof error['status'] === 'string' ? error['status'].toLowerCase() : undefined;
}
