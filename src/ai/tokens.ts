import type { ChatRequest, Message, ToolCall, Usage } from '#src/ai/model.ts';

/** Tokens a chat format adds to every message (role and separators), and once to open the answer. */
const PER_MESSAGE = 4;
const OPENING = 3;

const LETTER = 1;
const DIGIT = 2;
const SPACE = 3;
const NEWLINE = 4;
const WIDE = 5;
const OTHER = 6;

function classOf(code: number): number {
  if (code >= 97 && code <= 122) return LETTER;
  if (code >= 65 && code <= 90) return LETTER;
  if (code >= 48 && code <= 57) return DIGIT;
  if (code === 32) return SPACE;
  if (code === 10 || code === 13 || code === 9) return NEWLINE;
  if (code < 0xc0) return OTHER;
  return code < 0x250 ? LETTER : WIDE;
}

/**
 * Estimates the tokens of a text from its characters, in one pass: no vocabulary is loaded and no input makes it slow.
 * It leans up, because credits are reserved by it: a word costs a token per four letters, begun fours counted whole, and no word has
 * more than sixteen letters, so what is longer costs double; an accented letter counts twice; a change to a capital begins a new piece;
 * three digits or one mark are a token; a character of another script is one.
 * Against byte-pair vocabularies of 200 000 entries expect up to 50 % too many for Portuguese, Spanish and English prose, up to twice
 * too many for CJK and Cyrillic; it can be too low, by up to a half, for short random letters and for rare scripts and emoji.
 */
export function estimateTokens(text: string): number {
  let tokens = 0;
  let run = 0;
  let last = 0;
  let lower = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const kind = classOf(code);
    const capital = code >= 65 && code <= 90;
    if (kind !== last || (capital && lower)) {
      tokens += closed(last, run);
      run = 0;
    }
    run += kind === LETTER && code >= 0xc0 ? 2 : 1;
    last = kind;
    lower = kind === LETTER && !capital;
  }
  return tokens + closed(last, run);
}

/** Tokens of a run of one kind of characters. One space belongs to the word after it; longer runs of spaces are joined. */
function closed(kind: number, run: number): number {
  switch (kind) {
    case LETTER:
      return run <= 16 ? Math.ceil(run / 4) : 4 + Math.ceil((run - 16) / 2);
    case DIGIT:
      return Math.ceil(run / 3);
    case SPACE:
      return run === 1 ? 0 : Math.ceil(run / 8);
    case NEWLINE:
      return Math.ceil(run / 2);
    default:
      return run;
  }
}

/** Estimates the input tokens of a list of messages, with what the chat format adds. */
export function estimateMessageTokens(messages: readonly Message[]): number {
  let tokens = OPENING;
  for (const message of messages) {
    tokens += PER_MESSAGE + estimateTokens(message.content);
    for (const call of message.toolCalls ?? [])
      tokens += PER_MESSAGE + estimateTokens(call.name) + estimateTokens(call.arguments);
  }
  return tokens;
}

/** Estimates the input tokens of a whole turn: messages, tools and the schema of the answer. */
export function estimateRequestTokens(request: Pick<ChatRequest, 'messages' | 'tools' | 'responseSchema'>): number {
  const attached = [...(request.tools ?? []), ...(request.responseSchema ? [request.responseSchema] : [])];
  return attached.reduce(
    (tokens, one) => tokens + PER_MESSAGE + estimateTokens(JSON.stringify(one)),
    estimateMessageTokens(request.messages),
  );
}

/** Tokens a character adds on average, for GPT's vocabulary of 200 000 entries, over chat in Portuguese, Spanish and English. */
function likelyOf(code: number): number {
  switch (classOf(code)) {
    case LETTER:
      return code < 0xc0 ? 0.1 : 0.3;
    case DIGIT:
      return 0.45;
    case SPACE:
      return 0.7;
    case NEWLINE:
      return 0.4;
    case WIDE:
      // Cyrillic and its like have words in the vocabulary; CJK nearly a token for each character.
      return code < 0x2e80 ? 0.17 : 0.8;
    default:
      return 0.7;
  }
}

/**
 * The likely tokens of a text, neither leaning up nor down: for what arrived and nobody counted. It is a sum over characters, so the
 * counts of two pieces add up to that of both. Prose, JSON and code are met to about a fifth; random letters are not.
 * @returns no whole number
 */
export function likelyTokens(text: string): number {
  let tokens = 0;
  for (let at = 0; at < text.length; at++) tokens += likelyOf(text.charCodeAt(at));
  return tokens;
}

/** The likely input tokens of a whole turn, as `likelyTokens` counts. */
export function likelyInputTokens(request: Pick<ChatRequest, 'messages' | 'tools' | 'responseSchema'>): number {
  const attached = [...(request.tools ?? []), ...(request.responseSchema ? [request.responseSchema] : [])];
  const said = request.messages.reduce(
    (tokens, { content, toolCalls }) => tokens + PER_MESSAGE + likelyTokens(content) + likelyCalls(toolCalls ?? []),
    OPENING,
  );
  return Math.ceil(attached.reduce((tokens, one) => tokens + PER_MESSAGE + likelyTokens(JSON.stringify(one)), said));
}

/** The likely tokens of tool calls, as `likelyTokens` counts. */
export function likelyCalls(calls: readonly ToolCall[]): number {
  return calls.reduce((sum, call) => sum + PER_MESSAGE + likelyTokens(call.name) + likelyTokens(call.arguments), 0);
}

/** The usage of a call that broke off before its provider counted: the likely tokens of what was sent and of what arrived. */
export function arrivedUsage(
  request: Pick<ChatRequest, 'messages' | 'tools' | 'responseSchema'>,
  { answer, toolCalls }: { answer: string; toolCalls: readonly ToolCall[] },
): Usage {
  return {
    inputTokens: likelyInputTokens(request),
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    outputTokens: Math.ceil(likelyTokens(answer) + likelyCalls(toolCalls)),
    reasoningTokens: 0,
    estimated: true,
  };
}
