import { ApiError, JobError, NetworkError, type Problem } from '../../client/src/index.ts';
import { plain } from './text.ts';

/** What a command ends with; docs/cli.md explains them. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  unauthorised: 3,
  /** It is paused, or ended and not all of it was done. */
  partial: 4,
  /** No answer, or only that it is busy: the same may work later. */
  unreachable: 5,
} as const;

/** Something the command itself has to say, and what it ends with. */
export class CliError extends Error {
  readonly code: string;
  readonly exitCode: number;
  constructor(exitCode: number, code: string, message: string) {
    super(message);
    this.name = 'CliError';
    this.exitCode = exitCode;
    this.code = code;
  }
}

export const usageError = (message: string) => new CliError(EXIT.usage, 'usage', message);

/** What the file system said, with the name of the file; any other error as it is. */
export function fileError(path: string, what: 'read' | 'written' | 'deleted', error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const isOfFiles = code.startsWith('ERR_FS_') || (error instanceof Error && 'syscall' in error);
  return isOfFiles ? new CliError(EXIT.usage, 'file', `${path} cannot be ${what}: ${code}.`) : error;
}

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
export type StopSignal = keyof typeof SIGNALS;
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const satisfies StopSignal[];

/** The command was told to end. Shells expect 128 and the signal's number. */
export class Interrupted extends CliError {
  constructor(signal: StopSignal) {
    super(128 + SIGNALS[signal], 'interrupted', 'Interrupted.');
  }
}

export interface Verdict {
  exitCode: number;
  /** For people. */
  lines: string[];
  /** For programs. */
  problem: Pick<Problem, 'code' | 'detail'> & Partial<Problem>;
}

/** What an error comes to: the exit code, and how it is told. */
export function verdictOf(error: unknown): Verdict {
  if (error instanceof ApiError) return apiVerdict(error);
  if (error instanceof CliError) {
    return {
      exitCode: error.exitCode,
      lines: [error.message],
      problem: { code: error.code, detail: error.message },
    };
  }
  if (error instanceof JobError) {
    const lines = [`The job ${error.status}: ${plain(error.message)} (${error.code})`];
    return { exitCode: EXIT.failed, lines, problem: error.problem };
  }
  const detail = error instanceof Error ? error.message : String(error);
  if (error instanceof NetworkError) {
    const lines = [`${detail}${causeOf(error)}`];
    if (isForeign(error)) return foreignVerdict(lines[0] ?? detail);
    return { exitCode: EXIT.unreachable, lines, problem: { code: 'no_answer', detail } };
  }
  return { exitCode: EXIT.failed, lines: [plain(detail)], problem: { code: 'failed', detail } };
}

/** Whether something answered that is not the backend: with a page, or with a status that the backend explains and this one did not. */
export function isForeign(error: unknown): boolean {
  if (error instanceof ApiError) return error.code === 'redirected' || /^http_40[45]$/.test(error.code);
  return error instanceof NetworkError && rootOf(error) instanceof SyntaxError;
}

function foreignVerdict(said: string): Verdict {
  const detail = `${said} That is not the backend: is the address right?`;
  return { exitCode: EXIT.unreachable, lines: [detail], problem: { code: 'not_the_backend', detail } };
}

function apiVerdict(error: ApiError): Verdict {
  const { status, code, detail, errors, requestId, retryAfterMs } = error;
  if (isForeign(error)) return foreignVerdict(plain(detail));
  const lines = [`${plain(detail)} (${status} ${code})`];
  // The detail says the first of them already.
  if (errors.length > 1 || errors.some(({ message }) => !detail.includes(message)))
    lines.push(...errors.map(({ path, message }) => `  ${plain(path)}: ${plain(message)}`));
  if (status === 401) lines.push('Sign in with a key that is good: whatshybrid login');
  if (retryAfterMs !== undefined) lines.push(`Try again in ${Math.ceil(retryAfterMs / 1000)} s.`);
  else if (status >= 500 && requestId !== undefined) lines.push(`Request ${plain(requestId)}.`);
  return { exitCode: exitCodeOf(status), lines, problem: error.problem };
}

function exitCodeOf(status: number): number {
  if (status === 400) return EXIT.usage;
  if (status === 401 || status === 403) return EXIT.unauthorised;
  if (status === 429 || status === 502 || status === 503 || status === 504) return EXIT.unreachable;
  return EXIT.failed;
}

function rootOf(error: Error): unknown {
  let cause: unknown = error.cause;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  return cause;
}

/** What the network said: `fetch` hides it two causes deep. */
function causeOf(error: Error): string {
  const cause = rootOf(error);
  if (!(cause instanceof Error)) return '';
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
  return ` (${plain(cause.message || code)})`;
}
