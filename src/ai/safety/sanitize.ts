/** Flags of England, Scotland and Wales: the only tag characters in common use. */
const FLAGS =
  /\u{1f3f4}(?:\u{e0067}\u{e0062}(?:\u{e0065}\u{e006e}\u{e0067}|\u{e0073}\u{e0063}\u{e0074}|\u{e0077}\u{e006c}\u{e0073}))\u{e007f}/uy;
const SUSPECT =
  /\u034f|[\ufe00-\ufe0f]|[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\uff01-\uff5e\ufff9-\ufffb\u{1d400}-\u{1d7ff}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;
const PICTURE = /[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}0-9#*]/u;
/** Scripts that write with joiners. */
const JOINING =
  /[\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Malayalam}\p{Script=Sinhala}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Khmer}\p{Script=Mongolian}]/u;

const before = (text: string, at: number): string => {
  const low = text.charCodeAt(at - 1);
  return low >= 0xdc00 && low <= 0xdfff ? text.slice(at - 2, at) : text.charAt(at - 1);
};

function isMeant(text: string, character: string, at: number): boolean {
  const left = before(text, at);
  if (character === '\ufe0f' || character === '\ufe0e') return PICTURE.test(left);
  const right = String.fromCodePoint(text.codePointAt(at + character.length) ?? 32);
  if (character !== '\u200d' && character !== '\u200c') return false;
  if (JOINING.test(left) && JOINING.test(right)) return true;
  return character === '\u200d' && (PICTURE.test(left) || left === '\ufe0f') && PICTURE.test(right);
}

/**
 * A text without what people cannot see and models can: zero-width, bidirectional, tag and filler characters and variation selectors, but
 * for those that hold an emoji or a joining script together. Full-width and mathematical letters become plain ones (NFKC); the rest of NFKC
 * would change what people wrote ("½", "m²").
 */
export function sanitize(text: string): string {
  if (text.search(SUSPECT) === -1) return text;
  const parts: string[] = [];
  let from = 0;
  SUSPECT.lastIndex = 0;
  for (let match = SUSPECT.exec(text); match; match = SUSPECT.exec(text)) {
    const [character] = match;
    const at = match.index;
    const plain = character.normalize('NFKC');
    if (isMeant(text, character, at)) continue;
    FLAGS.lastIndex = at - 2;
    if (character === '\u{e0067}' && at >= 2 && FLAGS.test(text)) {
      SUSPECT.lastIndex = FLAGS.lastIndex;
      continue;
    }
    parts.push(text.slice(from, at), /^[\u0020-\u007e\u0370-\u03ff]$/.test(plain) ? plain : '');
    from = at + character.length;
  }
  return parts.join('') + text.slice(from);
}
