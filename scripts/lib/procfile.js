// @ts-check
import { StartError } from './start-error.js';

/**
 * @param {string} text of a Procfile: `name: command` lines
 * @returns {Map<string, string[]>} the words of each command, in the file's order
 * @throws {StartError} naming the line that is none, has a name twice, or needs a shell
 */
export function parseProcfile(text) {
  const processes = new Map();
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (!line || line.startsWith('#')) continue;
    const where = `Procfile line ${index + 1}`;
    const [, name, command] = /^([A-Za-z0-9_-]+)\s*:\s*(\S.*)$/.exec(line) ?? [];
    if (!name || !command) throw new StartError(`${where}: expected "name: command"`);
    if (/["'`$\\;&|<>(){}*?~]/.test(command)) throw new StartError(`${where}: plain words only, no shell runs it`);
    if (processes.has(name)) throw new StartError(`${where}: "${name}" stands there twice`);
    processes.set(name, command.split(/\s+/));
  }
  return processes;
}
