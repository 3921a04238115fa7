// @ts-check
import { readFileSync } from 'node:fs';
import { codeOf, StartError } from './start-error.js';

const LINE = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/;
const UNQUOTED_COMMENT = /(?:^|\s)#.*$/;

/**
 * @param {string} text what stands after `=`
 * @param {string} where the file and line, for the error
 */
function parseValue(text, where) {
  const quote = text[0];
  if (quote !== '"' && quote !== "'" && quote !== '`') return text.replace(UNQUOTED_COMMENT, '').trim();
  const end = text.indexOf(quote, 1);
  if (end < 0) throw new StartError(`${where}: the ${quote} is never closed`);
  const rest = text.slice(end + 1).trim();
  if (rest && !rest.startsWith('#')) throw new StartError(`${where}: unexpected text after the closing ${quote}`);
  const inside = text.slice(1, end);
  return quote === '"' ? inside.replaceAll('\\n', '\n') : inside;
}

/**
 * Reads `NAME=value` lines: comments, `export`, and single, double or backtick quotes are understood.
 * @param {string} text
 * @param {string} file its name, for errors
 * @returns {Record<string, string>} the last of two equal names wins
 * @throws {StartError} naming the line of the first thing that is not an assignment; never the value, it may be a secret
 */
export function parseEnv(text, file = '.env') {
  /** @type {Record<string, string>} */
  const values = {};
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = raw.trim();
    if (!line || line.startsWith('#')) continue;
    const where = `${file} line ${index + 1}`;
    const [, name, value] = LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new StartError(`${where}: expected NAME=value`);
    values[name] = parseValue(value, where);
  }
  return values;
}

/**
 * @param {string} path
 * @param {NodeJS.ProcessEnv} real the process's own environment: it wins over the file
 * @returns {Record<string, string>} both together; an absent file is an empty one
 */
export function readEnv(path, real) {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  const values = parseEnv(text, path);
  for (const [name, value] of Object.entries(real)) if (value !== undefined) values[name] = value;
  return values;
}
