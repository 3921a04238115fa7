const BARE_MAX = 64 * 1024;
// The SDK's pattern for a line takes these for its end; in JSON they may stand as they are.
const SEPARATORS: Record<string, string> = { '\u2028': '\\u2028', '\u2029': '\\u2029' };

/**
 * Google's stream as its SDK can read it: the SDK stops at a comment, an event's name or a Unicode line separator, and reports an error
 * in the middle, which comes as JSON without `data:`, as unreadable.
 */
export class GoogleLines {
  #bare = '';

  /** @param text whole lines; returns the events in them */
  mend(text: string): string {
    return text
      .split('\n')
      .map((line) => this.#event(line.trimEnd()))
      .join('');
  }

  /** @param rest what came after the last line end; returns the error that came in place of an event */
  end(rest: string): string {
    try {
      const value: unknown = JSON.parse(this.#bare + rest);
      const error: unknown = Array.isArray(value) ? value[0] : value;
      return typeof error === 'object' && error !== null && 'error' in error
        ? `data: ${JSON.stringify(error)}\n\n`
        : '';
    } catch {
      // Nothing, or an event cut in its middle.
      return '';
    }
  }

  #event(line: string): string {
    if (line.startsWith('data:')) {
      const data = line.slice(5).trimStart();
      return `data: ${data.replace(/[\u2028\u2029]/g, (found) => SEPARATORS[found] ?? found)}\n\n`;
    }
    const isFraming = line === '' || /^(:|event:|id:|retry:)/.test(line);
    if (!isFraming && this.#bare.length < BARE_MAX) this.#bare += `${line}\n`;
    return '';
  }
}
