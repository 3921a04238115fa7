// An engine's reading of an answer, in whatever pieces it came.
import * as fc from 'fast-check';
import { expect } from 'vitest';
import type { Engine } from '#src/ai/engines/define.ts';
import type { FinishReason } from '#src/ai/model.ts';

/** Cuts a text at arbitrary UTF-16 positions, also inside a surrogate pair. */
export const cuts = (text: string) =>
  fc.array(fc.nat(text.length), { maxLength: 12 }).map((places) => {
    const edges = [0, ...places.toSorted((a, b) => a - b), text.length];
    return edges.slice(1).map((edge, at) => text.slice(edges[at], edge));
  });

/** Reads an answer; what was shown must be the start of the streamed text, and the result must meet the engine's schema. */
export function readWith<Input, Result>(
  engine: Engine<Input, Result>,
  input: Input,
  pieces: string[],
  finishReason: FinishReason = 'stop',
): { shown: string; result: Result } {
  const reader = engine.read(input);
  const shown = pieces.map((piece) => reader.push(piece)).join('');
  const { rest, result } = reader.end({ finishReason, toolCalls: [] });
  expect(engine.result.parse(result)).toEqual(result);
  return { shown: shown + rest, result };
}
