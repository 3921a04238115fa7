import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { z } from 'zod';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { chat } from '#src/ai/engines/chat.ts';
import { AppError } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { toOpenaiError } from '#src/http/openai-error.ts';
import { toAppError } from '#src/http/problem.ts';
import { idempotencyKeyOf } from '#src/http/idempotency.ts';
import type { Submission } from '#src/modules/jobs/jobs.service.ts';
import { acceptAndFollow, type Followed } from '#src/modules/openai-door/door.follow.ts';
import { embeddingsRoute } from '#src/modules/openai-door/door.embeddings.ts';
import {
  ChatCompletionBody,
  ChatCompletionView,
  ModelListView,
  ModelView,
} from '#src/modules/openai-door/door.schemas.ts';
import { CompletionFrames, frameOf, jobError } from '#src/modules/openai-door/door.stream.ts';
import { chatInputOf, completionView, optionsOf, unknownModel } from '#src/modules/openai-door/door.translate.ts';
import type { Runtime } from '#src/runtime.ts';

/** @throws AppError 404 `model_not_found` beside what a chat job is refused with */
async function submissionOf(rt: Runtime, request: FastifyRequest, body: ChatCompletionBody): Promise<Submission> {
  const origin = { requestId: request.id, idempotencyKey: idempotencyKeyOf(request) };
  try {
    return await rt.ai.prepare(authOf(request), chat, chatInputOf(body), optionsOf(body.model), origin);
  } catch (error) {
    if (error instanceof AppError && error.code === 'unknown_model') throw unknownModel(body.model);
    throw error;
  }
}

/** @throws AppError with what the job failed with */
async function whole({ events }: Followed): Promise<ChatCompletionView> {
  for await (const event of events) {
    if (event.event === 'job.completed') return completionView(event.data);
    if (event.event === 'job.failed' || event.event === 'job.cancelled') throw jobError(event.data.problem);
  }
  throw new AppError(500, 'internal', 'The job ended without a word.');
}

/** Takes the reply over with its first frame: what fails before that is answered with its status. */
async function stream({ jobId, events }: Followed, body: ChatCompletionBody, reply: FastifyReply): Promise<void> {
  const frames = new CompletionFrames(jobId, body.model, body.stream_options?.include_usage === true);
  const { raw } = reply;
  try {
    for await (const event of events) {
      for (const frame of frames.take(event)) {
        if (!raw.headersSent) open(reply);
        if (!raw.write(frame)) await drained(raw);
      }
    }
  } catch (error) {
    if (!raw.headersSent) throw error;
    raw.write(frameOf(toOpenaiError(toAppError(error))));
  }
  raw.end();
}

function open(reply: FastifyReply): void {
  const { raw } = reply;
  reply.hijack();
  raw.on('error', () => undefined);
  // What hooks have set would be lost by writing the raw response.
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
  raw.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' });
}

async function drained(raw: ServerResponse): Promise<void> {
  const either = new AbortController();
  const { signal } = either;
  await Promise.race([once(raw, 'drain', { signal }), once(raw, 'close', { signal })]);
  either.abort();
}

/** What a client may name as `model`, each once. */
function modelsOf(rt: Runtime): ModelView[] {
  const models = [
    ...rt.ai.providers().flatMap(({ name, models: ids }) => ids.map((id) => [id, name] as const)),
    ...rt.ai.embeddingTargets().map(({ model, provider }) => [model, provider] as const),
  ];
  const owners = new Map([['auto', 'whatshybrid'] as const, ...models]);
  return [...owners].map(([id, owner]) => ({ id, object: 'model' as const, created: 0, owned_by: owner }));
}

/**
 * The door for clients of OpenAI's API: chat jobs, by the same queue, router, credits and limits as `/api/ai/chat`, in OpenAI's wire
 * format.
 */
export function openaiDoor(rt: Runtime) {
  return async (app: App): Promise<void> => {
    app.post(
      '/v1/chat/completions',
      {
        config: { access: 'ai:run', limits: ['ai'], idempotency: 'own' },
        schema: {
          tags: ['openai'],
          description:
            "OpenAI's chat completion, streamed or not. `model` is one of `GET /v1/models`, `auto`, or `auto:<strategy>`. A dropped connection cancels the job.",
          body: ChatCompletionBody,
          response: { 200: ChatCompletionView },
        },
      },
      async (request, reply) => {
        const { body } = request;
        const followed = await acceptAndFollow(rt, await submissionOf(rt, request, body), request);
        if (followed.isReplay) reply.header('idempotent-replayed', 'true');
        if (!body.stream) return whole(followed);
        await stream(followed, body, reply);
        return reply;
      },
    );

    embeddingsRoute(rt, app);
    app.get(
      '/v1/models',
      { config: { access: 'ai:run' }, schema: { tags: ['openai'], response: { 200: ModelListView } } },
      async () => ({ object: 'list' as const, data: modelsOf(rt) }),
    );
    app.get(
      '/v1/models/:model',
      {
        config: { access: 'ai:run' },
        schema: {
          tags: ['openai'],
          params: z.object({ model: z.string() }),
          response: { 200: ModelView },
        },
      },
      async ({ params: { model } }) => {
        const found = modelsOf(rt).find(({ id }) => id === model);
        if (!found) throw unknownModel(model);
        return found;
      },
    );
  };
}
