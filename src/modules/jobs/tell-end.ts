import type { KeyObject } from 'node:crypto';
import { toJobView, type JobRow } from '#src/modules/jobs/job.row.ts';
import type { Emission, Emitted } from '#src/streams/emit.ts';
import type { EndedJob } from '#src/streams/cursor.ts';
import { createFrameBox, formatPosition, LAST_SEQ, streamChannel, streamKey } from '#src/streams/frame.ts';

const ENDED_MS = 120_000;
const INLINE_VIEW_CHARS = 16 * 1024;

/** Tells listeners of an end that no worker writes. Best effort: they also find it in Postgres. */
export type TellEnd = (row: JobRow, status: EndedJob['status']) => void;

export interface TellEndResources {
  emit: (emission: Emission) => Promise<Emitted>;
  prefix: string;
  master: KeyObject;
  onError: (error: unknown) => void;
}

export function createTellEnd({ emit, prefix, master, onError }: TellEndResources): TellEnd {
  return (row, status) => {
    const id = formatPosition({ attempt: row.attempt, seq: LAST_SEQ });
    const view = toJobView(row);
    const isInline = JSON.stringify(view).length <= INLINE_VIEW_CHARS;
    const frame = createFrameBox(master, row.id).seal({ type: 'ended', status, view: isInline ? view : null }, id);
    emit({
      key: streamKey(prefix, row.id),
      channel: streamChannel(prefix, row.id),
      entries: [{ id, frame }],
      lifeMs: ENDED_MS,
    }).catch(onError);
  };
}
