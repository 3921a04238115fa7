import { ChatInput, ChatResult } from '#src/ai/engines/chat.ts';
import { AppError, badRequest } from '#src/errors.ts';
import { fieldErrors } from '#src/http/validation.ts';
import { JobOptions, type JobUsage, type JobView } from '#src/modules/jobs/job.schemas.ts';
import type {
  ChatCompletionBody,
  ChatCompletionView,
  CompletionUsageView,
} from '#src/modules/openai-door/door.schemas.ts';

type Content = ChatCompletionBody['messages'][number]['content'];

const textOf = (content: Content): string =>
  typeof content === 'string' ? content : (content ?? []).map((part) => part.text).join('');

function messageOf(message: ChatCompletionBody['messages'][number]) {
  const content = textOf(message.content);
  if (message.role === 'tool') return { role: message.role, content, toolCallId: message.tool_call_id };
  if (message.role !== 'assistant') return { role: message.role === 'user' ? 'user' : 'system', content };
  const calls = message.tool_calls ?? [];
  const toolCalls = calls.map(({ id, function: call }) => ({ id, name: call.name, arguments: call.arguments }));
  return { role: message.role, content, ...(toolCalls.length > 0 && { toolCalls }) };
}

function formatOf(format: ChatCompletionBody['response_format']) {
  if (format?.type !== 'json_schema') return format ?? undefined;
  const { name, schema } = format.json_schema;
  return { type: format.type, name: name.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_') || 'answer', schema };
}

function choiceOf(choice: ChatCompletionBody['tool_choice']): ChatInput['toolChoice'] {
  if (typeof choice === 'object') return choice ? { name: choice.function.name } : undefined;
  return choice === 'required' ? choice : undefined;
}

/**
 * OpenAI's body as our chat's.
 * @throws AppError 400 `validation_failed` where it is OpenAI's, but not ours
 */
export function chatInputOf(body: ChatCompletionBody): ChatInput {
  const tools = body.tool_choice === 'none' ? [] : (body.tools ?? []);
  const toolChoice = choiceOf(body.tool_choice);
  const stop = typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []);
  const responseFormat = formatOf(body.response_format);
  const maxOutputTokens = body.max_completion_tokens ?? body.max_tokens ?? undefined;
  const parsed = ChatInput.safeParse({
    messages: body.messages.map(messageOf),
    ...(tools.length > 0 && {
      tools: tools.map(({ function: { name, description, parameters } }) => ({
        name,
        ...(description && { description }),
        ...(parameters && { parameters }),
      })),
    }),
    ...(toolChoice && { toolChoice }),
    ...(stop.length > 0 && { stop }),
    ...(typeof body.seed === 'number' && { seed: body.seed }),
    ...(responseFormat && { responseFormat }),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(typeof body.temperature === 'number' && { temperature: body.temperature }),
  });
  if (parsed.success) return parsed.data;
  const errors = fieldErrors(parsed.error.issues, '').map((one) => ({
    ...one,
    path: one.path.replace(/^toolChoice/, 'tool_choice'),
  }));
  throw badRequest('validation_failed', `${errors[0]?.path}: ${errors[0]?.message}`, errors);
}

/**
 * What a model's name asks of the router: a model of the catalogue, `auto` (our choice), or `auto:<strategy>`.
 * @throws AppError 404 `model_not_found` for a strategy there is not
 */
export function optionsOf(model: string): JobOptions {
  if (model === 'auto') return {};
  if (!model.startsWith('auto:')) return { model };
  const parsed = JobOptions.safeParse({ strategy: model.slice('auto:'.length) });
  if (parsed.success) return parsed.data;
  throw unknownModel(model);
}

export function unknownModel(model: string): AppError {
  const message = `The model "${model}" does not exist here; GET /v1/models lists those that do.`;
  return new AppError(404, 'model_not_found', message, {
    errors: [{ path: 'model', code: 'model_not_found', message }],
  });
}

/** What the job has used, in OpenAI's words. */
export function usageView(usage: JobUsage | null): CompletionUsageView {
  const { inputTokens = 0, outputTokens = 0, cachedInputTokens = 0 } = usage ?? {};
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: cachedInputTokens },
  };
}

/** What every answer and every chunk of one begins with. */
export const headOf = (jobId: string, model: string, createdAt: number) => ({
  id: `chatcmpl-${jobId}`,
  created: Math.floor(createdAt / 1000),
  model,
});

export const toolCallsView = ({ toolCalls }: ChatResult) =>
  toolCalls.map(({ id, name, arguments: json }) => ({
    id,
    type: 'function' as const,
    function: { name, arguments: json },
  }));

/** A completed chat job as OpenAI's chat completion. */
export function completionView(job: JobView): ChatCompletionView {
  const result = ChatResult.parse(job.result);
  const calls = toolCallsView(result);
  const content = result.text === '' && calls.length > 0 ? null : result.text;
  const message = {
    role: 'assistant' as const,
    content,
    refusal: null,
    ...(calls.length > 0 && { tool_calls: calls }),
  };
  return {
    ...headOf(job.id, job.usage?.model ?? 'auto', Date.parse(job.createdAt)),
    object: 'chat.completion',
    choices: [{ index: 0, message, logprobs: null, finish_reason: result.finishReason }],
    usage: usageView(job.usage),
  };
}
