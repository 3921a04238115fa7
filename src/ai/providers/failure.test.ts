import { describe, expect, test } from 'vitest';
import { classify, evidenceOf, failed, retryAfterMs, type Evidence } from '#src/ai/providers/failure.ts';
import { HttpFailure } from '#src/ai/providers/upstream.ts';
import type { FailureClass, ProviderName } from '#src/ai/model.ts';

describe('classify', () => {
  test.each<[Evidence, FailureClass]>([
    [{ status: 500 }, 'transient'],
    [{ status: 502 }, 'transient'],
    [{ status: 503 }, 'transient'],
    [{ status: 504 }, 'transient'],
    [{ status: 520 }, 'transient'],
    [{ status: 408 }, 'transient'],
    [{ status: 503, code: 'slow_down' }, 'overloaded'],
    [{ status: 429, code: 'slow_down' }, 'rate_limited'],
    [{ status: 529 }, 'overloaded'],
    [{ status: 498 }, 'overloaded'],
    [{ status: 503, message: 'server busy, please try again. maximum pending requests exceeded' }, 'transient'],
    [{ type: 'overloaded_error' }, 'overloaded'],
    [{ status: 429 }, 'rate_limited'],
    [{ status: 429, code: 'insufficient_quota' }, 'quota_exhausted'],
    [{ status: 429, type: 'insufficient_quota' }, 'quota_exhausted'],
    [{ status: 429, code: 'project_spend_limit_exceeded' }, 'quota_exhausted'],
    [{ status: 402 }, 'quota_exhausted'],
    [{ status: 400, message: 'Your credit balance is too low to access the API' }, 'quota_exhausted'],
    [{ status: 401 }, 'auth'],
    [{ status: 403 }, 'auth'],
    [{ status: 404, message: "model 'llama9' not found" }, 'model_gone'],
    [{ status: 404 }, 'model_gone'],
    [{ status: 410 }, 'model_gone'],
    [{ status: 413 }, 'context_overflow'],
    [{ status: 400, code: 'context_length_exceeded' }, 'context_overflow'],
    [{ status: 400, message: 'the input length exceeds the context length' }, 'context_overflow'],
    [{ status: 400, code: 'content_filter' }, 'content_refused'],
    [{ status: 400, code: 'invalid_value', type: 'invalid_request_error' }, 'caller_fault'],
    [{ status: 409 }, 'caller_fault'],
    [{ status: 422 }, 'caller_fault'],
    [{}, 'transient'],
  ])('%o → %s', (evidence, expected) => expect(classify(evidence)).toBe(expected));

  test.each<[Evidence, ProviderName, FailureClass]>([
    [{ status: 422 }, 'groq', 'bad_output'],
    [{ status: 400, code: 'tool_use_failed' }, 'groq', 'bad_output'],
    [{ status: 413, code: 'rate_limit_exceeded' }, 'groq', 'context_overflow'],
    [{ status: 498, code: 'capacity_exceeded' }, 'groq', 'overloaded'],
    [{ status: 403 }, 'together', 'context_overflow'],
    [{ status: 403 }, 'groq', 'auth'],
    [{ status: 503 }, 'together', 'overloaded'],
    [{ status: 503 }, 'groq', 'transient'],
    [{ status: 429, message: 'Service tier capacity exceeded for this model.' }, 'mistral', 'overloaded'],
    [{ status: 400, type: 'invalid_model', code: '1500' }, 'mistral', 'model_gone'],
    [{ status: 422 }, 'mistral', 'caller_fault'],
  ])('%o of %s → %s', (evidence, provider, expected) => expect(classify(evidence, provider)).toBe(expected));

  test('the text of a failing server is not evidence against the caller', () => {
    expect(classify({ status: 500, message: 'billing quota context length' })).toBe('transient');
  });
});

const http = (body: string) => new HttpFailure(400, new Headers(), body);

describe('evidenceOf', () => {
  test.each<[unknown, Evidence]>([
    [
      http('{"error":{"message":"m","type":"t","code":"c","param":null}}'),
      { status: 400, message: 'm', type: 't', code: 'c' },
    ],
    [http('{"error":"text"}'), { status: 400, message: 'text' }],
    [http('{"message":"m"}'), { status: 400, message: 'm' }],
    [http('{"detail":"Unauthorized"}'), { status: 400, message: 'Unauthorized' }],
    [http('{"detail":[{"msg":"m"}]}'), { status: 400 }],
    [new HttpFailure(200, new Headers(), '{"error":{"code":"c"}}'), { status: undefined, code: 'c' }],
    [Object.assign(new Error('m'), { error: { code: 'c', type: 't' } }), { code: 'c', type: 't' }],
    [http('<html>'), { status: 400 }],
    [http('null'), { status: 400 }],
    [new Error('wrapped', { cause: http('{"error":"text"}') }), { status: 400, message: 'text' }],
    [Object.assign(new Error('in stream'), { code: 'server_error' }), { code: 'server_error', message: 'in stream' }],
    ['thrown text', {}],
  ])('%o', (error, expected) => expect(evidenceOf(error)).toMatchObject(expected));
});

test('a cause that points at itself ends', () => {
  const error = new Error('loop');
  error.cause = error;
  expect(evidenceOf(error)).toMatchObject({ message: 'loop' });
});

describe('retryAfterMs', () => {
  const now = Date.parse('2026-11-23T12:00:00Z');
  test.each<[Record<string, string>, number | undefined]>([
    [{ 'retry-after-ms': '1500' }, 1500],
    [{ 'retry-after-ms': '1500', 'retry-after': '9' }, 1500],
    [{ 'retry-after-ms': 'x', 'retry-after': '9' }, 9000],
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after': '34.4s' }, 34_400],
    [{ 'retry-after': 'Mon, 23 Nov 2026 12:00:05 GMT' }, 5000],
    [{ 'retry-after': 'Mon, 23 Nov 2026 11:00:00 GMT' }, 0],
    [{ 'retry-after': '99999999' }, 86_400_000],
    [{ 'retry-after': 'soon' }, undefined],
    [{}, undefined],
  ])('%o → %s', (headers, expected) => expect(retryAfterMs(new Headers(headers), now)).toBe(expected));
});

test('what clients see has neither the key nor the words of the vendor', () => {
  const body = '{"error":{"message":"Incorrect API key provided: sk-live-1234","code":"invalid_api_key"}}';
  const error = failed('openai', new HttpFailure(401, new Headers({ 'retry-after': '3' }), body));
  expect(error.message).toBe('openai did not accept our key (HTTP 401, invalid_api_key).');
  expect(error).toMatchObject({ failure: 'auth', status: 502, retry: 'never', retryAfterMs: 3000 });
  expect(error.cause).toBeInstanceOf(HttpFailure);
  const odd = failed('openai', Object.assign(new Error('x'), { code: 'Your key sk-live-1234 is bad' }));
  expect(odd.message).toBe('openai failed to answer.');
});
