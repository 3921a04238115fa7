import { type AppError, badRequest } from '#src/errors.ts';

/**
 * 400 `unknown_model`.
 * @param meant names that may have been meant
 * @param path of the field that named it
 */
export function unknownModel(model: string, meant: readonly string[], path: string): AppError {
  const guess = meant.length > 0 ? ` Did you mean ${meant.join(', ')}?` : ' GET /api/ai/models lists those there are.';
  const message = `There is no model "${model}" here.${guess}`;
  return badRequest('unknown_model', message, [{ path, code: 'unknown_model', message }]);
}
