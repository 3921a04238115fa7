/** One field of a request that was wrong: `path` as in JSON (`input.messages[0].role`), `code` stable, `message` for people. */
export interface FieldError {
  path: string;
  code: string;
  message: string;
}

/** An RFC 9457 problem as clients see it. `code` is stable; `message` mirrors `detail`. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  message: string;
  instance?: string;
  errors?: FieldError[];
  /** Not before this many milliseconds from now: what `Retry-After` says in seconds, also where there are no headers (sockets). */
  retryAfterMs?: number;
}

/** What a failure allows: `never` run again, run again `later` (uses one of the job's attempts), or `delay` (busy: uses none). */
export type Retry = 'never' | 'later' | 'delay';

export interface ErrorOptions {
  retry?: Retry;
  /** Not before this many milliseconds from now (a `Retry-After`). */
  retryAfterMs?: number;
  errors?: FieldError[];
  cause?: unknown;
}

/** An error whose HTTP status and retry decision were fixed where it was born. `detail` is shown to clients: no secrets, no SQL. */
export class AppError extends Error {
  readonly code: string;
  readonly status: number;
  readonly retry: Retry;
  readonly retryAfterMs: number | undefined;
  readonly errors: FieldError[] | undefined;

  constructor(status: number, code: string, detail: string, options: ErrorOptions = {}) {
    super(detail, { cause: options.cause });
    this.name = 'AppError';
    this.status = status;
    this.code = code;
    this.retry = options.retry ?? 'never';
    this.retryAfterMs = options.retryAfterMs;
    this.errors = options.errors;
  }
}

export const badRequest = (code: string, detail: string, errors?: FieldError[]) =>
  new AppError(400, code, detail, errors ? { errors } : {});
export const unauthenticated = (detail: string, code = 'unauthenticated') => new AppError(401, code, detail);
export const forbidden = (detail: string) => new AppError(403, 'forbidden', detail);
export const notFound = (what: string) => new AppError(404, 'not_found', `${what} was not found.`);
export const conflict = (code: string, detail: string) => new AppError(409, code, detail);
export const unavailable = (code: string, detail: string, retryAfterMs: number, cause?: unknown) =>
  new AppError(503, code, detail, { retry: 'later', retryAfterMs, cause });

const TITLES: Record<number, string> = {
  400: 'Bad request',
  401: 'Not authenticated',
  402: 'Not enough credits',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  412: 'Precondition failed',
  413: 'Too large',
  415: 'Unsupported media type',
  422: 'Unprocessable',
  426: 'Upgrade required',
  429: 'Too many requests',
  499: 'Cancelled',
  502: 'Provider failed',
  503: 'Unavailable',
  504: 'Timed out',
};

/** Turns any thrown value into the problem a client may see; an unknown error says nothing of its inside. */
export function toProblem(error: unknown, instance?: string): Problem {
  const known = error instanceof AppError ? error : new AppError(500, 'internal', 'Something went wrong on our side.');
  return {
    type: `urn:whatshybrid:problem:${known.code}`,
    title: TITLES[known.status] ?? 'Error',
    status: known.status,
    detail: known.message,
    code: known.code,
    message: known.message,
    ...(instance ? { instance } : {}),
    ...(known.errors ? { errors: known.errors } : {}),
    ...(known.retryAfterMs === undefined ? {} : { retryAfterMs: Math.ceil(known.retryAfterMs) }),
  };
}
