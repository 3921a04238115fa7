import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, randomBytes, type KeyObject } from 'node:crypto';
import { z } from 'zod';

/** One entry of a job's output log. `index` counts the chunks since the last restart. */
export type Frame =
  | { type: 'started'; provider: string; model: string }
  | { type: 'delta'; index: number; text: string }
  /** What was shown so far is void: the answer starts again from nothing. */
  | { type: 'restarted'; reason: string }
  /** All text since the last restart, in the place of frames that are gone; the next delta has this `index`. */
  | { type: 'snapshot'; index: number; text: string }
  /** The job is over. `view` is the job as clients see it, or null where it is too large to be carried here. */
  | { type: 'ended'; status: 'completed' | 'failed' | 'cancelled'; view: unknown };

/** A place in a job's log. Redis keeps entry ids rising, which is what fences off an attempt that lost its lease. */
export interface Position {
  attempt: number;
  seq: number;
}

/** The sequence number of an end that was written without knowing the log, by a cancel or the sweeper: above any other. */
export const LAST_SEQ = Number.MAX_SAFE_INTEGER;

export const START: Position = { attempt: 0, seq: 0 };

export const formatPosition = (position: Position): string => `${position.attempt}-${position.seq}`;

/** @returns the position written as `<attempt>-<seq>`, or null where the text is none. */
export function parsePosition(text: string): Position | null {
  const match = /^(\d{1,9})-(\d{1,16})$/.exec(text);
  if (!match) return null;
  const position = { attempt: Number(match[1]), seq: Number(match[2]) };
  return Number.isSafeInteger(position.seq) ? position : null;
}

export const isAfter = (a: Position, b: Position): boolean =>
  a.attempt > b.attempt || (a.attempt === b.attempt && a.seq > b.seq);

/** The names a job's log has in Redis; the tag in braces keeps them in one slot of a cluster. */
export const streamKey = (prefix: string, jobId: string): string => `${prefix}:{j:${jobId}}:s`;
export const streamChannel = (prefix: string, jobId: string): string => `${prefix}:{j:${jobId}}`;
/** One channel for what all workers must hear; a worker ignores jobs it does not run. */
export const controlChannel = (prefix: string): string => `${prefix}:ctl`;

/** Told to whichever worker runs the job. */
export const Control = z.object({ op: z.enum(['cancel', 'resync']), jobId: z.string() });
export type Control = z.infer<typeof Control>;

/** The purpose of the master key, for `deriveKey`. */
export const STREAM_KEY = 'stream.v1';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Seals and opens the frames of one job. */
export interface FrameBox {
  seal(frame: Frame, id: string): Buffer;
  /** @throws when the bytes were not sealed for this job and this id. */
  open(bytes: Buffer, id: string): Frame;
}

/**
 * AES-256-GCM under a key of the job's own (HKDF-SHA-256, RFC 5869), so that Redis never holds text in clear and a frame moved
 * to another job or place does not open.
 * @param master of at least 32 bytes. As a `KeyObject`, like the job's own key: a key given as bytes is imported at every call, which
 * takes four times as long as the sealing.
 */
export function createFrameBox(master: KeyObject, jobId: string): FrameBox {
  const key = createSecretKey(Buffer.from(hkdfSync('sha256', master, jobId, 'stream-frame', 32)));
  return {
    seal(frame, id) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce);
      cipher.setAAD(Buffer.from(id));
      const sealed = cipher.update(JSON.stringify(frame), 'utf8');
      return Buffer.concat([nonce, sealed, cipher.final(), cipher.getAuthTag()]);
    },
    open(bytes, id) {
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES));
      decipher.setAAD(Buffer.from(id));
      decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
      const sealed = bytes.subarray(NONCE_BYTES, bytes.length - TAG_BYTES);
      const text = decipher.update(sealed, undefined, 'utf8') + decipher.final('utf8');
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- authenticated: only `seal` can have made it
      return JSON.parse(text) as Frame;
    },
  };
}
