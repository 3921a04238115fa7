import { ProviderError, type FailureClass, type ProviderName } from '#src/ai/model.ts';
import { HttpFailure } from '#src/ai/providers/upstream.ts';

/** What a failed call shows, whatever SDK it went through. */
export interface Evidence {
  /** The HTTP status; undefined for network failures and for errors inside a stream that began with 200. */
  status?: number | undefined;
  code?: string | undefined;
  type?: string | undefined;
  message?: string | undefined;
  headers?: Headers | undefined;
}

const CODES: Record<string, FailureClass> = {
  insufficient_quota: 'quota_exhausted',
  credit_balance_exhausted: 'quota_exhausted',
  billing_error: 'quota_exhausted',
  billing_not_active: 'quota_exhausted',
  billing_hard_limit_reached: 'quota_exhausted',
  organization_spend_limit_exceeded: 'quota_exhausted',
  project_spend_limit_exceeded: 'quota_exhausted',
  organization_usage_limit_exceeded: 'quota_exhausted',
  blocked_api_access: 'quota_exhausted',
  enforced_spend_limit_reached: 'quota_exhausted',
  contract_spend_limit_reached: 'quota_exhausted',
  linked_organization_spend_limit_reached: 'quota_exhausted',
  rate_limit_exceeded: 'rate_limited',
  rate_limited: 'rate_limited',
  rate_limit_error: 'rate_limited',
  ramp_limit_exceeded: 'rate_limited',
  resource_exhausted: 'rate_limited',
  overloaded: 'overloaded',
  overloaded_error: 'overloaded',
  server_is_overloaded: 'overloaded',
  slow_down: 'overloaded',
  capacity_exceeded: 'overloaded',
  unavailable: 'overloaded',
  invalid_api_key: 'auth',
  api_key_invalid: 'auth',
  unauthenticated: 'auth',
  permission_denied: 'auth',
  organization_on_hold: 'auth',
  // Not from this country, or not with this project.
  failed_precondition: 'auth',
  authentication_error: 'auth',
  permission_error: 'auth',
  account_deactivated: 'auth',
  model_not_found: 'model_gone',
  model_decommissioned: 'model_gone',
  invalid_model: 'model_gone',
  context_length_exceeded: 'context_overflow',
  request_too_large: 'context_overflow',
  content_filter: 'content_refused',
  content_policy_violation: 'content_refused',
  tool_use_failed: 'bad_output',
  json_validate_failed: 'bad_output',
  server_error: 'transient',
  api_error: 'transient',
  timeout_error: 'transient',
};

/** For providers that send a text and no code. Read only where the failure is not the server's own (status below 500, or none). */
const MARKERS: readonly [RegExp, FailureClass][] = [
  [
    /context (length|window|limit)|too many tokens|input length exceeds|exceeds? the (available )?context|prompt is too long|maximum number of tokens/i,
    'context_overflow',
  ],
  [/quota|credit balance|billing|usage limits|calls \/ month/i, 'quota_exhausted'],
  [/overloaded|server busy|maximum pending requests|capacity exceeded/i, 'overloaded'],
  [/rate limit/i, 'rate_limited'],
  [/content (policy|filtering)|safety system/i, 'content_refused'],
  [/model\b.*\bnot found|try pulling it/i, 'model_gone'],
];

/** Statuses that mean something else at one provider than at the others. */
const OWN_STATUSES: Partial<Record<ProviderName, Record<number, FailureClass>>> = {
  // The model called a tool, or wrote JSON, that does not fit.
  groq: { 422: 'bad_output' },
  // Prompt and answer together are longer than the context; the engine is overloaded.
  together: { 403: 'context_overflow', 503: 'overloaded' },
  // The token is not valid; the caller's end of the connection was closed.
  cohere: { 498: 'auth', 499: 'transient' },
};

const STATUSES: Record<number, FailureClass> = {
  401: 'auth',
  402: 'quota_exhausted',
  403: 'auth',
  404: 'model_gone',
  410: 'model_gone',
  413: 'context_overflow',
  429: 'rate_limited',
  498: 'overloaded',
  529: 'overloaded',
};

/** The class of a failure: by the provider's code, then by markers in its text, then by the status. Unknown → `transient`. */
export function classify({ status, code, type, message }: Evidence, provider?: ProviderName): FailureClass {
  // Groq sends it with the code of a rate limit, which no wait would help.
  if (status === 413) return 'context_overflow';
  // A 429 is a limit of ours even where the code says "slow down"; with a 503 the same code is the provider's own load.
  if (status === 429 && code === 'slow_down') return 'rate_limited';
  const coded = CODES[code ?? ''] ?? CODES[type ?? ''];
  if (coded) return coded;
  if (message !== undefined && (status === undefined || (status >= 400 && status < 500))) {
    const marked = MARKERS.find(([marker]) => marker.test(message));
    if (marked) return marked[1];
  }
  if (status === undefined) return 'transient';
  const own = provider && OWN_STATUSES[provider]?.[status];
  return own ?? STATUSES[status] ?? (status >= 400 && status < 500 && status !== 408 ? 'caller_fault' : 'transient');
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const textIn = (from: Record<string, unknown>, key: string): string | undefined => {
  const value = from[key];
  return typeof value === 'string' ? value : undefined;
};

/** Reads what an SDK threw: the HTTP failure behind it, else the provider's error event, else a network failure. */
export function evidenceOf(error: unknown): Evidence {
  for (let at = error, depth = 0; isObject(at) && depth < 5; at = at['cause'], depth++) {
    if (!(at instanceof HttpFailure)) continue;
    // An error in a 200 has no status that says anything.
    return { ...bodyEvidence(at.body), status: at.status < 400 ? undefined : at.status, headers: at.headers };
  }
  if (!isObject(error)) return {};
  const own = said(error);
  // Groq's SDK leaves the event of an error in the stream as it is, in `error`; the others spread it.
  const event = error['error'];
  return own.code === undefined && own.type === undefined && isObject(event) ? said(event) : own;
}

/** Anthropic's codes are in the details; its SDK names them `errorCode`. */
function said(from: Record<string, unknown>): Evidence {
  const details = from['details'];
  const code =
    textIn(from, 'code') ??
    textIn(from, 'errorCode') ??
    (isObject(details) ? textIn(details, 'error_code') : undefined);
  return { code, type: textIn(from, 'type'), message: textIn(from, 'message') };
}

/** Reads `{error: {message, type, code}}`, `{error: "text"}`, `{message}` and `{detail: "text"}`; anything else, such as HTML, shows nothing. */
function bodyEvidence(body: string): Evidence {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return {};
  }
  if (!isObject(parsed)) return {};
  const inner = parsed['error'] ?? parsed['detail'];
  if (typeof inner === 'string') return { message: inner };
  return said(isObject(inner) ? inner : parsed);
}

const WAIT_MAX_MS = 86_400_000;

/**
 * How long the provider asks to wait, in milliseconds, at most a day: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date (RFC 9110 §10.2.3).
 * @returns undefined where it asks nothing, or nothing readable.
 */
export function retryAfterMs(headers: Headers | undefined, now = Date.now()): number | undefined {
  const exact = headers?.get('retry-after-ms');
  if (exact && Number(exact) >= 0) return Math.min(Math.ceil(Number(exact)), WAIT_MAX_MS);
  const given = headers?.get('retry-after')?.trim();
  if (!given) return undefined;
  const seconds = /^(\d+(?:\.\d+)?)s?$/.exec(given)?.[1];
  const waitMs = seconds === undefined ? Date.parse(given) - now : Number(seconds) * 1000;
  return Number.isFinite(waitMs) ? Math.min(Math.max(0, Math.ceil(waitMs)), WAIT_MAX_MS) : undefined;
}

const TEXTS: Record<FailureClass, string> = {
  transient: 'failed to answer',
  overloaded: 'is overloaded',
  rate_limited: 'limits our requests',
  quota_exhausted: 'has no credit left for us',
  auth: 'did not accept our key',
  model_gone: 'does not have the model',
  context_overflow: 'cannot take an input this long',
  content_refused: 'refused the content',
  caller_fault: 'did not accept the request',
  bad_output: 'answered with something unusable',
  stream_truncated: 'ended its answer too early',
  timeout: 'took too long',
};

/**
 * The classified error of a failed call. Clients see its text, so the text is our own; of the vendor's words it has at most a short code.
 * @param error what was thrown; kept as the cause, for the log. A ProviderError is returned as it is.
 */
export function failed(provider: ProviderName, error: unknown): ProviderError {
  if (error instanceof ProviderError) return error;
  const evidence = evidenceOf(error);
  const waitMs = retryAfterMs(evidence.headers);
  const notes = [
    evidence.status === undefined ? '' : `HTTP ${evidence.status}`,
    /^[a-z][a-z0-9_]{2,60}$/.test(evidence.code ?? '') ? evidence.code : '',
  ];
  const failure = isHalf(error) ? 'stream_truncated' : classify(evidence, provider);
  return failedAs(provider, failure, {
    note: notes.filter(Boolean).join(', '),
    cause: error,
    ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
  });
}

/** Whether JSON that is not whole is behind it: the answer was cut inside it. */
function isHalf(error: unknown): boolean {
  for (let at = error, depth = 0; isObject(at) && depth < 5; at = at['cause'], depth++)
    if (at instanceof SyntaxError) return true;
  return false;
}

/** An error whose class is known without evidence; `note` is shown to clients. */
export function failedAs(
  provider: ProviderName,
  failure: FailureClass,
  { note, ...options }: { note?: string; retryAfterMs?: number; cause?: unknown } = {},
): ProviderError {
  return new ProviderError(provider, failure, `${provider} ${TEXTS[failure]}${note ? ` (${note})` : ''}.`, options);
}
