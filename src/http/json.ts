import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { FieldError } from '#src/errors.ts';
import { badRequest } from '#src/errors.ts';
import { jsonErrorIndex, lineAndColumn } from '#src/lib/json-position.ts';
import { isRecord } from '#src/lib/record.ts';

const MAX_DEPTH = 64;
/** More than any form for strangers has; a megabyte is only for callers who are known. */
const STRANGERS_BYTES = 16_384;

/**
 * Makes JSON the only body the server reads. An empty body is no body, whatever its type says: old clients always send the header.
 * Texts Postgres cannot hold, keys that reach an object's prototype and nesting that would exhaust the stack of whoever walks the value
 * later are refused here, once for all routes. A public route takes 16 KiB unless it says otherwise. Before any route is registered.
 */
export function readOnlyJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addHook('onRoute', (route) => {
    if (route.config?.access === 'public') route.bodyLimit ??= STRANGERS_BYTES;
  });
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    const text = body.toString();
    if (text.trim() === '') return done(null, undefined);
    try {
      const value: unknown = JSON.parse(text);
      makeSafe(value);
      done(null, value);
    } catch (error) {
      done(error instanceof SyntaxError ? invalidJson(text) : toError(error));
    }
  });
  // Queries and parameters are text too, and `%00` is a legal way to write the one character Postgres refuses.
  app.addHook('onRequest', async (request: FastifyRequest) => {
    makeSafe(request.query, 'query');
    makeSafe(request.params, 'params');
  });
}

function invalidJson(text: string) {
  const index = jsonErrorIndex(text);
  const { line, column } = lineAndColumn(text, index);
  const what = index >= text.length ? 'ends too soon' : `has an unexpected ${JSON.stringify(characterAt(text, index))}`;
  const where = `line ${line}, column ${column}`;
  return badRequest('invalid_json', `The body is not valid JSON: it ${what} at ${where}.`, [
    { path: 'body', code: 'invalid_json', message: `${what} at ${where}` },
  ]);
}

const characterAt = (text: string, index: number) => String.fromCodePoint(text.codePointAt(index) ?? 0xfffd);

const toError = (error: unknown) => (error instanceof Error ? error : new Error(String(error)));

/**
 * Refuses what no route can handle anywhere in a value from outside. Half a surrogate pair (a text cut in the middle of an emoji) is none of
 * Postgres's characters either, and what would stand in its place is not what was sent.
 * @throws AppError 400 `validation_failed` naming the place
 */
export function makeSafe(value: unknown, path = '', depth = 0): void {
  if (typeof value === 'string') {
    if (value.includes('\0')) throw refused(path, 'invalid_text', 'must not contain U+0000');
    if (!value.isWellFormed()) throw refused(path, 'invalid_text', 'must not contain half a surrogate pair');
  }
  if (typeof value !== 'object') return;
  if (depth >= MAX_DEPTH) throw refused(path, 'too_deep', `must not be nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) {
    value.forEach((item: unknown, index) => makeSafe(item, `${path}[${index}]`, depth + 1));
    return;
  }
  if (!isRecord(value)) return;
  for (const [key, item] of Object.entries(value)) {
    if (key === '__proto__' || !key.isWellFormed() || key.includes('\0')) {
      throw refused(path, 'invalid_key', `must not have the key ${JSON.stringify(key.slice(0, 60))}`);
    }
    makeSafe(item, joinPath(path, key), depth + 1);
  }
}

const joinPath = (path: string, key: string) => (path === '' ? key : `${path}.${key}`);

function refused(path: string, code: string, message: string) {
  const error: FieldError = { path: (path || 'body').slice(0, 200), code, message };
  return badRequest('validation_failed', `${error.path} ${message}.`, [error]);
}
