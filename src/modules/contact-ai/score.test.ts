import fc from 'fast-check';
import { expect, it } from 'vitest';
import { gradeOf, ScoreLeadResult } from '#src/ai/engines/score-lead.ts';
import { scoreOfLead } from '#src/ai/local/lead-score.ts';
import { toScore } from '#src/modules/contact-ai/consumer.ts';
import { featuresOf } from '#src/modules/contact-ai/features.ts';

const lead = fc.record({
  id: fc.uuid(),
  ownerId: fc.constant(null),
  position: fc.option(fc.string()),
  company: fc.option(fc.string()),
  email: fc.option(fc.string()),
  consent: fc.constantFrom('unknown', 'granted', 'denied'),
  sentiment: fc.option(fc.constantFrom('positive', 'neutral', 'negative')),
  customFields: fc.dictionary(fc.constantFrom('budget', 'plan', '__proto__', 'x y', 'stage'), fc.jsonValue()),
  ageDays: fc.double({ min: -1, max: 5000, noNaN: true }),
  quietDays: fc.option(fc.double({ min: -1, max: 5000, noNaN: true })),
  inboundCount: fc.nat({ max: 200 }),
  lastText: fc.option(fc.string({ unit: 'grapheme' })),
  openDeals: fc.nat({ max: 200 }),
  wonDeals: fc.nat({ max: 200 }),
  lostDeals: fc.nat({ max: 200 }),
  openMinor: fc.option(fc.double({ min: 0, max: 1e18, noNaN: true })),
  currency: fc.constantFrom('BRL', 'JPY', 'KWD'),
  dealStage: fc.option(fc.string({ unit: 'grapheme' })),
  winChance: fc.option(fc.nat({ max: 100 })),
  daysInStage: fc.option(fc.double({ min: -1, max: 5000, noNaN: true })),
});

it('whatever is known of a contact is an input of the engine, and the components of its score add up to it exactly', () => {
  fc.assert(
    fc.property(lead, (row) => {
      const features = featuresOf(row);
      const { points, recommendation, modelVersion } = scoreOfLead(features, 'pt');
      const contributions = Object.entries(features).map(([feature, value]) => ({
        feature,
        value,
        points: points[feature] ?? 0,
      }));
      const sum = contributions.reduce((total, one) => total + one.points, 0);
      const raw = Math.min(100, Math.max(0, Math.round(sum * 10) / 10));
      const result = { score: raw, grade: gradeOf(raw), contributions, recommendation, modelVersion };
      const { score, components } = toScore(ScoreLeadResult.parse(result));
      expect(components.reduce((total, one) => total + Math.round(one.points * 10), 0)).toBe(score * 10);
      expect(Math.abs(score - raw)).toBeLessThanOrEqual(0.5);
      expect(components.some(({ value }) => typeof value === 'string')).toBe(false);
    }),
    { numRuns: 1000 },
  );
});
