const SPACE = /[ \t\n\r]*/y;
// Control characters must be escaped in JSON; all others, U+007F too, may stand as they are.
// oxlint-disable-next-line no-control-regex
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y;

/**
 * Where a text stops being JSON: the index of the first character that cannot be there, or the text's length when it ends too soon.
 * The platform's own parser does not always say. Call it only for a text that `JSON.parse` refused.
 */
export function jsonErrorIndex(text: string): number {
  const open: ('{' | '[')[] = [];
  let index = 0;
  const eat = (pattern: RegExp): boolean => {
    pattern.lastIndex = index;
    if (!pattern.test(text)) return false;
    index = pattern.lastIndex;
    return true;
  };
  const eatCharacter = (character: string): boolean => {
    eat(SPACE);
    if (text[index] !== character) return false;
    index += 1;
    return true;
  };
  const eatKey = (): boolean => {
    eat(SPACE);
    return eat(STRING) && eatCharacter(':');
  };

  for (;;) {
    eat(SPACE);
    if (eatCharacter('{')) {
      if (!eatCharacter('}')) {
        if (!eatKey()) return index;
        open.push('{');
        continue;
      }
    } else if (eatCharacter('[')) {
      if (!eatCharacter(']')) {
        open.push('[');
        continue;
      }
    } else if (!eat(STRING) && !eat(SCALAR)) return index;

    // A value has ended: close what ends with it, then go on with the next one.
    while (open.length > 0 && eatCharacter(open.at(-1) === '{' ? '}' : ']')) open.pop();
    if (open.length === 0 || !eatCharacter(',')) return atSpaceEnd(text, index);
    if (open.at(-1) === '{' && !eatKey()) return index;
  }
}

function atSpaceEnd(text: string, index: number): number {
  SPACE.lastIndex = index;
  SPACE.test(text);
  return SPACE.lastIndex;
}

/** A position as people count it: line and column, both from 1. */
export function lineAndColumn(text: string, index: number): { line: number; column: number } {
  const before = text.slice(0, index);
  const lastBreak = before.lastIndexOf('\n');
  return { line: before.split('\n').length, column: index - lastBreak };
}
