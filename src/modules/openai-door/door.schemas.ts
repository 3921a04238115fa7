import { z } from 'zod';

const text = z.string().max(100_000);
/** Text alone, as one string or in parts. */
const Content = z.union([
  text,
  z.array(z.strictObject({ type: z.literal('text', 'only text is taken here'), text })).max(100),
]);
const name = z.string().max(64).optional();
/** What is said to a client that asks for what cannot be done here. */
const UNSUPPORTED = 'is not supported here: leave it out';

const ToolCallBody = z.strictObject({
  id: z.string().max(200),
  type: z.literal('function').default('function'),
  function: z.strictObject({ name: z.string().max(64), arguments: z.string().max(50_000) }),
  /** Clients send back what a stream gave them. */
  index: z.int().optional(),
});

const MessageBody = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal(['system', 'developer', 'user']), content: Content, name }),
  z.strictObject({
    role: z.literal('assistant'),
    content: Content.nullish(),
    tool_calls: z.array(ToolCallBody).max(64).nullish(),
    refusal: z.null().optional(),
    name,
  }),
  z.strictObject({ role: z.literal('tool'), content: Content, tool_call_id: z.string().max(200) }),
]);

const ToolBody = z.strictObject({
  type: z.literal('function'),
  function: z.strictObject({
    name: z.string().max(64),
    description: z.string().max(2000).optional(),
    parameters: z.record(z.string(), z.unknown()).optional(),
    strict: z.boolean().nullish(),
  }),
});

const ResponseFormatBody = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal(['text', 'json_object']) }),
  z.strictObject({
    type: z.literal('json_schema'),
    json_schema: z.strictObject({
      name: z.string().max(64),
      description: z.string().max(2000).optional(),
      schema: z.record(z.string(), z.unknown()),
      strict: z.boolean().nullish(),
    }),
  }),
]);

const StopText = z.string().min(1).max(100);

/**
 * OpenAI's chat completion, as far as it can be done here. Of what cannot, only the value that asks for nothing is taken: a client that
 * asks for more is told so, and never gets an answer that quietly ignores it. `user` and `metadata` mean nothing here.
 */
export const ChatCompletionBody = z.strictObject({
  model: z.string().min(1).max(100),
  messages: z.array(MessageBody).min(1).max(200),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().optional(), include_obfuscation: z.boolean().optional() })
    .nullish(),
  max_tokens: z.int().min(1).max(16_384).nullish(),
  max_completion_tokens: z.int().min(1).max(16_384).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  tools: z.array(ToolBody).max(64).nullish(),
  tool_choice: z
    .union(
      [
        z.literal(['auto', 'none', 'required']),
        z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: z.string().max(64) }) }),
      ],
      'must be "auto", "none", "required", or name a function',
    )
    .nullish(),
  parallel_tool_calls: z.literal(true, UNSUPPORTED).nullish(),
  response_format: ResponseFormatBody.nullish(),
  n: z.literal(1, UNSUPPORTED).nullish(),
  top_p: z.literal(1, UNSUPPORTED).nullish(),
  frequency_penalty: z.literal(0, UNSUPPORTED).nullish(),
  presence_penalty: z.literal(0, UNSUPPORTED).nullish(),
  logprobs: z.literal(false, UNSUPPORTED).nullish(),
  stop: z.union([StopText, z.array(StopText).max(4)], 'must be a text, or up to 4, of 1 to 100 characters').nullish(),
  seed: z.int().min(0).max(2_147_483_647).nullish(),
  store: z.literal(false, UNSUPPORTED).nullish(),
  service_tier: z.literal(['auto', 'default'], UNSUPPORTED).nullish(),
  user: z.string().max(200).nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
});
export type ChatCompletionBody = z.infer<typeof ChatCompletionBody>;

export const ToolCallView = z.object({
  id: z.string(),
  type: z.literal('function'),
  function: z.object({ name: z.string(), arguments: z.string() }),
});

export const CompletionUsageView = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }),
});
export type CompletionUsageView = z.infer<typeof CompletionUsageView>;

export const ChatCompletionView = z.object({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({
        role: z.literal('assistant'),
        content: z.string().nullable(),
        refusal: z.null(),
        tool_calls: z.array(ToolCallView).optional(),
      }),
      logprobs: z.null(),
      finish_reason: z.enum(['stop', 'length', 'tool_calls', 'content_filter']),
    }),
  ),
  usage: CompletionUsageView,
});
export type ChatCompletionView = z.infer<typeof ChatCompletionView>;

export const ModelView = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
});
export type ModelView = z.infer<typeof ModelView>;

export const ModelListView = z.object({ object: z.literal('list'), data: z.array(ModelView) });
export type ModelListView = z.infer<typeof ModelListView>;
