import type { EngineName, Message } from '#src/ai/model.ts';
import { isInjection, readInjection } from '#src/ai/safety/injection.ts';
import type { Safety } from '#src/ai/safety/policy.ts';
import { AppError } from '#src/errors.ts';

/** What was noticed about a job's texts; fit for logs: it quotes nothing. */
export interface SafetyNote {
  kind: 'injection' | 'moderation_failed' | 'foreign_link';
  patterns?: string[];
}

/** What customers and tools wrote. The system prompt is ours, or in a chat the client's own; what a model said before is neither. */
export const materialOf = (messages: readonly Message[]): string[] =>
  messages
    .filter(({ role, content }) => (role === 'user' || role === 'tool') && content !== '')
    .map(({ content }) => content);

/**
 * Looks for orders to the model in the material.
 * @throws AppError 422 `injection_suspected` where the workspace refuses them
 */
export function readMaterial(messages: readonly Message[], { injection }: Safety): SafetyNote[] {
  if (injection === 'off') return [];
  const readings = materialOf(messages).map(readInjection).filter(isInjection);
  if (readings.length === 0) return [];
  const patterns = [...new Set(readings.flatMap((reading) => reading.patterns))].toSorted();
  if (injection === 'note') return [{ kind: 'injection', patterns }];
  throw new AppError(
    422,
    'injection_suspected',
    `The material tries to give the model orders (${patterns.join(', ')}).`,
  );
}

const LINK = /https?:\/\/[^\s/"'<>)\]]{1,253}/gi;
const hostsOf = (text: string): string[] => (text.match(LINK) ?? []).map((link) => link.toLowerCase());

/** Whether an answer has a web address of a host that nothing sent had: a model may have been told to plant it. */
export function hasForeignLink(answer: string, messages: readonly Message[]): boolean {
  const hosts = hostsOf(answer);
  if (hosts.length === 0) return false;
  const known = messages.map(({ content }) => content.toLowerCase()).join('\n');
  return hosts.some((host) => !known.includes(host.replace(/^https?:\/\/(?:www\.)?/, '')));
}

/** Whether the system prompt is the platform's own: in a chat it is the client's, who may ask for it back. */
export const isPromptOurs = (engine: EngineName): boolean => engine !== 'chat';
