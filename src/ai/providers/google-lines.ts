import type { LineRewriter } from '#src/ai/providers/rewrite-lines.ts';

const BARE_MAX = 64 * 1024;
// The SDK's pattern for a line takes these for its end; in JSON they may stand as they are.
const SEPARATORS: Record<string, string> = { '\u2028': '\\u2028', '\u2029': '\\u2029' };

/**
 * Google's stream as its SDK can read it: the SDK stops at a comment, an event's name or a Unicode line separator, and reports an error
 * in the middle, which comes as JSON without `data:`, as unreadable.
 */
export class GoogleLines implements LineRewriter {
  #bare = '';

  line(line: string): string {
    if (line.startsWith('data:')) {
      return `data: ${line
        .slice(5)
        .trim()
        .replace(/[\u2028\u2029]/g, (found) => SEPARATORS[found] ?? found)}\n\n`;
    }
    const isFraming = line === '' || /^(:|event:|id:|retry:)/.test(line);
    if (!isFraming && this.#bare.length < BARE_MAX) this.#bare += `${line}\n`;
    return '';
  }

  end(rest: string): string {
    const bare = this.#bare + rest;
    try {
      const value: unknown = JSON.parse(bare);
      const error: unknown = Array.isArray(value) ? value[0] : value;
      return typeof error === 'object' && error !== null && 'error' in error
        ? `data: ${JSON.stringify(error)}\n\n`
        : '';
    } catch {
      // Nothing, or an event cut in its middle.
      return '';
    }
  }
}
