// @ts-check
import { setTimeout as wait } from 'node:timers/promises';
import { StartError } from './start-error.js';

// A machine that is busy with other things takes its time; a process that ends is told of at once.
const READY_MS = 180_000;
const ASK_EVERY_MS = 40;
const ANSWER_MS = 5000;

/**
 * @param {string} api base URL
 * @throws {StartError} when it does not say 200 in three minutes
 */
export async function untilReady(api) {
  const url = `${api}/api/health/ready`;
  const deadline = Date.now() + READY_MS;
  let last = 'no answer';
  while (Date.now() < deadline) {
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });
      const text = await answer.text();
      if (answer.status === 200) return;
      last = `${answer.status} ${text.slice(0, 500)}`;
    } catch {
      // Not listening yet.
    }
    await wait(ASK_EVERY_MS);
  }
  throw new StartError(`${url} was not ready after ${READY_MS / 1000} s: ${last}`);
}

/** @param {string} text for a shell, in single quotes */
const quote = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/**
 * @param {{ api: string, ops: { user: string, password: string }, demo: { email: string, password: string, apiKey: string | null }, seconds: string, dataDir: string }} facts
 * @returns {string} what a person needs to go on
 */
export function banner({ api, ops, demo, seconds, dataDir }) {
  const login = JSON.stringify({ email: demo.email, password: demo.password });
  const question = JSON.stringify({
    conversationHistory: [{ role: 'user', content: 'Oi! Quanto custa o plano Pro?' }],
  });
  const json = `-H 'Content-Type: application/json'`;
  const token = String.raw`sed 's/.*"token":"\([^"]*\)".*/\1/'`;
  return `
WhatsHybrid is ready (${seconds})

  API         ${api}/api
  Docs        ${api}/docs
  Bull Board  ${api}/ops/queues   user ${ops.user}, password ${ops.password}
  Demo login  ${demo.email}, password ${demo.password}
  Demo key    ${demo.apiKey ?? 'none: the demo workspace has as many keys as it may have'}
  Data        ${dataDir}

Ask the copilot; the answer streams:

  curl -N ${api}/api/ai/copilot \\
    -H "Authorization: Bearer $(curl -s ${api}/api/auth/login ${json} -d ${quote(login)} | ${token})" \\
    ${json} -H 'Accept: text/event-stream' \\
    -d ${quote(question)}

Ctrl-C stops everything.
`;
}
