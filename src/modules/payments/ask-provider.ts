import { AppError } from '#src/errors.ts';

/**
 * Asks a provider to change something. What it did not do, or of which nobody knows whether it did, is written down as such: nothing is called done
 * that was not.
 * @param note writes down why, by the code of the failure
 * @throws what the call throws
 */
export async function askProvider<Result>(
  call: () => Promise<Result>,
  note: (code: string) => Promise<void>,
): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    await note(error instanceof AppError ? error.code : 'internal');
    throw error;
  }
}
