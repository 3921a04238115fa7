import { AnswerError, type Engine } from '#src/ai/engines/define.ts';
import {
  type ApiKey,
  type ChatRequest,
  type Chunk,
  type Completion,
  type FailureClass,
  type FinishReason,
  type Message,
  type Progress,
  type Provider,
  ProviderError,
  type ProviderName,
  type Strategy,
  type ToolCall,
  type Usage,
} from '#src/ai/model.ts';
import { type CostLimits, createMeter, type Meter, maxCostReached } from '#src/ai/meter.ts';
import { arrivedUsage } from '#src/ai/tokens.ts';
import type { Protection } from '#src/ai/pii/protect.ts';
import { type Candidate, type Target, targetOf } from '#src/ai/candidates.ts';

/** The most time to the first content, between contents, and for the whole call, in milliseconds. */
export interface Timeouts {
  firstContentMs: number;
  idleMs: number;
  totalMs: number;
}

/** `withTimers` of timers.ts: reads a stream under its clocks and ends it with a ProviderError `timeout` when one runs out. */
export type WithTimers = (
  provider: ProviderName,
  open: (signal: AbortSignal) => ReturnType<Provider['stream']>,
  limits: Timeouts,
  signal: AbortSignal,
) => AsyncIterable<Chunk>;

/** One provider call as it is booked: also a failed or cancelled one may cost. */
export interface AttemptRecord extends Target {
  /** Milliseconds since 1970. */
  startedAt: number;
  latencyMs: number;
  timeToFirstTokenMs: number | null;
  /** Whose key it was asked with: on a workspace's own the provider sends the bill there. */
  keyOwner: ApiKey['owner'];
  /** By which the target was chosen. */
  strategy: Strategy;
  /** Absent where no key is needed. */
  keyId?: string;
  failure?: FailureClass | 'cancelled';
  /**
   * The provider's count, or ours from characters (`estimated`) where the stream broke before it, or was left by us: providers bill what was
   * asked then too. Absent where nothing of a failed one arrived.
   */
  usage?: Usage;
}

/** How one provider call ended: with the engine's result, or with what went wrong. */
export type Outcome<Result> =
  | { ok: true; result: Result; finishReason: FinishReason; usage: Usage; firstContentAt: number | null }
  | { ok: false; error: ProviderError; answer: string; hint?: string };

// Adapters classify what they see; what still comes unclassified is worth another provider, and a log line with its stack.
function classified(error: unknown, { provider }: Candidate): ProviderError {
  if (error instanceof ProviderError) return error;
  if (error instanceof AnswerError)
    return new ProviderError(provider.name, 'bad_output', error.message, { cause: error });
  return new ProviderError(provider.name, 'transient', `${provider.name} failed in a way not seen before.`, {
    cause: error,
  });
}

/** What one attempt needs beside its candidate. */
export interface AttemptContext<Input, Result> {
  engine: Engine<Input, Result>;
  input: Input;
  request: Omit<ChatRequest, 'model'>;
  signal: AbortSignal;
  /** Masks what goes out, puts the values back into what comes. */
  protection: Protection;
  withTimers: WithTimers;
  /** Milliseconds; what times are measured by. */
  clock: () => number;
  /** Shown text, in order. */
  show: (delta: string) => void;
  /** What the call may cost; its answer is cut there. */
  costLimits?: CostLimits | undefined;
  /** Every call, right or wrong, told once when it ended. */
  record: (attempt: Omit<AttemptRecord, 'strategy'>) => void;
}

/** What has arrived of one answer. */
interface Received {
  answer: string;
  toolCalls: ToolCall[];
  firstContentAt: number | null;
  end?: Extract<Chunk, { type: 'end' }>;
  /** The answer was cut, having reached what the call may cost. */
  isCut?: boolean;
}

/** Reads the stream to its end mark; leaving the loop closes the upstream, however it is left. */
async function receive(
  stream: AsyncIterable<Chunk>,
  signal: AbortSignal,
  into: Received,
  clock: () => number,
  take: (text: string) => void,
  isOver: Meter | undefined,
) {
  for await (const chunk of stream) {
    signal.throwIfAborted();
    if (chunk.type === 'end') {
      into.end = chunk;
      return;
    }
    into.firstContentAt ??= clock();
    if (chunk.type === 'tool') into.toolCalls.push(chunk.call);
    else {
      into.answer += chunk.text;
      take(chunk.text);
    }
    if (isOver?.(chunk)) {
      into.isCut = true;
      return;
    }
  }
  signal.throwIfAborted();
}

/** Passes shown text on, remembering what a callback threw: that is no provider's fault. */
function guarded(show: (delta: string) => void): { show: (delta: string) => void; fault?: { error: unknown } } {
  const guard: ReturnType<typeof guarded> = {
    show(delta) {
      if (delta === '') return;
      try {
        show(delta);
      } catch (error) {
        guard.fault = { error };
        throw error;
      }
    },
  };
  return guard;
}

/** One plain call as the stream of its parts: for answers that nobody reads while they are made. */
async function* plainly(complete: () => Promise<Completion>): AsyncGenerator<Chunk> {
  const { text, toolCalls, finishReason, usage } = await complete();
  if (text) yield { type: 'text', text };
  for (const call of toolCalls) yield { type: 'tool', call };
  yield { type: 'end', finishReason, usage };
}

/** The one place where a request goes out to a provider; its answer comes back in `receive`. */
function send(
  { provider, isStreamed, key }: Call,
  request: ChatRequest,
  signal: AbortSignal,
): AsyncIterable<Chunk | Progress> {
  return isStreamed ? provider.stream(request, signal, key) : plainly(() => provider.complete(request, signal, key));
}

/** One call to make: whom to ask, with which key and under which clocks. */
export interface Call extends Candidate {
  key: ApiKey | undefined;
  isStreamed: boolean;
  timeouts: Timeouts;
}

/**
 * Makes one provider call and reads its answer. Provider failures come back as a value; what a callback throws is thrown on.
 * @throws the signal's reason when the signal aborted.
 */
export async function attempt<Input, Result>(
  call: Call,
  context: AttemptContext<Input, Result>,
  extra: Message[] = [],
): Promise<Outcome<Result>> {
  const { provider, model, key, timeouts } = call;
  const { engine, input, signal, clock } = context;
  const startedAt = clock();
  const began = Date.now();
  const keyOwner = key?.owner ?? 'installation';
  const request = { ...context.request, messages: [...context.request.messages, ...extra], model };
  const reader = engine.read(input);
  const guard = guarded(context.show);
  const received: Received = { answer: '', toolCalls: [], firstContentAt: null };
  let isSent = false;
  const book = (failure?: AttemptRecord['failure']) => {
    const { firstContentAt } = received;
    const isBilled = firstContentAt !== null || (failure === 'cancelled' && isSent);
    const usage = received.end?.usage ?? (isBilled ? arrivedUsage(request, received) : undefined);
    context.record({
      ...targetOf(call),
      startedAt: began,
      latencyMs: Math.round(clock() - startedAt),
      timeToFirstTokenMs: firstContentAt === null ? null : Math.round(firstContentAt - startedAt),
      keyOwner,
      ...(key && { keyId: key.id }),
      ...(failure && { failure }),
      ...(usage && { usage }),
    });
  };
  let outcome: Outcome<Result>;
  try {
    const { request: sent, read } = context.protection.call(provider.name, request);
    const open = (inner: AbortSignal) => {
      isSent = true;
      return read(send(call, sent, inner));
    };
    const stream = context.withTimers(provider.name, open, timeouts, signal);
    const meter = createMeter({ provider: provider.name, keyOwner, request: sent }, context.costLimits ?? {});
    await receive(stream, signal, received, clock, (text) => guard.show(reader.push(text)), meter);
    if (received.isCut) received.end = { type: 'end', finishReason: 'length', usage: arrivedUsage(request, received) };
    const { end, toolCalls, firstContentAt } = received;
    if (!end) throw new ProviderError(provider.name, 'stream_truncated', `${provider.name} broke off its answer.`);
    const { rest, result } = reader.end({ finishReason: end.finishReason, toolCalls });
    guard.show(rest);
    outcome = { ok: true, result, finishReason: end.finishReason, usage: end.usage, firstContentAt };
  } catch (error) {
    if (guard.fault || signal.aborted) {
      book('cancelled');
      throw guard.fault ? guard.fault.error : signal.reason;
    }
    if (received.isCut && error instanceof AnswerError) {
      book('bad_output');
      throw maxCostReached();
    }
    const hint = error instanceof AnswerError ? error.hint : undefined;
    outcome = { ok: false, error: classified(error, call), answer: received.answer, ...(hint && { hint }) };
  }
  book(outcome.ok ? undefined : outcome.error.failure);
  return outcome;
}
