/** Why a running attempt was told to stop; the reason of its AbortSignal. */
export type StopReason = 'cancelled' | 'drain' | 'lease_lost' | 'deadline';

/** Not a failure: whoever stopped the attempt decides what becomes of the job. */
export class Stop extends Error {
  readonly reason: StopReason;
  constructor(reason: StopReason) {
    super(`Stopped: ${reason}`);
    this.name = 'Stop';
    this.reason = reason;
  }
}
