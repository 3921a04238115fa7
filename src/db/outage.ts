const CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'EPIPE',
  'EAI_AGAIN',
  '08000',
  '08003',
  '08006',
  '53300',
  '57P01',
  '57P02',
  '57P03',
]);
const MESSAGE =
  /timeout exceeded when trying to connect|Query read timeout|connection terminated|Connection ended unexpectedly/i;

/** Whether an error says that the database could not be reached or is starting or stopping: the same request can work in a moment. */
export function isDatabaseOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('code' in error && typeof error.code === 'string' && CODES.has(error.code)) return true;
  // Node tries every address of a name and reports all the failures in one error without a code.
  if (error instanceof AggregateError) return error.errors.some(isDatabaseOutage);
  return MESSAGE.test(error.message);
}
