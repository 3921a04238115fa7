import { stripVTControlCharacters } from 'node:util';
import { layOut, plain, redact, wrap } from './text.ts';

/** Where a command writes; a terminal says `isTTY`. */
export interface Stream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface OutputOptions {
  stdout: Stream;
  stderr: Stream;
  /** JSON on stdout, and nothing else there. */
  isJson: boolean;
}

const PLAIN_EVERY_MS = 10_000;

/**
 * What a command has to say. Results go to stdout, as JSON, as tables for a terminal or as tabbed lines for a pipe; whatever is for people
 * alone goes to stderr. API keys go nowhere. How far something is is drawn on a terminal, and elsewhere a line on stderr from time to time.
 */
export class Output {
  readonly isJson: boolean;
  /** Whether stdout is a terminal that may be drawn on. */
  readonly isTerminal: boolean;
  /** Whether what is said to people is read by one. */
  readonly isHeard: boolean;
  readonly #stdout: Stream;
  readonly #stderr: Stream;
  #drawn = 0;
  #lastKey: string | undefined;
  #lastAt = 0;

  constructor({ stdout, stderr, isJson }: OutputOptions) {
    this.isJson = isJson;
    this.isTerminal = stdout.isTTY === true && !isJson;
    this.isHeard = stderr.isTTY === true;
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  /** For people. */
  note(text: string): void {
    this.#erase();
    this.#stderr.write(`${redact(text)}\n`);
  }

  /** One JSON value on a line of its own. */
  json(value: object): void {
    if (this.isJson) this.#stdout.write(`${redact(JSON.stringify(value))}\n`);
  }

  /** Text as it is, where no JSON is asked for. */
  text(text: string): void {
    if (this.isJson) return;
    this.#erase();
    this.#stdout.write(text);
  }

  /** Rows: a table, or for a pipe lines with tabs and without the head. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void {
    if (this.isTerminal) this.text(layOut(head, rows));
    else this.text(rows.map((row) => `${row.map(plain).join('\t')}\n`).join(''));
  }

  /**
   * How far something is: as JSON, drawn over what was drawn before, or said.
   * @param lines each by its parts
   * @param key of what is worth a line at once, elsewhere than on a terminal
   */
  progress(state: object, lines: readonly (readonly string[])[], key: string): void {
    if (this.isJson) return this.json(state);
    if (this.isTerminal) return this.#draw(lines);
    if (key === this.#lastKey && Date.now() - this.#lastAt < PLAIN_EVERY_MS) return;
    this.#lastKey = key;
    this.#lastAt = Date.now();
    for (const line of lines) this.#stderr.write(`${stripVTControlCharacters(line.join('  '))}\n`);
  }

  /** Leaves what is drawn where it is. */
  settle(): void {
    this.#drawn = 0;
  }

  #draw(lines: readonly (readonly string[])[]): void {
    const width = (this.#stdout.columns || 80) - 1;
    // A line that the terminal wraps would be two to go back over.
    const fitting = lines.flatMap((line) => wrap(line, width));
    this.#erase();
    this.#stdout.write(fitting.map((line) => `${line}\n`).join(''));
    this.#drawn = fitting.length;
  }

  #erase(): void {
    if (this.#drawn > 0) this.#stdout.write(`\u001B[${this.#drawn}A\u001B[J`);
    this.#drawn = 0;
  }
}
