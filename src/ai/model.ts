import { AppError, type Retry } from '#src/errors.ts';

/** The companies (and `local`, this machine) that can answer; one file each in `providers/`. */
export type ProviderName =
  | 'openai'
  | 'anthropic'
  | 'google'
  | 'groq'
  | 'mistral'
  | 'cohere'
  | 'together'
  | 'ollama'
  | 'local';

/** The AI tasks a client can ask for; one file each in `engines/`. */
export type EngineName =
  | 'copilot'
  | 'smart-replies'
  | 'sentiment'
  | 'intent'
  | 'extract-entities'
  | 'summarize'
  | 'translate'
  | 'score-lead'
  | 'chat';

export const STRATEGIES = ['cost_optimized', 'speed_optimized', 'quality_optimized', 'balanced', 'failover'] as const;
/** What a job wants most of its target. `failover`: the order of the configuration. */
export type Strategy = (typeof STRATEGIES)[number];

export interface ToolCall {
  id: string;
  name: string;
  /** JSON text, as the model wrote it. */
  arguments: string;
}

export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
  toolCalls?: ToolCall[];
  /** On `role: 'tool'`: the call this answers. */
  toolCallId?: string;
}

export interface Tool {
  name: string;
  description?: string;
  /** JSON Schema of the arguments. */
  parameters: Record<string, unknown>;
}

/** What a model must call: some tool, or the named one. */
export type ToolChoice = 'required' | { name: string };

/** What every provider is asked: one chat turn. */
export interface ChatRequest {
  model: string;
  messages: Message[];
  tools?: Tool[];
  /** Left out, the model decides. Only for models that have it (capabilities.ts). */
  toolChoice?: ToolChoice;
  /** Texts the answer ends before. Only for models that have it (capabilities.ts). */
  stop?: string[];
  /** Equal requests with an equal seed get answers as alike as the provider can make them; one without a seed takes no notice. */
  seed?: number;
  /** Ask for JSON of this schema (draft 2020-12) instead of free text; `name` matches `[a-z0-9_]+`. */
  responseSchema?: { name: string; schema: Record<string, unknown> };
  maxOutputTokens: number;
  /** Left out when the model does not take one. */
  temperature?: number;
  /** What the turn is for; only `local` reads it, since it computes from the input and not from the prompt. */
  task: { engine: EngineName; input: unknown };
}

/**
 * Token counts of one provider call. `inputTokens` includes those read from and written to a cache, `outputTokens` includes the
 * reasoning ones; no part exceeds its whole.
 */
export interface Usage {
  inputTokens: number;
  cachedInputTokens: number;
  cacheWriteTokens: number;
  outputTokens: number;
  reasoningTokens: number;
  /** True where the provider sent no count and we counted characters instead. */
  estimated: boolean;
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter';

/** A stream is any number of `text` and `tool` chunks, then exactly one `end`; a stream without `end` has failed. */
export type Chunk =
  | { type: 'text'; text: string }
  | { type: 'tool'; call: ToolCall }
  | { type: 'end'; finishReason: FinishReason; usage: Usage };

/** A whole answer. */
export interface Completion {
  text: string;
  toolCalls: ToolCall[];
  finishReason: FinishReason;
  usage: Usage;
}

/** Texts to be placed in a model's vector space. */
export interface EmbeddingRequest {
  model: string;
  texts: string[];
  /** The length of the vectors, where the model lets one choose. */
  dimensions?: number;
}

/** One vector for each text, in order. */
export interface Embeddings {
  vectors: number[][];
  usage: Usage;
}

/** A secret that opens a provider. */
export interface ApiKey {
  /** Names it in logs, metrics and Redis: the start of its SHA-256, which gives nothing of it away. */
  id: string;
  secret: string;
  /** Its share of the calls, beside the other keys of the same provider. */
  weight: number;
  owner: 'installation' | 'workspace';
}

/** Content came that cannot be shown yet (part of a tool call, reasoning): it keeps the silence timers from firing. */
export interface Progress {
  type: 'progress';
}

/** The one interface all providers meet. */
export interface Provider {
  readonly name: ProviderName;
  /** The models it serves by default, best first. */
  readonly models: readonly string[];
  /** Whether a call needs a key; without any, of the installation or the workspace, it cannot be asked. */
  readonly needsKey: boolean;
  /** The installation's keys. */
  readonly keys: readonly ApiKey[];
  /** Whether it can do this task at all (`local` cannot chat or translate). */
  supports(engine: EngineName): boolean;
  /** Loads the vendor's SDK, so that the first job does not wait for it. */
  warm?(): Promise<void>;
  /**
   * Runs one chat turn; read it through `withTimers`, which takes the `progress` out. Every exit, also a `break` of the reader, closes the upstream connection.
   * @param key one of `keys`, or a workspace's own; left out where none is needed
   * @throws ProviderError with the class of the failure; the signal's reason when the signal aborted.
   */
  stream(request: ChatRequest, signal: AbortSignal, key?: ApiKey): AsyncIterable<Chunk | Progress>;
  /** Runs one chat turn whose answer comes at once. @throws as `stream` does */
  complete(request: ChatRequest, signal: AbortSignal, key?: ApiKey): Promise<Completion>;
  /** Absent where the provider has no embeddings. @throws as `stream` does */
  embed?(request: EmbeddingRequest, signal: AbortSignal, key?: ApiKey): Promise<Embeddings>;
}

/** Why a provider call failed: what the router and the job's retry decide by. */
export type FailureClass =
  | 'transient'
  | 'overloaded'
  | 'rate_limited'
  | 'quota_exhausted'
  | 'auth'
  | 'model_gone'
  | 'context_overflow'
  | 'content_refused'
  | 'caller_fault'
  | 'bad_output'
  | 'stream_truncated'
  | 'timeout';

const RETRY: Record<FailureClass, Retry> = {
  transient: 'later',
  overloaded: 'later',
  rate_limited: 'delay',
  quota_exhausted: 'never',
  auth: 'never',
  model_gone: 'never',
  context_overflow: 'never',
  content_refused: 'never',
  caller_fault: 'never',
  bad_output: 'later',
  stream_truncated: 'later',
  timeout: 'later',
};

/** A provider call that failed, classified once, where it was seen. */
export class ProviderError extends AppError {
  readonly provider: ProviderName;
  readonly failure: FailureClass;

  constructor(
    provider: ProviderName,
    failure: FailureClass,
    detail: string,
    options: { retry?: Retry; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    const status = failure === 'timeout' ? 504 : failure === 'rate_limited' || failure === 'overloaded' ? 503 : 502;
    super(status, `provider_${failure}`, detail, { retry: RETRY[failure], ...options });
    this.name = 'ProviderError';
    this.provider = provider;
    this.failure = failure;
  }
}
