// @ts-check

/** A failure a person can act on: it is printed as its message alone, without a stack. */
export class StartError extends Error {}

/** The work was called off by a signal; whoever catches it says nothing. */
export class Interrupted extends Error {}

/**
 * @param {unknown} error anything thrown
 * @returns {string | undefined} the system's name for it, such as ENOENT
 */
export const codeOf = (error) => (error instanceof Error && 'code' in error ? String(error.code) : undefined);

/** @type {Record<string, string>} */
const FILE_ERRORS = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left',
  ENOTDIR: 'is not a directory',
};

/**
 * @param {unknown} error anything thrown
 * @returns {string} what to show a person: one line where we know the cause, the stack where we do not
 */
export function explain(error) {
  if (error instanceof StartError) return error.message;
  if (!(error instanceof Error)) return String(error);
  const known = FILE_ERRORS[codeOf(error) ?? ''];
  return known && 'path' in error ? `${String(error.path)}: ${known}` : (error.stack ?? error.message);
}
