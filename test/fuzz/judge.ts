import { OPENAI_PREFIX, OpenaiErrorView } from '#src/http/openai-error.ts';
import { ProblemView } from '#src/http/problem-view.ts';

export interface Answer {
  status: number;
  /** Its Content-Type. */
  type: string;
  text: string;
}

/** What another workspace holds, and nobody outside of it may ever read. */
export const CANARY = 'canary-of-the-stranger';

/** Stack traces and words of the database. */
const INSIDE =
  /node_modules|(?:\n|\\n)\s+at |violates .*constraint|invalid input syntax|syntax error at|relation "|row-level security|\bselect .* from\b|insert into |argon2/i;

/** @returns what is wrong with an answer, or null: never our fault, every refusal a problem, nothing of the inside, nobody else's data. */
export function judge({ status, type, text }: Answer, { method = 'GET', url = '/' } = {}): string | null {
  if (status >= 500) return `answered ${status}`;
  if (text.includes(CANARY)) return 'told what another workspace holds';
  if (status < 400) return null;
  // The board's page understands only refusals of the board's own.
  if (url.startsWith('/ops/queues/api/') && type.startsWith('application/json')) return null;
  if (url.startsWith(OPENAI_PREFIX)) return judgeOpenai({ status, type, text }, method);
  if (type !== 'application/problem+json') return `refused with ${status} as ${type || 'nothing'}`;
  if (method === 'HEAD') return null;
  if (INSIDE.test(text)) return 'told of the inside';
  const problem = ProblemView.safeParse(parsed(text));
  if (!problem.success) return `refused with no problem: ${problem.error.message}`;
  if (problem.data.status !== status) return `refused with ${status}, and a problem of ${problem.data.status}`;
  if (problem.data.code === 'validation_failed' && !problem.data.errors?.length) return 'names no field that is wrong';
  return null;
}

/** Under this prefix refusals are OpenAI's. */
function judgeOpenai({ status, type, text }: Answer, method: string): string | null {
  if (!type.startsWith('application/json')) return `refused with ${status} as ${type || 'nothing'}`;
  if (method === 'HEAD') return null;
  if (INSIDE.test(text)) return 'told of the inside';
  const error = OpenaiErrorView.safeParse(parsed(text));
  return error.success ? null : `refused with no error of OpenAI's: ${error.error.message}`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
