import type { Fault } from '../../../simulator/script.ts';
import type { ApiKey, FailureClass, Provider, ProviderName } from '#src/ai/model.ts';
import { readApiKeys } from '#src/ai/api-keys.ts';
import { createGroq } from '#src/ai/providers/groq.ts';
import { createMistral } from '#src/ai/providers/mistral.ts';
import { createAnthropic } from '#src/ai/providers/anthropic.ts';
import { createCohere } from '#src/ai/providers/cohere.ts';
import { createGoogle } from '#src/ai/providers/google.ts';
import { createOllama } from '#src/ai/providers/ollama.ts';
import { createOpenai } from '#src/ai/providers/openai.ts';
import { createTogether } from '#src/ai/providers/together.ts';

export const SHAPES = ['text', 'tools', 'schema'] as const;
export type Shape = (typeof SHAPES)[number];
export const MODES = ['stream', 'plain'] as const;
export type Mode = (typeof MODES)[number];
/** `ok`: the answer arrives whole. */
export type Outcome = 'ok' | FailureClass;

/** A provider as the tests meet it, against the simulator. */
export interface Simulated {
  name: ProviderName;
  /** @param url of the simulator @param keys where it needs any */
  make: (url: string, keys: readonly ApiKey[]) => Provider;
  model: string;
  /** How its key arrives, as the simulator names it, and at which path. */
  auth: string;
  path: string | RegExp;
  /** Where it differs from `OUTCOMES`; undefined: it does not. */
  except?: (fault: Fault, shape: Shape, mode: Mode) => Outcome | undefined;
}

export const SECRET = 'sk-test-0123456789';
export const KEYS = readApiKeys([SECRET], 'installation');

/** Every provider that is reached over the network; the tests run over all of them. */
export const SIMULATED: readonly Simulated[] = [
  {
    name: 'openai',
    make: (url, keys) => createOpenai({ keys, baseUrl: `${url}/openai/v1`, models: ['gpt-5.6-luna'] }),
    model: 'gpt-5.6-luna',
    auth: 'bearer',
    path: '/openai/v1/chat/completions',
  },
  {
    name: 'ollama',
    make: (url) => createOllama({ baseUrl: `${url}/ollama`, models: ['llama3.2'] }),
    model: 'llama3.2',
    auth: 'none',
    path: '/ollama/api/chat',
    except(fault) {
      // Ollama parses tool arguments itself, so they are always JSON.
      if (fault === 'invalid_tool_json') return 'ok';
      // It sends no codes, and the words of a failing server are no evidence.
      return fault === 'capacity' || fault === 'slow_down' ? 'transient' : undefined;
    },
  },
  {
    name: 'groq',
    make: (url, keys) => createGroq({ keys, baseUrl: `${url}/groq`, models: ['openai/gpt-oss-20b'] }),
    model: 'openai/gpt-oss-20b',
    auth: 'bearer',
    path: '/groq/openai/v1/chat/completions',
    // The model called a tool that does not fit: another try may.
    except: (fault) => (fault === 'unprocessable' ? 'bad_output' : undefined),
  },
  {
    name: 'mistral',
    make: (url, keys) => createMistral({ keys, baseUrl: `${url}/mistral`, models: ['mistral-small-latest'] }),
    model: 'mistral-small-latest',
    auth: 'bearer',
    path: '/mistral/v1/chat/completions',
  },
  {
    name: 'together',
    make: (url, keys) => createTogether({ keys, baseUrl: `${url}/together/v1`, models: ['openai/gpt-oss-20b'] }),
    model: 'openai/gpt-oss-20b',
    auth: 'bearer',
    path: '/together/v1/chat/completions',
    // Its 403 is always about the length, so the simulator has no other.
    except: (fault) => (fault === 'forbidden' ? 'ok' : undefined),
  },
  {
    name: 'anthropic',
    make: (url, keys) => createAnthropic({ keys, baseUrl: `${url}/anthropic`, models: ['claude-haiku-4-5'] }),
    model: 'claude-haiku-4-5',
    auth: 'bearer',
    path: '/anthropic/v1/messages',
  },
  {
    name: 'google',
    make: (url, keys) => createGoogle({ keys, baseUrl: `${url}/google`, models: ['gemini-2.5-flash'] }),
    model: 'gemini-2.5-flash',
    auth: 'x-goog-api-key',
    path: /^\/google\/v1beta\/models\/gemini-2\.5-flash:(streamG|g)enerateContent$/,
    // Google has one status for every way of being busy.
    except: (fault) => (fault === 'unavailable' ? 'overloaded' : undefined),
  },
  {
    name: 'cohere',
    make: (url, keys) => createCohere({ keys, baseUrl: `${url}/cohere`, models: ['command-a-03-2025'] }),
    model: 'command-a-03-2025',
    auth: 'bearer',
    path: '/cohere/v2/chat',
  },
];

/** What each fault must come to, streamed or not. */
const OUTCOMES: Record<Fault, Outcome> = {
  hang: 'timeout',
  role_then_silence: 'timeout',
  keep_alive: 'timeout',
  silence_after: 'timeout',
  byte_chunks: 'ok',
  merged_events: 'ok',
  crlf: 'ok',
  split_multibyte: 'ok',
  truncated: 'stream_truncated',
  truncated_mid_event: 'stream_truncated',
  reset: 'transient',
  error_first: 'overloaded',
  error_after: 'overloaded',
  rate_limit: 'rate_limited',
  rate_limit_date: 'rate_limited',
  rate_limit_ms: 'rate_limited',
  quota: 'quota_exhausted',
  unauthorized: 'auth',
  payment_required: 'quota_exhausted',
  forbidden: 'auth',
  model_not_found: 'model_gone',
  bad_request: 'caller_fault',
  context_overflow: 'context_overflow',
  content_refused: 'content_refused',
  server_error: 'transient',
  unavailable: 'transient',
  overloaded: 'overloaded',
  capacity: 'overloaded',
  slow_down: 'overloaded',
  unprocessable: 'caller_fault',
  html_502: 'transient',
  html_200: 'transient',
  usage_missing: 'ok',
  usage_null: 'ok',
  done_in_text: 'ok',
  invalid_json: 'ok',
  invalid_tool_json: 'ok',
  empty: 'bad_output',
};

export function outcomeOf(provider: Simulated, fault: Fault, shape: Shape, mode: Mode): Outcome {
  const own = provider.except?.(fault, shape, mode);
  if (own) return own;
  // What has a call needs no text.
  if (fault === 'empty' && shape === 'tools') return 'ok';
  if (fault === 'invalid_tool_json' && shape === 'tools') return 'bad_output';
  return OUTCOMES[fault];
}
