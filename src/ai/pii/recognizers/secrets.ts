import type { Subject } from '#src/ai/pii/recognizers/context.ts';
import type { Found } from '#src/ai/pii/span.ts';

/** Keys by the form their issuers give them, so that scanners can find them. */
const KEYS = [
  'sk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,200}',
  '(?:AKIA|ASIA)[A-Z0-9]{16}',
  'gh[pousr]_[A-Za-z0-9]{36,255}',
  'github_pat_[A-Za-z0-9_]{22,255}',
  'glpat-[A-Za-z0-9_-]{20,100}',
  'AIza[A-Za-z0-9_-]{35}',
  'ya29\\.[A-Za-z0-9_-]{20,300}',
  'xox[abeoprs]-[A-Za-z0-9-]{10,250}',
  '(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,250}',
  'whsec_[A-Za-z0-9+/=]{20,100}',
  'gsk_[A-Za-z0-9]{20,100}',
  'hf_[A-Za-z0-9]{20,100}',
  'npm_[A-Za-z0-9]{36}',
  'SG\\.[A-Za-z0-9_-]{16,64}\\.[A-Za-z0-9_-]{16,64}',
  'APP_USR-[A-Za-z0-9-]{20,200}',
  'EAA[A-Za-z0-9]{60,400}',
  '\\d{8,10}:AA[A-Za-z0-9_-]{33}',
  'eyJ[A-Za-z0-9_-]{8,4000}\\.eyJ[A-Za-z0-9_-]{8,8000}\\.[A-Za-z0-9_-]{8,2000}',
];
const KEY = new RegExp(`(?<![A-Za-z0-9_-])(?:${KEYS.join('|')})(?![A-Za-z0-9])`, 'g');
const NAMED =
  /(?:\b(?:senha|password|passwd|pwd|passphrase|contrase[nñ]a|api[ _-]?key|secret|client[ _-]?secret|access[ _-]?token|auth[ _-]?token|c[oó]digo de seguran[cç]a|cvv|cvc)(?: (?:[eé]|is|es)|\s?[:=])|\bBearer)\s{0,3}["']?(?=\S)/gi;
const NAMED_VALUE = /[^\s"'`,;\\<>()[\]{}]{3,200}/y;
const PEM = /-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----/g;
const PEM_LINE = /[A-Za-z0-9+/=]{16,80}/y;
const PEM_GAP = /[\s\\nr]{1,8}/y;
const PEM_LINES = 200;

const secret = (text: string, start: number, end: number, score: number): Found => ({
  type: 'secret',
  start,
  end,
  normalized: text.slice(start, end),
  score,
});

/** The lines of a PEM private key, each alone: what stands around them may be quoted in any way. */
function pemLines(text: string, from: number): Found[] {
  const all: Found[] = [];
  let at = from;
  for (let count = 0; count < PEM_LINES; count += 1) {
    PEM_GAP.lastIndex = at;
    if (PEM_GAP.test(text)) at = PEM_GAP.lastIndex;
    PEM_LINE.lastIndex = at;
    if (!PEM_LINE.test(text)) break;
    all.push(secret(text, at, PEM_LINE.lastIndex, 0.99));
    at = PEM_LINE.lastIndex;
  }
  return all;
}

/** API keys, signed tokens, private keys, and what follows "senha:" and the like. */
export function secrets({ text }: Subject): Found[] {
  const all: Found[] = [];
  for (const { 0: value, index } of text.matchAll(KEY)) all.push(secret(text, index, index + value.length, 0.95));
  for (const match of text.matchAll(NAMED)) {
    const start = match.index + match[0].length;
    NAMED_VALUE.lastIndex = start;
    const value = NAMED_VALUE.exec(text)?.[0].replace(/[.!?]$/, '');
    // A word alone is talk ("a senha é fácil"); a secret has a digit or a sign in it.
    if (value && /[^\p{L}]/u.test(value)) all.push(secret(text, start, start + value.length, 0.8));
  }
  if (text.includes('-----BEGIN ')) {
    for (const match of text.matchAll(PEM)) all.push(...pemLines(text, match.index + match[0].length));
  }
  return all;
}
