import { expect, it } from 'vitest';
import { LEAD_MODEL, scoreOfLead } from '#src/ai/local/lead-score.ts';

const sum = (features: Record<string, number | boolean | string>) =>
  Object.values(scoreOfLead(features, 'pt').points).reduce((total, points) => total + points, 0);

const HOT = {
  intent: 'purchase',
  budget: 5000,
  decisionMaker: true,
  daysSinceLastContact: 1,
  source: 'indicação',
  messages: 20,
};

it('gives each feature its points, and none to what it does not know', () => {
  const { points, recommendation, modelVersion } = scoreOfLead({ ...HOT, favouriteColour: 'blue' }, 'pt');
  expect(points).toMatchObject({
    intent: 20,
    decisionMaker: 12,
    daysSinceLastContact: 15,
    source: 12,
    favouriteColour: 0,
  });
  expect(sum(HOT)).toBeGreaterThan(80);
  expect(recommendation).toContain('Lead quente');
  expect(recommendation).toContain('intent (+20)');
  expect(modelVersion).toBe(LEAD_MODEL);
});

it.each([
  [{ orcamento: 5000 }, { orcamento: 100 }],
  [{ dias_sem_contato: 2 }, { dias_sem_contato: 60 }],
  [{ Decisor: 'sim' }, { Decisor: 'não' }],
  [{ stage: 'Negociação' }, { stage: 'Novo' }],
  [{ sentiment: 'positive' }, { sentiment: 'negative' }],
  [{ sentiment: 0.8 }, { sentiment: -0.8 }],
  [{ cargo: 'Diretora comercial' }, { cargo: 'Estudante' }],
  [{ lastMessage: 'quero comprar, manda o pix' }, { lastMessage: 'péssimo atendimento, quero cancelar' }],
  [{ messages: 30 }, { messages: 1 }],
  [{ replyRate: 0.9 }, { replyRate: 20 }],
])('%j is worth more than %j', (better, worse) => expect(sum(better)).toBeGreaterThan(sum(worse)));

it('advises in the asked language and names what speaks against', () => {
  const { recommendation } = scoreOfLead({ optOut: true, daysSinceLastContact: 200 }, 'en');
  expect(recommendation).toMatch(/^Cold lead/u);
  expect(recommendation).toContain('Against: optOut (−40), daysSinceLastContact (−15)');
});

it('stays in range for any value', () => {
  for (const value of [Number.MAX_VALUE, -1e9, 0, Number.MIN_VALUE, '', 'x', true, false]) {
    for (const name of [
      'budget',
      'messages',
      'daysSinceLastContact',
      'sentiment',
      'stage',
      'optOut',
      'replyRate',
      'toString',
      '__proto__x',
    ]) {
      const { points } = scoreOfLead({ [name]: value }, 'pt');
      expect(Math.abs(points[name] ?? 0)).toBeLessThanOrEqual(100);
    }
  }
});
