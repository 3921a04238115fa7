import { expect, it } from 'vitest';
import { engines } from '#src/ai/engines/index.ts';
import type { Engine } from '#src/ai/engines/define.ts';
import { renderPrompt, variablesIn } from '#src/ai/prompts/define.ts';
import { bindTo, promptKey } from '#src/ai/workspace-ai.ts';

const all: Engine[] = Object.values(engines);
const prompted = all.flatMap((engine) => (engine.prompt ? [[engine.name, engine.prompt] as const] : []));
const LANGUAGES = ['pt', 'en', 'es'] as const;

it.each(prompted)('%s says what every variable is for, and uses it in every language', (_, prompt) => {
  for (const language of LANGUAGES) {
    const { names } = variablesIn(`${prompt.instruction[language]}\n${prompt.format[language]}`);
    expect(variablesIn(prompt.instruction[language]).broken).toBe(false);
    expect(names.toSorted()).toEqual([...Object.keys(prompt.variables), ...prompt.fixed].toSorted());
    expect(prompt.format[language]).toMatch(/<<<\{\{mark\}\}/);
    // A text of the workspace's own may be all but the format: so no fixed variable stands in the instruction.
    const inInstruction = variablesIn(prompt.instruction[language]).names;
    expect(inInstruction.filter((name) => !Object.hasOwn(prompt.variables, name))).toEqual([]);
    for (const [name, { required }] of Object.entries(prompt.variables))
      if (required) expect(inInstruction).toContain(name);
  }
});

const inputs: Record<string, object> = {
  copilot: { context: 'Oi, tudo bem?' },
  'smart-replies': { message: 'Oi, tudo bem?' },
  sentiment: { text: 'Oi, tudo bem?' },
  intent: { text: 'Oi, tudo bem?' },
  'extract-entities': { text: 'Oi, tudo bem?' },
  summarize: { messages: [{ role: 'user', content: 'Oi, tudo bem?' }] },
  translate: { text: 'Oi, tudo bem?', targetLanguage: 'en' },
  'score-lead': { features: { preço: 1 } },
};

const tail = (content = '') => content.slice(content.indexOf('O material está entre <<<'));

it.each(prompted)("%s puts the workspace's words in the place of ours, and keeps the fence and the format", (name) => {
  const engine = all.find((one) => one.name === name);
  if (!engine) throw new Error('no such engine');
  const input = engine.input.parse(inputs[name]);
  const own = { language: 'pt' as const, version: 7, text: 'Só as nossas palavras, {{mark}} e {{nada}}.' };
  const workspace = { keys: {}, prompts: new Map([[promptKey(engine.name, 'pt'), own]]) };
  const bound = bindTo(engine, input, workspace);
  const ours = engine.ask(input).messages;
  const [system, user] = bound.engine.ask(bound.input).messages;
  expect(system?.content).toContain('Só as nossas palavras');
  expect(tail(system?.content)).toBe(tail(ours[0]?.content));
  expect(user).toEqual(ours[1]);
  expect(bound.promptVersion).toBe(`${engine.prompt?.version}+pt.7`);
  expect(bound.engine.promptTokens).toBeGreaterThan(engine.promptTokens);
  expect(bindTo(engine, input, undefined)).toEqual({ engine, input, promptVersion: engine.prompt?.version });
});

it('fills a variable once: what it holds is text', () => {
  const { intent } = engines;
  const values = { mark: 'm', labels: '"{{mark}}"' };
  expect(renderPrompt(intent.prompt ?? expect.unreachable(), 'pt', values, undefined)).toContain('"{{mark}}"');
});

it("takes the workspace's tone and language where the request says nothing", () => {
  const { copilot } = engines;
  const input = copilot.input.parse({ context: 'Oi' });
  const workspace = { keys: {}, tone: 'formal' as const, language: 'es' };
  expect(bindTo(copilot, input, workspace).input).toMatchObject({ tone: 'formal', language: 'es' });
  const said = copilot.input.parse({ context: 'Oi', tone: 'neutral', language: 'en' });
  expect(bindTo(copilot, said, workspace).input).toMatchObject({ tone: 'neutral', language: 'en' });
});
