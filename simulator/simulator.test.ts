import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { answerFor, languageOf, pieces } from './answer.ts';
import type { HookRequest } from './hook-journal.ts';
import { instanceOf } from './schema-instance.ts';
import { readScript, scriptOfModel, scriptOfPrompt, type Script } from './script.ts';
import { createSimulator, type Simulator } from './server.ts';

let simulator: Simulator;
beforeAll(async () => void (simulator = await createSimulator()));
beforeEach(() => simulator.clear());
afterAll(() => simulator.close());

const send = (path: string, body?: unknown, method = body === undefined ? 'GET' : 'POST') =>
  fetch(simulator.url + path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
const chat = (content: string, more: object = {}) =>
  send('/v1/chat/completions', { model: 'm', messages: [{ role: 'user', content }], ...more });

const streamed = async (script: Script) => {
  simulator.script(script);
  return (await chat('Olá, bom dia', { stream: true, stream_options: { include_usage: true } })).text();
};

describe('the wire', () => {
  test('OpenAI: not streamed, embeddings, models', async () => {
    const whole = await (await chat('Hello, what is the price?')).json();
    expect(whole).toMatchObject({
      object: 'chat.completion',
      choices: [{ message: { role: 'assistant' }, finish_reason: 'stop' }],
    });
    expect(whole).toHaveProperty('usage.prompt_tokens_details.cached_tokens', 0);
    const embeddings = await (
      await send('/v1/embeddings', { model: 'e', input: ['a', 'b'], dimensions: 8, encoding_format: 'float' })
    ).json();
    expect(embeddings).toMatchObject({ data: [{ index: 0, embedding: expect.any(Array) }, { index: 1 }] });
    const encoded = await (
      await send('/v1/embeddings', { model: 'e', input: 'a', dimensions: 8, encoding_format: 'base64' })
    ).json();
    const bytes = Buffer.from(String(Object(encoded).data[0].embedding), 'base64');
    expect(bytes.length).toBe(32);
    expect(await (await send('/v1/models')).json()).toMatchObject({ object: 'list' });
  });

  test('Ollama: not streamed, embed, tags, version', async () => {
    const body = { model: 'm', stream: false, messages: [{ role: 'user', content: 'hola' }] };
    expect(await (await send('/api/chat', body)).json()).toMatchObject({
      done: true,
      done_reason: 'stop',
      eval_count: expect.any(Number),
    });
    expect(await (await send('/api/embed', { model: 'e', input: ['a'] })).json()).toMatchObject({
      embeddings: [expect.any(Array)],
    });
    expect(await (await send('/api/tags')).json()).toHaveProperty('models');
    expect(await (await send('/api/version')).json()).toHaveProperty('version');
  });

  test('one byte per TCP segment and cut characters are still the same bytes', async () => {
    const plain = await streamed({});
    expect(plain.endsWith('data: [DONE]\n\n')).toBe(true);
    for (const fault of ['byte_chunks', 'split_multibyte', 'merged_events'] as const)
      expect(await streamed({ fault })).toBe(plain);
    expect(await streamed({ fault: 'crlf' })).toBe(plain.replaceAll('\n', '\r\n'));
  });

  test('what it does not know is a 404, what is not JSON a 400', async () => {
    expect((await send('/v1/nothing', {})).status).toBe(404);
    const broken = await fetch(`${simulator.url}/api/chat`, { method: 'POST', body: '{' });
    expect(broken.status).toBe(400);
  });
});

describe('scripts', () => {
  test('a fault that strikes twice is gone the third time, by process and by prompt', async () => {
    simulator.script({ fault: 'unavailable', times: 2 });
    expect([(await chat('a')).status, (await chat('a')).status, (await chat('a')).status]).toEqual([503, 503, 200]);
    const prompt = 'b\n#sim {"fault":"server_error","times":1}';
    expect([(await chat(prompt)).status, (await chat(prompt)).status, (await chat(`other ${prompt}`)).status]).toEqual([
      500, 200, 500,
    ]);
  });

  test('the model name is read with short words', () => {
    expect(scriptOfModel('sim:delay=5,chunks=40,fault=reset_after_5')).toEqual({
      chunkMs: 5,
      chunks: 40,
      fault: 'reset',
      after: 5,
    });
    expect(scriptOfModel('sim:first=1;fault=error_after_2')).toEqual({ firstMs: 1, fault: 'error_after', after: 2 });
    expect(scriptOfModel('gpt-4o')).toBeUndefined();
    expect(() => scriptOfModel('sim:chunk=1')).toThrow('chunk');
  });

  test('a prompt line is taken out of the prompt', () => {
    expect(scriptOfPrompt('Hi\n#sim {"chunks":2}\nthere')).toEqual({ script: { chunks: 2 }, prompt: 'Hi\n\nthere' });
    expect(scriptOfPrompt('no #sim {"chunks":2} here')).toBeUndefined();
    expect(() => scriptOfPrompt('#sim {chunks}')).toThrow('not JSON');
  });

  test('a wrong script names what is wrong', async () => {
    expect(() => readScript({ chunks: -1, nonsense: 1 })).toThrow(/chunks: .*nonsense/s);
    expect((await chat('#sim {"fault":"x"}')).status).toBe(400);
    expect((await send('/__simulator/script', { fault: 'x' }, 'PUT')).status).toBe(400);
  });

  test('is controlled over HTTP', async () => {
    await send('/__simulator/script', { text: 'exactly this' }, 'PUT');
    expect(await (await chat('a')).json()).toMatchObject({ choices: [{ message: { content: 'exactly this' } }] });
    const told = await (await send('/__simulator/seen')).json();
    expect(told).toMatchObject({
      counts: { requests: 1, active: 0 },
      seen: [{ path: '/v1/chat/completions', auth: 'none', model: 'm', status: 200 }],
    });
    await send('/__simulator/seen', undefined, 'DELETE');
    expect(simulator.seen()).toEqual([]);
  });

  test('exact JSON and tool calls, and a tool called because it must be', async () => {
    simulator.script({ json: { a: 1 } });
    expect(await (await chat('a')).json()).toMatchObject({ choices: [{ message: { content: '{"a":1}' } }] });
    simulator.clear();
    const tools = [
      {
        type: 'function',
        function: { name: 'f', parameters: { type: 'object', properties: { n: { type: 'integer' } } } },
      },
    ];
    const called = await (await chat('a', { tools, tool_choice: 'required' })).json();
    expect(called).toMatchObject({
      choices: [{ finish_reason: 'tool_calls', message: { content: null, tool_calls: [{ function: { name: 'f' } }] } }],
    });
  });
});

test('remembers at most a thousand requests', async () => {
  for (let batch = 0; batch < 11; batch++) await Promise.all(Array.from({ length: 100 }, () => send('/api/version')));
  expect(simulator.counts().requests).toBe(1100);
  expect(simulator.seen().length).toBeLessThanOrEqual(1000);
  expect(simulator.seen().at(-1)?.id).toBe(1100);
});

describe('answers', () => {
  test.each([
    ['Olá, quero saber o preço do meu pedido', 'pt'],
    ['Hola, quiero el precio, muchas gracias', 'es'],
    ['Hello, I want to know the price please', 'en'],
  ] as const)('%s → %s', (prompt, language) => {
    expect(languageOf(prompt)).toBe(language);
    expect(answerFor(prompt)).toBe(answerFor(prompt));
  });

  test('pieces are the whole text', () => {
    const text = 'Olá 🚚  mundo\n novo ';
    expect(pieces(text).join('')).toBe(text);
    expect(pieces(text, 7)).toHaveLength(7);
    expect(pieces(text, 7).join('')).toBe(text);
  });

  test('instances meet their schema', () => {
    const schema = {
      $defs: {
        reply: {
          type: 'object',
          properties: { text: { type: 'string', maxLength: 20 }, tone: { enum: ['formal', 'friendly'] } },
        },
      },
      type: 'object',
      properties: {
        replies: { type: 'array', minItems: 5, maxItems: 5, items: { $ref: '#/$defs/reply' } },
        score: { type: 'number', minimum: -1, maximum: 1 },
        count: { type: 'integer', minimum: -9_007_199_254_740_991, maximum: 9_007_199_254_740_991 },
        grade: { type: 'integer', exclusiveMinimum: 3, maximum: 4 },
        either: { anyOf: [{ type: 'null' }, { type: 'boolean' }] },
        fixed: { const: 'x' },
        day: { type: 'string', format: 'date' },
      },
    };
    const made = Object(instanceOf(schema, 'Olá, bom dia'));
    expect(made).toMatchObject({
      grade: 4,
      either: expect.any(Boolean),
      fixed: 'x',
      day: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
    });
    expect(new Set(made.replies.map((reply: { text: string }) => reply.text)).size).toBe(5);
    for (const reply of made.replies) expect(reply.text.length).toBeLessThanOrEqual(20);
    expect(Math.abs(made.score)).toBeLessThanOrEqual(1);
    expect(Number.isSafeInteger(made.count)).toBe(true);
    expect(instanceOf(schema, 'Olá, bom dia')).toEqual(made);
  });
});

const secret = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;
const deliver = (name: string, id: string, signedWith = secret, body = '{"sequence":1}') => {
  const at = new Date();
  const headers = {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(signedWith).sign(id, at, body),
  };
  return fetch(`${simulator.url}/hooks/${name}`, { method: 'POST', headers, body });
};
const journal = async () => {
  const { requests } = (await (await send('/__simulator/hooks')).json()) as { requests: HookRequest[] };
  return requests.map(({ hook, id, verified, tried, answered }) => ({
    hook,
    id,
    verified,
    tried,
    answered,
  }));
};
const statusesFor = async (seed: number) => {
  simulator.hooks.script('share', { seed, insteadPerId: 1, instead: [{ share: 0.3, status: 503 }] });
  const statuses = await Promise.all(
    Array.from({ length: 200 }, async (_, at) => (await deliver('share', `${at}`)).status),
  );
  const again = await Promise.all(
    Array.from({ length: 200 }, async (_, at) => (await deliver('share', `${at}`)).status),
  );
  expect(new Set(again)).toEqual(new Set([200]));
  simulator.clear();
  return statuses;
};

describe('the receiver of webhooks', () => {
  test('verifies, answers as scripted, and writes down what came', async () => {
    const scripted = { secrets: [secret], answer: { status: 429, headers: { 'retry-after': '3' } } };
    expect((await send('/__simulator/hooks/a', scripted, 'PUT')).status).toBe(200);
    const answer = await deliver('a', 'one');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '3']);
    const other = `whsec_${Buffer.alloc(32, 4).toString('base64')}`;
    expect((await deliver('a', 'one', other)).status).toBe(401);
    expect((await deliver('b', 'one')).status).toBe(200);
    expect(await journal()).toEqual([
      { hook: 'a', id: 'one', verified: true, tried: 0, answered: 429 },
      { hook: 'a', id: 'one', verified: false, tried: 1, answered: 401 },
      { hook: 'b', id: 'one', verified: null, tried: 0, answered: 200 },
    ]);
    expect((await send('/__simulator/hooks/a', { answr: {} }, 'PUT')).status).toBe(400);
  });

  test('breaks connections where it is told to', async () => {
    for (const cut of ['before_body', 'after_body', 'in_answer'] as const) {
      simulator.hooks.script(cut, { secrets: [secret], answer: { cut } });
      await expect(deliver(cut, 'x').then((answer) => answer.text())).rejects.toThrow(/fetch failed|terminated/);
    }
    simulator.hooks.script('never', { answer: { cut: 'never' } });
    const leaving = fetch(`${simulator.url}/hooks/never`, {
      method: 'POST',
      body: '{}',
      signal: AbortSignal.timeout(100),
    });
    await expect(leaving).rejects.toThrow();
    await expect
      .poll(async () => (await journal()).map(({ answered }) => answered))
      .toEqual(['cut', 'cut', 'cut', 'gone']);
    expect((await journal()).map(({ verified }) => verified)).toEqual([null, true, true, null]);
  });

  test('gives each share its answer, the same for the same seed, and never more often to one id than is said', async () => {
    const first = await statusesFor(1);
    const failed = first.filter((status) => status === 503).length;
    expect(failed).toBeGreaterThan(30);
    expect(failed).toBeLessThan(90);
    expect(await statusesFor(1)).toEqual(first);
    expect(await statusesFor(2)).not.toEqual(first);
  });

  test('writes every request to a file before it is answered', async () => {
    const directory = await mkdtemp(`${tmpdir()}/hooks-`);
    const hooksFile = `${directory}/journal`;
    const filed = await createSimulator({ hooksFile });
    await Promise.all(
      Array.from({ length: 20 }, (_, at) => fetch(`${filed.url}/hooks/${at}`, { method: 'POST', body: '{}' })),
    );
    const lines = (await readFile(hooksFile, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as HookRequest);
    expect(new Set(lines.flatMap(({ hook }) => hook ?? []))).toEqual(
      new Set(Array.from({ length: 20 }, (_, at) => `${at}`)),
    );
    await filed.close();
    expect((await readFile(hooksFile, 'utf8')).trim().split('\n')).toHaveLength(40);
    await rm(directory, { recursive: true });
  });
});
