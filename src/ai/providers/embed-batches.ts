import type { EmbeddingRequest, Embeddings } from '#src/ai/model.ts';

/** Embeds more texts than one call takes, one call after the other. @throws what a call throws */
export async function embedInBatches(
  request: EmbeddingRequest,
  textsMax: number,
  embed: (batch: EmbeddingRequest) => Promise<Embeddings>,
): Promise<Embeddings> {
  const whole = await embed({ ...request, texts: request.texts.slice(0, textsMax) });
  for (let at = textsMax; at < request.texts.length; at += textsMax) {
    const { vectors, usage } = await embed({ ...request, texts: request.texts.slice(at, at + textsMax) });
    whole.vectors.push(...vectors);
    whole.usage.inputTokens += usage.inputTokens;
    whole.usage.estimated ||= usage.estimated;
  }
  return whole;
}
