/** One step of a job's text. `text` is all of it so far; it equals the previous `text` (nothing, if `restarted`) plus `delta`. */
export interface JobUpdate {
  delta: string;
  text: string;
  /** What was shown before must be discarded. */
  restarted: boolean;
}

/** The text of one job as its events build it. */
export class JobText {
  text = '';
  #nextIndex = 0;
  #restarts = 0;
  #resyncs = 0;

  get restarts(): number {
    return this.#restarts;
  }

  get resyncs(): number {
    return this.#resyncs;
  }

  /** Takes `job.chunk`. `gap`: something before it is missing, it was not taken; `repeated`: it was here already. */
  chunk(index: number, delta: string): 'taken' | 'repeated' | 'gap' {
    if (index > this.#nextIndex) return 'gap';
    if (index < this.#nextIndex) return 'repeated';
    this.text += delta;
    this.#nextIndex += 1;
    return 'taken';
  }

  /** Takes `job.restarted`: `resync` sends the same text again from its start, any other reason voids it. */
  restart(reason: string): void {
    if (reason === 'resync') this.#resyncs += 1;
    else this.#restarts += 1;
    this.text = '';
    this.#nextIndex = 0;
  }

  /** Takes the whole text from another source (the job's view). */
  replace(text: string): void {
    if (text === this.text) return;
    if (!text.startsWith(this.text)) this.#resyncs += 1;
    this.text = text;
  }
}

/** One reader's place in a text. A slow reader gets what came meanwhile as one step, so nothing queues up. */
export class TextReader {
  readonly #source: JobText;
  #shown = '';
  #restarts = 0;
  #resyncs = 0;

  constructor(source: JobText) {
    this.#source = source;
  }

  /** The next step; `undefined` when there is none yet (or, once the text `isFinal`, at all). */
  next(isFinal: boolean): JobUpdate | undefined {
    const { text, restarts, resyncs } = this.#source;
    if (restarts !== this.#restarts) {
      // Told at once also without new text, so that a screen is cleared when the text is void, not later.
      return text === '' && this.#shown === '' ? undefined : this.#step(text, true);
    }
    if (resyncs !== this.#resyncs && !text.startsWith(this.#shown)) {
      const isCatchingUp = this.#shown.startsWith(text);
      return isCatchingUp && !isFinal ? undefined : this.#step(text, true);
    }
    this.#resyncs = resyncs;
    return text.length === this.#shown.length ? undefined : this.#step(text, false);
  }

  #step(text: string, restarted: boolean): JobUpdate {
    const delta = restarted ? text : text.slice(this.#shown.length);
    this.#shown = text;
    this.#restarts = this.#source.restarts;
    this.#resyncs = this.#source.resyncs;
    return { delta, text, restarted };
  }
}
