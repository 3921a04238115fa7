import { AppError } from '#src/errors.ts';

/**
 * Asks a provider to change something. What it did not do, or of which nobody knows whether it did, is written down as such: nothing is called done
 * that was not.
 * @param note writes down why, by the code of the failure; whether it is sure that nothing was done
 * @throws what the call throws
 */
export async function askProvider<Result>(
  call: () => Promise<Result>,
  note: (code: string, isRefused: boolean) => Promise<void>,
): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    const { code, status } = error instanceof AppError ? error : { code: 'internal', status: 500 };
    // Somebody else does the same just then: it may be done.
    await note(code, status < 500 && code !== 'payment_in_progress');
    throw error;
  }
}
