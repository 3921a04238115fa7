import type { FieldError, Problem } from './types.ts';

/** The backend answered with an error: its RFC 9457 problem, opened. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly errors: FieldError[];
  readonly requestId: string | undefined;
  /** Not before this many milliseconds from the answer (`Retry-After`, or the problem's own word where there are no headers). */
  readonly retryAfterMs: number | undefined;
  readonly problem: Problem;

  constructor(problem: Problem, context: { requestId?: string | undefined; retryAfterMs?: number | undefined } = {}) {
    super(problem.detail);
    this.name = 'ApiError';
    this.status = problem.status;
    this.code = problem.code;
    this.detail = problem.detail;
    this.errors = problem.errors ?? [];
    this.requestId = context.requestId;
    this.retryAfterMs = context.retryAfterMs ?? problem.retryAfterMs;
    this.problem = problem;
  }
}

/** No answer came: the network failed or the time was up. Whether the backend acted is unknown. */
export class NetworkError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'NetworkError';
  }
}

export type SocketFailure =
  | 'offline'
  | 'timeout'
  | 'reply_lost'
  | 'closed'
  | 'too_large'
  | 'too_many_waiting'
  | 'unauthenticated'
  | 'forbidden'
  | 'bad_frame';

/** The live socket could not do a command. `sent` false: the backend never saw it, so another way may be tried. */
export class SocketError extends Error {
  readonly code: SocketFailure;
  readonly sent: boolean;
  constructor(code: SocketFailure, message: string, sent = false) {
    super(message);
    this.name = 'SocketError';
    this.code = code;
    this.sent = sent;
  }
}

/** A job ended without a result. */
export class JobError extends Error {
  readonly jobId: string;
  readonly status: 'failed' | 'cancelled';
  readonly code: string;
  readonly problem: Problem;
  constructor(jobId: string, status: 'failed' | 'cancelled', problem: Problem) {
    super(problem.detail);
    this.name = 'JobError';
    this.jobId = jobId;
    this.status = status;
    this.code = problem.code;
    this.problem = problem;
  }
}

/** Makes a problem of a status and a text, for answers that carry none (a proxy's page, an empty body). */
export function plainProblem(status: number, code: string, detail: string): Problem {
  return { type: 'about:blank', title: detail, status, detail, code, message: detail };
}

/** Reads a problem out of a parsed body; `undefined` when it is not one. */
export function readProblem(body: unknown, status: number): Problem | undefined {
  if (typeof body !== 'object' || body === null || !('code' in body) || typeof body.code !== 'string') return undefined;
  const given = new Map<string, unknown>(Object.entries(body));
  const text = (name: string) => {
    const value = given.get(name);
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const detail = text('detail') ?? text('message') ?? text('title') ?? body.code;
  const instance = text('instance');
  const ownStatus = given.get('status');
  const errors = given.get('errors');
  const retryAfterMs = given.get('retryAfterMs');
  return {
    type: text('type') ?? 'about:blank',
    title: text('title') ?? detail,
    status: typeof ownStatus === 'number' ? ownStatus : status,
    detail,
    code: body.code,
    message: detail,
    ...(instance === undefined ? {} : { instance }),
    ...(Array.isArray(errors) ? { errors: errors.filter(isFieldError) } : {}),
    ...(typeof retryAfterMs === 'number' && retryAfterMs >= 0 ? { retryAfterMs } : {}),
  };
}

function isFieldError(value: unknown): value is FieldError {
  return (
    typeof value === 'object' &&
    value !== null &&
    'path' in value &&
    'message' in value &&
    typeof value.path === 'string'
  );
}
