import type { Chunk, Completion, Progress, ProviderName, ToolCall } from '#src/ai/model.ts';
import { failedAs } from '#src/ai/providers/failure.ts';

/** Reads a stream to its end. @throws ProviderError `stream_truncated` when it has none; what the stream throws */
export async function gather(provider: ProviderName, stream: AsyncIterable<Chunk | Progress>): Promise<Completion> {
  let text = '';
  const toolCalls: ToolCall[] = [];
  for await (const chunk of stream) {
    if (chunk.type === 'text') text += chunk.text;
    else if (chunk.type === 'tool') toolCalls.push(chunk.call);
    else if (chunk.type === 'end') return { text, toolCalls, finishReason: chunk.finishReason, usage: chunk.usage };
  }
  throw failedAs(provider, 'stream_truncated');
}
