import { z } from 'zod';
import type { AppError } from '#src/errors.ts';

/** The routes under it answer in OpenAI's format, errors too, so that its clients understand them. */
export const OPENAI_PREFIX = '/v1/';

/** An error as OpenAI's clients read it. `code` is OpenAI's word where it has one for the case, else ours. */
export const OpenaiErrorView = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .meta({ id: 'OpenaiError' });
export type OpenaiErrorView = z.infer<typeof OpenaiErrorView>;

const CODES: Record<string, string> = {
  insufficient_credits: 'insufficient_quota',
  budget_exceeded: 'insufficient_quota',
  rate_limited: 'rate_limit_exceeded',
  unknown_model: 'model_not_found',
  provider_context_overflow: 'context_length_exceeded',
  provider_content_refused: 'content_filter',
};

const TYPES: Record<number, string> = {
  401: 'authentication_error',
  402: 'insufficient_quota',
  403: 'permission_error',
  429: 'rate_limit_error',
};

/** What OpenAI's clients are told of an error: as much as `toProblem` tells ours. */
export function toOpenaiError({ status, code, message, errors }: AppError): OpenaiErrorView {
  const known = status === 401 ? 'invalid_api_key' : (CODES[code] ?? code);
  const type = TYPES[status] ?? (status >= 500 ? 'server_error' : 'invalid_request_error');
  return { error: { message, type, param: errors?.[0]?.path ?? null, code: known } };
}
