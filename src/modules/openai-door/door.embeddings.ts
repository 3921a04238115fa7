import { z } from 'zod';
import { authOf } from '#src/http/auth.ts';
import type { App } from '#src/http/app-type.ts';
import { AppError, badRequest } from '#src/errors.ts';
import { fieldErrors } from '#src/http/validation.ts';
import { EmbeddingsInput, EmbeddingsResult } from '#src/modules/ai/embeddings.ts';
import { idempotencyKeyOf } from '#src/http/idempotency.ts';
import { acceptAndFollow } from '#src/modules/openai-door/door.follow.ts';
import { jobError } from '#src/modules/openai-door/door.stream.ts';
import { unknownModel } from '#src/modules/openai-door/door.translate.ts';
import type { JobView } from '#src/modules/jobs/job.schemas.ts';
import type { Runtime } from '#src/runtime.ts';

/** OpenAI's body, of texts; token arrays would be of one vocabulary, and the models here have many. */
const EmbeddingBody = z.strictObject({
  model: z.string().min(1).max(100),
  input: z.union([z.string(), z.array(z.string()).min(1).max(100)]),
  dimensions: z.int().min(1).max(4096).nullish(),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  user: z.string().max(200).nullish(),
});
type EmbeddingBody = z.infer<typeof EmbeddingBody>;

const EmbeddingView = z.object({
  object: z.literal('list'),
  model: z.string(),
  data: z.array(
    z.object({
      object: z.literal('embedding'),
      index: z.int(),
      embedding: z.union([z.array(z.number()), z.string()]),
    }),
  ),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
});

function inputOf({ model, input, dimensions }: EmbeddingBody): EmbeddingsInput {
  const texts = typeof input === 'string' ? [input] : input;
  const parsed = EmbeddingsInput.safeParse({ model, texts, ...(dimensions && { dimensions }) });
  if (parsed.success) return parsed.data;
  const errors = fieldErrors(parsed.error.issues, '').map((one) => ({
    ...one,
    path: one.path.replace(/^texts/, 'input'),
  }));
  throw badRequest('validation_failed', `${errors[0]?.path}: ${errors[0]?.message}`, errors);
}

function floatsOf(base64: string): number[] {
  const bytes = Buffer.from(base64, 'base64');
  return Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(at * 4));
}

function viewOf({ result, usage }: JobView, encoding: EmbeddingBody['encoding_format']): z.infer<typeof EmbeddingView> {
  const { model, vectors } = EmbeddingsResult.parse(result);
  const tokens = usage?.inputTokens ?? 0;
  return {
    object: 'list',
    model,
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: encoding === 'base64' ? vector : floatsOf(vector),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

/** `POST /v1/embeddings`: a job like any other, with its hold, its place in the queue and its row in the usage. */
export function embeddingsRoute(rt: Runtime, app: App): void {
  app.post(
    '/v1/embeddings',
    {
      config: { access: 'ai:run', limits: ['ai'], idempotency: 'own' },
      schema: {
        tags: ['openai'],
        description:
          "OpenAI's embeddings, by any model of the catalogue that makes them. A dropped connection cancels the job.",
        body: EmbeddingBody,
        response: { 200: EmbeddingView },
      },
    },
    async (request, reply) => {
      const { body } = request;
      const origin = { requestId: request.id, idempotencyKey: idempotencyKeyOf(request) };
      const submission = await rt.ai
        .prepareEmbeddings(authOf(request), inputOf(body), origin)
        .catch((error: unknown) => {
          throw error instanceof AppError && error.code === 'unknown_model' ? unknownModel(body.model) : error;
        });
      const { events, isReplay } = await acceptAndFollow(rt, submission, request);
      if (isReplay) reply.header('idempotent-replayed', 'true');
      for await (const event of events) {
        if (event.event === 'job.completed') return viewOf(event.data, body.encoding_format);
        if (event.event === 'job.failed' || event.event === 'job.cancelled') throw jobError(event.data.problem);
      }
      throw new AppError(500, 'internal', 'The job ended without a word.');
    },
  );
}
