import type { z } from 'zod';
import type { Language } from '#src/ai/local/language.ts';
import type { Tone } from '#src/ai/local/templates.ts';
import type { ChatRequest, EngineName, FinishReason, ToolCall } from '#src/ai/model.ts';
import type { OwnPrompt, Prompt } from '#src/ai/prompts/define.ts';
import type { Band } from '#queues/define.ts';
import type { QueueName } from '#queues/index.ts';

/** Reads one provider's answer to one job, piece by piece; a new one is made for every try. */
export interface AnswerReader<Result> {
  /** Takes the next piece of the model's text; returns what of it the client may see now (may be empty: held back). */
  push(text: string): string;
  /**
   * Takes the end of the answer. `rest` is shown text that was still held back; all `push` results and `rest`, joined, are the streamed text.
   * @throws AnswerError when the answer does not meet the engine's result schema.
   */
  end(answer: { finishReason: FinishReason; toolCalls: ToolCall[] }): { rest: string; result: Result };
}

/** What a workspace wants where a job says nothing. */
export interface InputDefaults {
  tone?: Tone | undefined;
  /** BCP 47. */
  language?: string | undefined;
}

/** One AI task: what goes in, how a model is asked, how its answer becomes a result. Pure: no provider, no database, no clock. */
export interface Engine<Input = unknown, Result = unknown> {
  name: EngineName;
  queue: QueueName;
  band: Band;
  input: z.ZodType<Input>;
  result: z.ZodType<Result>;
  /** Whether text is shown while it is made; structured results are not. */
  streams: boolean;
  /** What the engine's own words add to its input at most, in estimated tokens. Known without writing the prompt: every request is priced. */
  promptTokens: number;
  /** Bounds what the answer can cost. */
  maxOutputTokens(input: Input): number;
  /** Absent where the client brings the turns itself. */
  prompt?: Prompt;
  /** Whether equal inputs may share one answer. */
  deterministic: boolean;
  /** The language the prompt is written in. Comes with `prompt`. */
  language?(input: Input): Language;
  /** Fills in what the workspace has chosen. Absent where the input has neither tone nor language. */
  withDefaults?(input: Input, defaults: InputDefaults): Input;
  /**
   * The turn to send, without the model.
   * @param own the workspace's instruction in the place of ours
   */
  ask(input: Input, own?: OwnPrompt): Omit<ChatRequest, 'model' | 'task' | 'maxOutputTokens'>;
  read(input: Input): AnswerReader<Result>;
}

/** Names an engine's types without widening them. */
export function defineEngine<Input, Result>(engine: Engine<Input, Result>): Engine<Input, Result> {
  return engine;
}

/** The model answered, but not what the engine must return; `hint` tells a model how to mend it. */
export class AnswerError extends Error {
  readonly hint: string;
  /**
   * @param fault what was wrong, in words for people: the job's problem shows it
   * @param advice what the model is told beside it; may name marks of the prompt
   */
  constructor(fault: string, advice = '') {
    super(`The answer of the model does not fit: ${fault}`);
    this.name = 'AnswerError';
    this.hint = `${fault} ${advice}`.trimEnd();
  }
}
