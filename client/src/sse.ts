/** One event of a `text/event-stream` (WHATWG HTML §9.2). */
export interface SseEvent {
  id: string;
  event: string;
  data: string;
}

/** Turns pieces of an event stream, cut anywhere, into events. */
export class SseParser {
  #rest = '';
  #lastId = '';
  #event = '';
  #lines: string[] = [];
  #isFirst = true;

  push(piece: string): SseEvent[] {
    let text = this.#rest + piece;
    if (this.#isFirst && text !== '') {
      text = text.replace(/^\uFEFF/, '');
      this.#isFirst = false;
    }
    const events: SseEvent[] = [];
    let start = 0;
    for (const match of text.matchAll(/\r\n|\n|\r/g)) {
      // A lone CR at the very end may be the first half of CRLF: wait for the next piece.
      if (match[0] === '\r' && match.index === text.length - 1) break;
      const event = this.#line(text.slice(start, match.index));
      if (event) events.push(event);
      start = match.index + match[0].length;
    }
    this.#rest = text.slice(start);
    return events;
  }

  #line(line: string): SseEvent | undefined {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') this.#lines.push(value);
    else if (field === 'event') this.#event = value;
    else if (field === 'id' && !value.includes('\0')) this.#lastId = value;
    return undefined;
  }

  #dispatch(): SseEvent | undefined {
    const event = { id: this.#lastId, event: this.#event || 'message', data: this.#lines.join('\n') };
    const isEmpty = this.#lines.length === 0;
    this.#lines = [];
    this.#event = '';
    return isEmpty ? undefined : event;
  }
}

/** Reads an event stream until it ends; leaving the loop closes it. */
export async function* readSse(body: ReadableStream<Uint8Array>): AsyncGenerator<SseEvent, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new SseParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
