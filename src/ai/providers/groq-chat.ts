import type { Groq } from 'groq-sdk';
import type { ChatCompletionCreateParamsNonStreaming } from 'groq-sdk/resources/chat/completions';
import { factsOf } from '#src/ai/catalog.ts';
import type { ChatRequest } from '#src/ai/model.ts';
import type { OpenaiChunk } from '#src/ai/providers/openai-answer.ts';
import { openaiBounds, openaiFormat, openaiMessage, openaiTools } from '#src/ai/providers/openai-request.ts';

/** The only models that keep strictly to a schema; of the others Groq refuses the word. */
const isStrict = (model: string) => model.startsWith('openai/gpt-oss');

/** Our turn as the body of a Groq chat completion. */
export function groqBody(request: ChatRequest): ChatCompletionCreateParamsNonStreaming {
  const facts = factsOf('groq', request.model);
  return {
    model: request.model,
    max_completion_tokens: request.maxOutputTokens,
    ...(request.temperature !== undefined && facts.supportsTemperature ? { temperature: request.temperature } : {}),
    ...openaiTools(request),
    ...openaiBounds(request),
    // Else these models think aloud in the text of their answer; gpt-oss never does, and does not know the word.
    ...(facts.supportsReasoning && !isStrict(request.model) ? { reasoning_format: 'parsed' } : {}),
    ...openaiFormat(request, request.messages.map(openaiMessage), {
      schema: facts.supportsJsonSchema,
      strict: isStrict(request.model),
    }),
  };
}

/**
 * Groq's stream as OpenAI's: the counts stand in `x_groq`, in the last chunk.
 * @throws Error with what the stream says in `x_groq.error`, a text of its own beside the chunks
 */
export async function* groqChunks(
  chunks: AsyncIterable<Groq.Chat.ChatCompletionChunk>,
): AsyncGenerator<OpenaiChunk, void, undefined> {
  for await (const { choices, x_groq: own } of chunks) {
    if (own?.error) throw new Error(own.error);
    yield { choices, usage: own?.usage };
  }
}
