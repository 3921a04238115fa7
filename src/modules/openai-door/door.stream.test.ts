import { expect, test } from 'vitest';
import type { JobEvent } from '#src/modules/jobs/job.schemas.ts';
import { CompletionFrames } from '#src/modules/openai-door/door.stream.ts';

const jobId = '019a0000-0000-7000-8000-000000000000';
const chunk = (delta: string): JobEvent => ({ event: 'job.chunk', data: { jobId, index: 0, delta } });
const restarted: JobEvent = { event: 'job.restarted', data: { jobId, reason: 'transient' } };
const textIn = (frames: string[]) => frames.map((frame) => /"content":"([^"]+)"/.exec(frame)?.[1] ?? '').join('');

test('after a restart it goes on where it stood, as soon as the new text is that long', () => {
  const frames = new CompletionFrames(jobId, 'auto', false);
  expect(textIn(frames.take(chunk('um dois ')))).toBe('um dois ');
  expect(frames.take(restarted)).toEqual([]);
  expect(frames.take(chunk('um '))).toEqual([]);
  expect(textIn(frames.take(chunk('dois três')))).toBe('três');
  expect(textIn(frames.take(chunk(' quatro')))).toBe(' quatro');
});

test('it ends with an error where the new text is another one', () => {
  const frames = new CompletionFrames(jobId, 'auto', false);
  frames.take(chunk('um dois'));
  frames.take(restarted);
  expect(frames.take(chunk('uma'))).toEqual([]);
  expect(() => frames.take(chunk(' resposta'))).toThrow('the answer began anew');
});

test('a restart before any text is none', () => {
  const frames = new CompletionFrames(jobId, 'auto', false);
  frames.take(restarted);
  expect(textIn(frames.take(chunk('outra')))).toBe('outra');
});
