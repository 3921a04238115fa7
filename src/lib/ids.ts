import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

const RANDOM_BYTES = 16;
const pool = Buffer.alloc(256 * RANDOM_BYTES);
let used = pool.length;

/** Random bytes for one id; asking the system for each id's alone is several times as dear. */
function takeRandom(): Uint8Array {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += RANDOM_BYTES;
  return pool.subarray(used - RANDOM_BYTES, used);
}

let lastMs = 0;
let sequence = 0;

/** A new UUID v7 (RFC 9562): ids sort by when they were made, those of one process strictly, within a millisecond by a counter (section 6.2). */
export function newId(): string {
  const now = Date.now();
  const random = takeRandom();
  if (now > lastMs) {
    lastMs = now;
    // Begins in the lower half, so that it cannot run over within a millisecond.
    sequence = Buffer.from(random).readUInt32BE(6) >>> 1;
  } else sequence += 1;
  return v7({ random, msecs: lastMs, seq: sequence });
}

const MAX_SEQUENCE = 0xffff_ffff;

/**
 * A UUID v7 for something that happened at a moment of its own: such ids sort by that moment. Those of one millisecond sort by when they
 * were made, since clocks of others often count whole seconds.
 * @param atMs milliseconds since 1970, not negative
 * @param place among those made at once
 */
export function idAt(atMs: number, place: number): string {
  const sinceMs = Math.max(0, Date.now() - atMs);
  return v7({ random: takeRandom(), msecs: atMs, seq: Math.min(MAX_SEQUENCE - 1000, sinceMs) + place });
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether Postgres would read this text as a uuid in its usual spelling; asking it with anything else is an error 500. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}
