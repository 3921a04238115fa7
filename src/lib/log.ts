import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';

export type Log = Logger;

const SECRET_FIELDS = [
  'authorization',
  'Authorization',
  'cookie',
  'cookies',
  'setCookie',
  '["set-cookie"]',
  'password',
  'passwordHash',
  'token',
  'refreshToken',
  'secret',
  'apiKey',
];
const SHOWN_OF_ERRORS = ['code', 'status', 'constraint', 'table', 'column', 'routine'] as const;
const MAX_CAUSES = 3;

const nested = (field: string) => (field.startsWith('[') ? `*${field}` : `*.${field}`);

/**
 * The log of one process: JSON lines on stdout. Fields that carry credentials are blanked at the top level and one level down;
 * deeper objects are not searched, so log fields, never whole requests.
 * @param processName which process wrote the line (`api`, `worker`)
 * @param destination where lines go instead of stdout
 */
export function createLog(level: string, processName: string, destination?: DestinationStream): Log {
  const options = {
    level,
    base: { process: processName },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: (error: unknown) => describeError(error) },
    redact: { paths: SECRET_FIELDS.flatMap((field) => [field, nested(field)]), censor: '[redacted]' },
  };
  // Not waiting for each line's write; what is left is written when the process exits.
  return pino(options, destination ?? pino.destination({ sync: false }));
}

/**
 * An error as the log may show it. Only named fields pass: a database error carries the refused row, with all that people wrote in it,
 * in its fields and in the later lines of its message.
 */
function describeError(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error).split('\n', 1)[0] };
  const fields = new Map<string, unknown>(Object.entries(error));
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return {
    type: error.name,
    message: error.message.split('\n', 1)[0],
    ...Object.fromEntries(SHOWN_OF_ERRORS.flatMap((name) => (fields.has(name) ? [[name, fields.get(name)]] : []))),
    stack: frames.join('\n'),
    ...(error.cause !== undefined && depth < MAX_CAUSES ? { cause: describeError(error.cause, depth + 1) } : {}),
  };
}
