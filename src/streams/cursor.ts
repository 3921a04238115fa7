import {
  formatPosition,
  isAfter,
  LAST_SEQ,
  parsePosition,
  START,
  type Frame,
  type Position,
} from '#src/streams/frame.ts';

/** One event of a job as a socket carries it; `data` is JSON text. */
export interface StreamEvent {
  id: string;
  event: string;
  data: string;
}

/** The id of `job.queued`, which is told by the API and not in the log: above `0-0`, where a client begins, below all of an attempt's. */
export const QUEUED_ID = '0-1';

/** What a reader needs of a job that is over. */
export interface EndedJob {
  status: 'completed' | 'failed' | 'cancelled';
  attempts: number;
  view: unknown;
  /** All text of the final answer. */
  text: string | null;
}

/**
 * Where a client resumes, as an event's id tells: `<attempt>-<seq>[-<void>[-<skipped>]]`.
 */
export interface ResumePoint {
  position: Position;
  /** It was told to discard its text and did not get the new one. */
  isVoid: boolean;
  /** Its chunk indexes are this much below the log's, because a snapshot took the place of several chunks. */
  skippedIndexes: number;
}

/** @returns the place named by an event's id, or null where the text is none. */
export function parseResumeId(text: string): ResumePoint | null {
  const [, place = '', isVoid, skipped] = /^(\d+-\d+)(?:-([01])(?:-(\d{1,9}))?)?$/.exec(text) ?? [];
  const position = parsePosition(place);
  return position && { position, isVoid: isVoid === '1', skippedIndexes: Number(skipped ?? 0) };
}

/** The frame could not be placed: `gap`, some before it are missing; `row`, only the database knows what to tell. */
export type Unplaced = 'gap' | 'row';

/** Follows one job for one client: turns frames into events, each once, in order, with no text lost unnoticed. */
export interface Cursor {
  position(): Position;
  /** Text is missing and only a snapshot, a restart or the database can mend it. */
  isLost(): boolean;
  isOver(): boolean;
  /** @param mayGap whether frames missing before this one are known to be gone (a replay) or may still be fetched (live). */
  take(position: Position, frame: Frame, mayGap: boolean): StreamEvent[] | Unplaced;
  /** The events that bring the client from where it is to the end. */
  takeEnded(job: EndedJob): StreamEvent[];
}

/** @param from where the client stopped; null for one that has seen nothing. */
export function createCursor(jobId: string, from: ResumePoint | null): Cursor {
  let position = from?.position ?? START;
  let isLost = from?.isVoid ?? false;
  let isOver = false;
  // A resumed client may show text that this cursor did not send.
  let hasText = from !== null && !from.isVoid && from.position.attempt > 0;
  let skippedIndexes = from?.skippedIndexes ?? 0;

  const idHere = (): string => formatPosition(position) + (skippedIndexes > 0 ? `-0-${skippedIndexes}` : '');
  const event = (name: string, data: unknown, id = idHere()): StreamEvent => ({
    id,
    event: `job.${name}`,
    data: JSON.stringify(data),
  });

  const wholeText = (text: string, indexes: number, before: Position): StreamEvent[] => {
    const events: StreamEvent[] = [];
    skippedIndexes = text === '' ? indexes : Math.max(0, indexes - 1);
    if (hasText) events.push(event('restarted', { jobId, reason: 'resync' }, `${formatPosition(before)}-1`));
    if (text !== '') events.push(event('chunk', { jobId, index: 0, delta: text }));
    hasText = text !== '';
    isLost = false;
    return events;
  };

  const ended = (status: EndedJob['status'], view: unknown): StreamEvent => {
    isOver = true;
    const problem = typeof view === 'object' && view !== null && 'problem' in view ? view.problem : null;
    return status === 'completed' ? event(status, view) : event(status, { jobId, problem });
  };

  const place = (frame: Frame, before: Position): StreamEvent[] | Unplaced => {
    switch (frame.type) {
      case 'started':
        return [event('started', { jobId, provider: frame.provider, model: frame.model, attempt: position.attempt })];
      case 'restarted':
        isLost = false;
        hasText = false;
        skippedIndexes = 0;
        return [event('restarted', { jobId, reason: frame.reason })];
      case 'delta':
        if (isLost) return [];
        hasText = true;
        return [event('chunk', { jobId, index: frame.index - skippedIndexes, delta: frame.text })];
      case 'snapshot':
        if (!isLost) return [];
        return wholeText(frame.text, frame.index, before);
      case 'ended':
        if (frame.view === null || (isLost && frame.status === 'completed')) {
          position = before;
          return 'row';
        }
        return [ended(frame.status, frame.view)];
      default:
        return frame satisfies never;
    }
  };

  return {
    position: () => position,
    isLost: () => isLost,
    isOver: () => isOver,
    take(next, frame, mayGap) {
      if (isOver || !isAfter(next, position)) return [];
      const isNewAttempt = next.attempt > position.attempt && next.seq === 1;
      const isNext = isNewAttempt || (next.attempt === position.attempt && next.seq === position.seq + 1);
      const isForeignEnd = frame.type === 'ended' && next.seq === LAST_SEQ && frame.status !== 'completed';
      if (!isNext && !isForeignEnd) {
        if (!mayGap) return 'gap';
        isLost = true;
      }
      const before = isNext ? position : { attempt: next.attempt, seq: next.seq - 1 };
      position = next;
      return place(frame, before);
    },
    takeEnded(job) {
      if (isOver) return [];
      const hasAllText = position.attempt === job.attempts && position.seq >= LAST_SEQ - 1;
      const before = position;
      const events: StreamEvent[] = [];
      if (job.status === 'completed' && !hasAllText) {
        position = { attempt: job.attempts, seq: LAST_SEQ - 1 };
        events.push(...wholeText(job.text ?? '', 0, before));
      }
      position = { attempt: job.attempts, seq: LAST_SEQ };
      events.push(ended(job.status, job.view));
      return events;
    },
  };
}
