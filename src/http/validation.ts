import type { FastifyInstance, FastifySchemaCompiler } from 'fastify';
import { z } from 'zod';
import type { FieldError } from '#src/errors.ts';
import { badRequest } from '#src/errors.ts';
import { OPENAI_PREFIX } from '#src/http/openai-error.ts';

type Issue = z.core.$ZodIssue;

const MAX_ERRORS = 20;
const MAX_TEXT = 200;
/** Paths in a body are bare, as in its JSON; the other parts say where they are. */
const PREFIXES: Record<string, string> = { body: '', querystring: 'query', params: 'params', headers: 'headers' };

/** Refuses query fields on every route of the API that takes none; probes of health may carry what they like. Before any route is registered. */
export function refuseUnknownQueries(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    const isOurs = route.url.startsWith('/api/') || route.url.startsWith(OPENAI_PREFIX);
    if (!isOurs || route.url.startsWith('/api/health') || route.schema?.querystring) return;
    route.schema = { ...route.schema, querystring: z.strictObject({}) };
  });
}

/** Checks a part of a request with its zod schema. What is wrong becomes one 400 `validation_failed` that names every field. */
export const validateWithZod: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) => {
  const part = httpPart ?? 'body';
  return (value: unknown) => {
    const result = schema.safeParse(value);
    if (result.success) return { value: result.data };
    const errors = fieldErrors(result.error.issues, PREFIXES[part] ?? part);
    const first = errors[0];
    const detail = first ? `${first.path}: ${first.message}` : 'The request is not valid.';
    return { error: badRequest('validation_failed', detail, errors) };
  };
};

/**
 * Zod's issues as field errors, at most twenty.
 * @param prefix what paths begin with; with none, the value itself is called `body`
 */
export function fieldErrors(issues: readonly Issue[], prefix: string): FieldError[] {
  const found = issues.flatMap((issue) => oneIssue(issue, prefix, []));
  const told = new Set<string>();
  const isNew = ({ path, message }: FieldError) => told.size < told.add(`${path} ${message}`).size;
  return found.filter(isNew).slice(0, MAX_ERRORS);
}

function oneIssue(issue: Issue, prefix: string, parents: readonly PropertyKey[]): FieldError[] {
  const path = [...parents, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => fieldError(prefix, [...path, key], issue.code, 'is not a known field'));
  }
  if (issue.code === 'invalid_union') {
    const branch = nearest(issue.errors);
    if (branch) return branch.flatMap((inner) => oneIssue(inner, prefix, path));
  }
  return [fieldError(prefix, path, issue.code, isMissing(issue) ? 'is required' : issue.message)];
}

/** Whether the issue is zod's own word for a field that is not there; a schema's own message stays. */
const isMissing = ({ code, message }: Issue): boolean =>
  code === 'invalid_type' && message.startsWith('Invalid input') && message.endsWith('received undefined');

/** Of the ways a union could have been met, the one that failed least is the one the caller meant. */
function nearest(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  return branches
    .filter((branch) => branch.length > 0)
    .toSorted((a, b) => a.length - b.length || depth(b) - depth(a))[0];
}

const depth = (issues: readonly Issue[]) => Math.max(...issues.map((issue) => issue.path.length));

function fieldError(prefix: string, keys: readonly PropertyKey[], code: string, message: string): FieldError {
  const path = keys.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? String(key) : `${text}.${String(key)}`;
  }, prefix);
  return { path: (path || 'body').slice(0, MAX_TEXT), code, message: message.slice(0, MAX_TEXT) };
}
