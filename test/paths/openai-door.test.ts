import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BackendClient } from '../../client/src/index.ts';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';

let simulator: Simulator;
let installation: Installation;
let api: Running & { url: string };
let session: BackendClient;
let openai: OpenAI;

const MODEL = 'gpt-4o-mini';
const EMBEDS = 'text-embedding-3-small';
const messages = [{ role: 'user' as const, content: 'Quanto custa o frete?' }];
const TOOL = {
  type: 'function' as const,
  function: { name: 'find_order', parameters: { type: 'object', properties: {} } },
};
const errorOf = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);
const clientWith = (apiKey: string) => new OpenAI({ apiKey, baseURL: `${api.url}/v1`, maxRetries: 0 });

beforeAll(async () => {
  simulator = await createSimulator();
  installation = await createInstallation({
    OPENAI_API_KEY: 'sk-simulated',
    OPENAI_BASE_URL: `${simulator.url}/v1`,
    OPENAI_MODELS: MODEL,
  });
  [api] = await Promise.all([installation.startApi(), installation.startWorker('ai-inference')]);
  session = new BackendClient({ baseUrl: api.url });
  await session.register({ email: 'ana@example.com', password: 'a long enough password', name: 'Ana' });
  const { secret } = await session.request<{ secret: string }>('POST', '/api/api-keys', {
    name: 'door',
    scopes: ['ai:run', 'jobs:read'],
  });
  openai = clientWith(secret);
});
beforeEach(() => simulator.clear());
afterAll(async () => {
  session.close();
  await installation.close();
  await simulator.close();
});

const lastJob = async () => {
  const { rows } = await installation.pool.query(
    'select id, status, engine, credit_charged, credit_held from job order by created_at desc limit 1',
  );
  return rows[0];
};

describe("OpenAI's SDK", () => {
  it('is answered at once, by a job that is paid like any other', async () => {
    simulator.script({ text: 'Dez reais.' });
    const answer = await openai.chat.completions.create({ model: MODEL, messages });
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model: MODEL,
      choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'Dez reais.' } }],
    });
    expect(answer.usage?.total_tokens).toBeGreaterThan(0);
    const job = await lastJob();
    expect(job).toMatchObject({ status: 'completed', engine: 'chat' });
    expect(answer.id).toBe(`chatcmpl-${job.id}`);
    expect(Number(job.credit_charged)).toBeGreaterThan(0);
  });

  it('reads a stream piece by piece, with the usage last', async () => {
    simulator.script({ text: 'um dois três quatro cinco', chunkMs: 60 });
    const stream = await openai.chat.completions.create({
      model: 'auto',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await Array.fromAsync(stream);
    const pieces = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').filter(Boolean);
    expect(pieces.join('')).toBe('um dois três quatro cinco');
    expect(pieces.length).toBeGreaterThan(1);
    expect(chunks[0]).toMatchObject({ model: MODEL, choices: [{ delta: { role: 'assistant' } }] });
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
  });

  it('calls tools, streamed or not, and sends their answers', async () => {
    simulator.script({ toolCalls: [{ name: 'find_order', arguments: { id: 7 } }] });
    const asked = { model: MODEL, messages, tools: [TOOL] };
    const answer = await openai.chat.completions.create(asked);
    const [call] = answer.choices[0]?.message.tool_calls ?? [];
    expect(answer.choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } });
    expect(call).toMatchObject({ type: 'function', function: { name: 'find_order', arguments: '{"id":7}' } });
    const final = await openai.chat.completions.stream(asked).finalChatCompletion();
    expect(final.choices[0]?.message.tool_calls).toMatchObject([{ function: { name: 'find_order' } }]);
    simulator.script({ text: 'Seu pedido foi enviado.' });
    const message = answer.choices[0]?.message;
    if (!message || !call) throw new Error('There was no call.');
    const told = await openai.chat.completions.create({
      ...asked,
      messages: [
        ...messages,
        { role: 'assistant', content: message.content, tool_calls: [call] },
        { role: 'tool', tool_call_id: call.id, content: '{"sent":true}' },
      ],
    });
    expect(told.choices[0]?.message.content).toBe('Seu pedido foi enviado.');
  });

  it('gets JSON of the schema it asks for', async () => {
    const schema = { type: 'object', properties: { tone: { enum: ['kind', 'harsh'] } }, required: ['tone'] };
    const answer = await openai.chat.completions.create({
      model: MODEL,
      messages,
      response_format: { type: 'json_schema', json_schema: { name: 'Tone-Of', schema } },
    });
    expect(JSON.parse(answer.choices[0]?.message.content ?? '')).toMatchObject({ tone: expect.any(String) });
  });

  it('says what to call, where to stop, and the seed', async () => {
    simulator.script({ toolCalls: [{ name: 'find_order', arguments: {} }] });
    const named = { type: 'function' as const, function: { name: 'find_order' } };
    for (const [tool_choice, stop, sent] of [
      ['required', 'FIM', ['FIM']],
      [named, ['FIM', '\n'], ['FIM', '\n']],
    ] as const) {
      const asked = { model: MODEL, messages, tools: [TOOL], tool_choice, stop: stop as string | string[], seed: 7 };
      const answer = await openai.chat.completions.create(asked);
      expect(answer.choices[0]?.message.tool_calls).toMatchObject([{ function: { name: 'find_order' } }]);
      expect(simulator.seen().at(-1)?.body).toMatchObject({ tool_choice, stop: sent, seed: 7 });
    }
  });

  it('masks a stop as it masks the text it would stop at', async () => {
    const asked = [{ role: 'user' as const, content: 'Meu CPF é 529.982.247-25' }];
    await openai.chat.completions.create({ model: MODEL, messages: asked, stop: '529.982.247-25' });
    expect(JSON.stringify(simulator.seen().at(-1)?.body)).not.toContain('529.982');
    expect(simulator.seen().at(-1)?.body).toMatchObject({ stop: [expect.stringMatching(/^\[\[CPF/)] });
  });

  it('finds one model by its name', async () => {
    expect(await openai.models.retrieve(MODEL)).toEqual({ id: MODEL, object: 'model', created: 0, owned_by: 'openai' });
    expect(await openai.models.retrieve('auto')).toMatchObject({ owned_by: 'whatshybrid' });
    for (const gone of ['gpt-none', 'openai/gpt-none']) {
      expect(await errorOf(openai.models.retrieve(gone))).toMatchObject({
        status: 404,
        code: 'model_not_found',
        param: 'model',
        type: 'invalid_request_error',
      });
    }
  });

  it('lists the models there are', async () => {
    const models = await Array.fromAsync(openai.models.list());
    expect(models.map(({ id }) => id)).toEqual(expect.arrayContaining(['auto', MODEL]));
    expect(models.find(({ id }) => id === MODEL)).toMatchObject({ owned_by: 'openai' });
  });
});

describe('errors are the ones its clients know', () => {
  it('by class, code and parameter', async () => {
    const { chat } = openai;
    const wrong = await errorOf(clientWith('wh_live_none').chat.completions.create({ model: MODEL, messages }));
    expect(wrong).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(wrong).toMatchObject({ code: 'invalid_api_key', type: 'authentication_error' });
    const gone = await errorOf(chat.completions.create({ model: 'gpt-none', messages }));
    expect(gone).toBeInstanceOf(OpenAI.NotFoundError);
    expect(gone).toMatchObject({ code: 'model_not_found', param: 'model' });
    expect(await errorOf(chat.completions.create({ model: 'auto:magic', messages }))).toMatchObject({ status: 404 });
    expect(await errorOf(chat.completions.create({ model: MODEL, messages, n: 2 }))).toMatchObject({
      status: 400,
      param: 'n',
    });
    expect(await errorOf(chat.completions.create({ model: MODEL, messages, tool_choice: 'required' }))).toMatchObject({
      status: 400,
      param: 'tool_choice',
    });
    expect(await errorOf(openai.get('/nothing'))).toMatchObject({ status: 404, type: 'invalid_request_error' });
    expect(await errorOf(openai.get('/chat/completions'))).toMatchObject({ status: 405, code: 'method_not_allowed' });
    expect(await errorOf(openai.embeddings.create({ model: MODEL, input: 'a' }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    expect(await errorOf(openai.embeddings.create({ model: EMBEDS, input: ['a', ''] }))).toMatchObject({
      status: 400,
      param: 'input[1]',
    });
  });

  it.each([false, true])('when the job fails before it said anything (stream: %s)', async (stream) => {
    simulator.script({ fault: 'content_refused' });
    await expect(openai.chat.completions.create({ model: MODEL, messages, stream })).rejects.toMatchObject({
      status: 502,
      code: 'content_filter',
      type: 'server_error',
    });
  });
});

it('embeds texts as a paid job, in both encodings, and no personal data leaves', async () => {
  const input = ['Frete grátis?', 'Meu CPF é 529.982.247-25'];
  // The SDK asks for base64 where nothing is said, and decodes it.
  const decoded = await openai.embeddings.create({ model: EMBEDS, input });
  const { data, model, usage } = await openai.embeddings.create({ model: EMBEDS, input, encoding_format: 'float' });
  expect(model).toBe(EMBEDS);
  expect(data.map(({ index, embedding }) => [index, embedding.length])).toEqual([
    [0, 1536],
    [1, 1536],
  ]);
  expect(decoded.data.map(({ embedding }) => embedding)).toEqual(data.map(({ embedding }) => embedding));
  expect(usage.prompt_tokens).toBeGreaterThan(0);
  const job = await lastJob();
  expect(job).toMatchObject({ status: 'completed', engine: 'embeddings' });
  expect(Number(job.credit_charged)).toBeGreaterThan(0);
  const { rows } = await installation.pool.query('select engine, model, credits from ai_usage_log where job_id = $1', [
    job.id,
  ]);
  expect(rows).toEqual([{ engine: 'embeddings', model: EMBEDS, credits: job.credit_charged }]);
  const seen = simulator.seen().filter(({ path }) => path.endsWith('/embeddings'));
  expect(seen).toHaveLength(2);
  expect(JSON.stringify(seen.map(({ body }) => body))).not.toContain('529.982');
  expect(seen[1]?.body).toMatchObject({ input: ['Frete grátis?', 'Meu CPF é [[CPF]]'] });
});

it('goes on after a restart where the text is the same, and never takes text back', async () => {
  simulator.script({ text: 'um dois três quatro cinco', chunkMs: 40, fault: 'reset', after: 3, times: 1 });
  const stream = await openai.chat.completions.create({ model: MODEL, messages, stream: true });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  expect(text).toBe('um dois três quatro cinco');
});

it.each([false, true])('a dropped connection cancels the job, down to the provider (stream: %s)', async (stream) => {
  simulator.script({ text: 'isto demora muito para acabar '.repeat(12), chunkMs: 300 });
  const marked = [{ role: 'user' as const, content: `demora ${String(stream)}` }];
  const cancel = new AbortController();
  const asked = openai.chat.completions.create({ model: MODEL, messages: marked, stream }, { signal: cancel.signal });
  const ended = asked.then(
    () => 'answered',
    () => 'dropped',
  );
  await simulator.waitFor(
    (seen) => seen.contents >= 1 && JSON.stringify(seen.body).includes(`demora ${String(stream)}`),
  );
  if (stream) await ended;
  cancel.abort();
  const seen = await simulator.waitFor(
    (one) => one.clientGone && JSON.stringify(one.body).includes(`demora ${String(stream)}`),
  );
  expect(seen.contents).toBeLessThan(40);
  await expect.poll(async () => (await lastJob()).status).toBe('cancelled');
});
