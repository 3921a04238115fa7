// @ts-check
import { existsSync } from 'node:fs';
import { aptInstall, canAptInstall, isUbuntu } from './debian.js';
import { findProgram } from './files.js';

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const APPLICATIONS = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

const findBrowser = () => findProgram(PROGRAMS) ?? APPLICATIONS.find((path) => existsSync(path));

/**
 * The browser for the extension's tests: CHROMIUM_PATH, else one of this machine, else Debian's, installed now.
 * @param {import('./packages.js').Run} run
 * @param {(line: string) => void} say
 * @returns {Promise<string | undefined>} undefined when there is none to be had: then those tests say so
 */
export async function ensureBrowser(run, say) {
  const known = process.env.CHROMIUM_PATH || findBrowser();
  if (known) return known;
  // Ubuntu's package of that name only points to a snap.
  if (canAptInstall() && !isUbuntu()) await aptInstall(run, 'chromium', say);
  else say('There is no Chromium: install one or set CHROMIUM_PATH for the tests of the extension');
  return findBrowser();
}
