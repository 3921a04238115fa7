import { answerFor, hash, pieces } from './answer.ts';
import { instanceOf } from './schema-instance.ts';
import type { Script } from './script.ts';
import type { Ask, Reply } from './wire.ts';

function textFor(ask: Ask, script: Script): string {
  if (script.fault === 'empty' || script.fault === 'content_refused') return '';
  if (script.fault === 'invalid_json') return '{"broken": [1, 2';
  if (script.fault === 'done_in_text')
    return 'The line data: [DONE] is text here, and so is [DONE] alone.\n\ndata: [DONE]\n\nStill going.';
  if (script.text !== undefined) return script.text;
  if (script.json !== undefined) return JSON.stringify(script.json);
  if (ask.schema) return JSON.stringify(instanceOf(ask.schema, ask.prompt));
  const answer = answerFor(ask.prompt);
  // A long answer is the same one said again, so that every piece has a word in it.
  const words = script.chunks ? Math.ceil((script.chunks * 6) / answer.length) : 1;
  return Array.from({ length: Math.max(1, words) }, () => answer).join(' ');
}

function toolCallsFor(ask: Ask, script: Script): Reply['toolCalls'] {
  const first = ask.tools[0];
  const made = script.callTools || ask.mustCallTool ? first : undefined;
  const wanted =
    script.toolCalls ?? (made ? [{ name: made.name, arguments: instanceOf(made.parameters, ask.prompt) }] : []);
  return wanted.map((call, at) => ({
    id: `call_${hash(ask.prompt + call.name).toString(36)}${at}`,
    name: call.name,
    arguments: script.fault === 'invalid_tool_json' ? '{"broken": ' : JSON.stringify(call.arguments ?? {}),
  }));
}

/** What the model answers: decided by the script where it says so, else made from the prompt, the same each time. */
export function replyTo(ask: Ask, script: Script): Reply {
  const refused = script.fault === 'content_refused';
  const toolCalls = refused ? [] : toolCallsFor(ask, script);
  const text = toolCalls.length > 0 && script.text === undefined ? '' : textFor(ask, script);
  const said = text.length + toolCalls.reduce((sum, call) => sum + call.name.length + call.arguments.length, 0);
  const counted = {
    inputTokens: Math.max(1, Math.ceil(ask.promptChars / 4)),
    outputTokens: Math.ceil(said / 4),
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    reasoningTokens: 0,
  };
  return {
    id: `chatcmpl-${hash(ask.prompt).toString(36)}`,
    model: ask.model,
    parts: pieces(text, script.chunks),
    reasoning: pieces(script.reasoning ?? ''),
    toolCalls,
    // Only a provider that refuses with a 200 comes to this.
    finish: script.finish ?? (refused ? 'content_filter' : toolCalls.length > 0 ? 'tool_calls' : 'stop'),
    usage: script.fault === 'usage_missing' ? undefined : (script.usage ?? counted),
    nullUsage: script.fault === 'usage_null',
  };
}
