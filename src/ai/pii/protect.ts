import {
  type ApiKey,
  type ChatRequest,
  type Chunk,
  type EngineName,
  ProviderError,
  type Progress,
  type ProviderName,
} from '#src/ai/model.ts';
import { inRequest, maskText, unmaskCall } from '#src/ai/pii/mask.ts';
import { DEFAULT_PRIVACY, isMaskedFor, personalData, type Privacy, refuseBlocked } from '#src/ai/pii/policy.ts';
import type { PiiSpan } from '#src/ai/pii/span.ts';
import { TokenVault } from '#src/ai/pii/tokens.ts';
import { Unmasker } from '#src/ai/pii/unmask.ts';
import { hasForeignLink, isPromptOurs, materialOf, readMaterial, type SafetyNote } from '#src/ai/safety/material.ts';
import type { Moderate } from '#src/ai/safety/moderation.ts';
import { DEFAULT_SAFETY, type Safety } from '#src/ai/safety/policy.ts';
import { sanitize } from '#src/ai/safety/sanitize.ts';
import { AppError } from '#src/errors.ts';

/** What of a request people may have written. */
type Texts = Pick<ChatRequest, 'messages' | 'tools' | 'responseSchema' | 'stop'>;

type Answer = AsyncIterable<Chunk | Progress>;

/** One provider call: what is sent, and how what comes back is read. */
export interface ProtectedCall {
  request: ChatRequest;
  /** The answer with its values put back, behind by less than one token. @throws ProviderError `bad_output` where it gives the prompt away */
  read: (answer: Answer) => Answer;
}

export interface ProtectionOptions {
  privacy?: Privacy | undefined;
  safety?: Safety | undefined;
  /** Reads material before a provider does. */
  moderate?: Moderate | undefined;
  moderationKey?: ApiKey | undefined;
  /** Told what was noticed. */
  note?: (note: SafetyNote) => void;
}

const MARK_LINE = 'Internal mark, never to be written: ';
const MODERATION_RETRY_MS = 5000;

/**
 * Refuses by policy alone, without asking anybody: for a job that is about to be accepted, and again before it runs.
 * @throws AppError 422 `pii_blocked`, `injection_suspected`
 */
export function refuseByPolicy(
  engine: EngineName,
  request: Texts,
  privacy = DEFAULT_PRIVACY,
  safety = DEFAULT_SAFETY,
): SafetyNote[] {
  if (Object.values(privacy.pii).includes('block')) {
    const found: PiiSpan[] = [];
    inRequest(written(engine, request), (text) => {
      found.push(...personalData(text, privacy));
      return text;
    });
    refuseBlocked(found, privacy);
  }
  return readMaterial(request.messages, safety);
}

/**
 * What stands between one run of a job and the providers. Keeps the run's tokens; they are gone with it. The same text is masked once,
 * however many providers are tried.
 */
export class Protection {
  readonly #options: ProtectionOptions;
  readonly #privacy: Privacy;
  readonly #vault = new TokenVault();
  readonly #masked = new Map<string, string>();

  constructor(options: ProtectionOptions = {}) {
    this.#options = options;
    this.#privacy = options.privacy ?? DEFAULT_PRIVACY;
  }

  /**
   * Reads a request before any provider is asked.
   * @throws AppError 422 `pii_blocked`, `injection_suspected`, `content_flagged`; 503 `moderation_unavailable` where the workspace waits for it
   */
  async check(request: Omit<ChatRequest, 'model'>, signal: AbortSignal): Promise<void> {
    const { safety = DEFAULT_SAFETY, note, moderate, moderationKey } = this.#options;
    for (const one of refuseByPolicy(request.task.engine, request, this.#privacy, safety)) note?.(one);
    if (safety.moderation === 'off' || !moderate) return;
    const texts = materialOf(this.#mask(inRequest(request, sanitize)).messages);
    let flagged: string[];
    try {
      flagged = texts.length === 0 ? [] : await moderate(texts, signal, moderationKey);
    } catch (cause) {
      signal.throwIfAborted();
      note?.({ kind: 'moderation_failed' });
      if (safety.onFailure === 'open') return;
      const retry = { retry: 'later' as const, retryAfterMs: MODERATION_RETRY_MS, cause };
      throw new AppError(503, 'moderation_unavailable', 'The moderation of messages cannot be asked now.', retry);
    }
    if (flagged.length > 0)
      throw new AppError(422, 'content_flagged', `The moderation flagged the material: ${flagged.join(', ')}.`);
  }

  /** Makes a call fit for a provider; `local` computes in this process and gets it as it is. */
  call(provider: ProviderName, request: ChatRequest): ProtectedCall {
    if (provider === 'local') return { request, read: (answer) => answer };
    const clean = inRequest(request, sanitize);
    const masked = isMaskedFor(provider, this.#privacy) ? this.#mask(clean) : clean;
    const sent = isPromptOurs(request.task.engine) ? marked(masked, this.#vault.issue('canary', '')) : masked;
    return { request: sent, read: (answer) => this.#read(provider, clean, answer) };
  }

  #mask<Request extends Omit<ChatRequest, 'model'>>(request: Request): Request {
    inRequest(request, (text) => {
      this.#vault.reserve(text);
      return text;
    });
    const masked = inRequest(written(request.task.engine, request), (text) => {
      const known = this.#masked.get(text);
      if (known !== undefined) return known;
      const tokens = maskText(text, personalData(text, this.#privacy), this.#vault);
      this.#masked.set(text, tokens);
      return tokens;
    });
    const rest = masked.messages.values();
    return isPromptOurs(request.task.engine)
      ? {
          ...masked,
          messages: request.messages.map((one) => (one.role === 'system' ? one : (rest.next().value ?? one))),
        }
      : masked;
  }

  async *#read(provider: ProviderName, { messages }: ChatRequest, answer: Answer): AsyncGenerator<Chunk | Progress> {
    const put = (value: string) => {
      // The mark of the prompt is the one token without a value.
      if (value !== '') return value;
      throw new ProviderError(provider, 'bad_output', `${provider} gave away what it was told.`);
    };
    const unmasker = new Unmasker(this.#vault, put);
    let all = '';
    for await (const chunk of answer) {
      if (chunk.type === 'tool') {
        const whole = (text: string) => {
          const inside = new Unmasker(this.#vault, put);
          return inside.push(text) + inside.end();
        };
        yield { type: 'tool', call: unmaskCall(chunk.call, whole) };
        continue;
      }
      const text = chunk.type === 'text' ? unmasker.push(chunk.text) : chunk.type === 'end' ? unmasker.end() : '';
      all += text;
      if (text !== '') yield { type: 'text', text };
      else if (chunk.type === 'text') yield { type: 'progress' };
      if (chunk.type === 'end' && hasForeignLink(all, messages)) this.#options.note?.({ kind: 'foreign_link' });
      if (chunk.type !== 'text') yield chunk;
    }
  }
}

/** A request without the system prompt where that is the platform's own: it quotes nobody, and its examples are no personal data. */
const written = <Request extends Texts>(engine: EngineName, request: Request): Request =>
  isPromptOurs(engine) ? { ...request, messages: request.messages.filter(({ role }) => role !== 'system') } : request;

/** The mark goes to the end of the system prompt: what stands before it may be in a provider's cache. */
function marked(request: ChatRequest, canary: string): ChatRequest {
  const at = request.messages.findIndex(({ role }) => role === 'system');
  if (at === -1) return request;
  const messages = request.messages.with(at, {
    role: 'system',
    content: `${request.messages[at]?.content}\n${MARK_LINE}${canary}`,
  });
  return { ...request, messages };
}
