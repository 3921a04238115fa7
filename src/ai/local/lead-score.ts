import { intentOf, INTENTS } from '#src/ai/local/intent.ts';
import type { Language } from '#src/ai/local/language.ts';
import { INTENT_POINTS, LEAD_RULES, type LeadRule } from '#src/ai/local/lead-rules.ts';
import { sentimentOf } from '#src/ai/local/sentiment.ts';
import { fold } from '#src/ai/local/words.ts';

export const LEAD_MODEL = 'rules-2026-11b';

type Value = number | boolean | string;

const byName = new Map(LEAD_RULES.flatMap((rule) => rule.names.map((name) => [name, rule] as const)));
const keyOf = (name: string) => fold(name).replaceAll(/[^a-z0-9]/gu, '');

const MOOD_POINTS = 8;
const TRUTHS = /^(?:sim|yes|true|s|y|verdadeiro)$/u;
const LIES = /^(?:nao|no|false|n|falso)$/u;
const NUMBER = /^-?\d{1,12}(?:\.\d{1,6})?$/u;

/** A text as what it says: "sim" is yes, "12" a number. */
function meant(value: Value): Value {
  if (typeof value !== 'string') return value;
  const text = fold(value.trim());
  if (TRUTHS.test(text)) return true;
  if (LIES.test(text)) return false;
  return NUMBER.test(text) ? Number(text) : value;
}

function byRule(rule: LeadRule, value: Value): number {
  const said = meant(value);
  if (typeof said === 'boolean') return (said ? rule.yes : rule.no) ?? 0;
  if (typeof said === 'number') return rule.number?.(said) ?? 0;
  const text = fold(said);
  return rule.texts?.find(([pattern]) => pattern.test(text))?.[1] ?? rule.otherwise ?? 0;
}

/** What a text in the customer's words is worth: by its intent, as sure as that is, and its mood. */
function byWords(text: string): number {
  const { intent, confidence } = intentOf(text);
  const { sentiment, confidence: sure } = sentimentOf(text);
  const mood = sentiment === 'positive' ? MOOD_POINTS : sentiment === 'negative' ? -MOOD_POINTS : 0;
  return INTENT_POINTS[intent] * confidence + mood * sure;
}

function pointsOf(name: string, value: Value): number {
  const key = keyOf(name);
  if (key === 'intent' || key === 'intencao' || key === 'lastintent') {
    const known = INTENTS.find((intent) => intent === value);
    return known ? INTENT_POINTS[known] : typeof value === 'string' ? byWords(value) : 0;
  }
  const rule = byName.get(key);
  if (rule) return byRule(rule, value);
  return typeof value === 'string' && value.includes(' ') ? byWords(value) : 0;
}

const ADVICE: Record<
  Language,
  { hot: string; warm: string; cool: string; cold: string; drives: string; holds: string }
> = {
  pt: {
    hot: 'Lead quente: fale com ele hoje e proponha o próximo passo.',
    warm: 'Lead promissor: retome a conversa nos próximos dias com uma proposta.',
    cool: 'Lead morno: mantenha contato e descubra necessidade, prazo e orçamento.',
    cold: 'Lead frio: não priorize agora; deixe numa lista de relacionamento.',
    drives: 'A favor',
    holds: 'Contra',
  },
  en: {
    hot: 'Hot lead: talk to them today and propose the next step.',
    warm: 'Promising lead: follow up within days with an offer.',
    cool: 'Lukewarm lead: keep in touch and find out need, timing and budget.',
    cold: 'Cold lead: no priority now; keep on a nurturing list.',
    drives: 'For',
    holds: 'Against',
  },
  es: {
    hot: 'Lead caliente: contáctelo hoy y proponga el próximo paso.',
    warm: 'Lead prometedor: retome la conversación en los próximos días con una propuesta.',
    cool: 'Lead tibio: mantenga el contacto y averigüe necesidad, plazo y presupuesto.',
    cold: 'Lead frío: sin prioridad por ahora; déjelo en una lista de seguimiento.',
    drives: 'A favor',
    holds: 'En contra',
  },
};

const MENTIONED = 3;

/** The features of a list with their points, behind a title; nothing for none. */
function named(title: string, list: [name: string, points: number][]): string {
  if (list.length === 0) return '';
  return ` ${title}: ${list.map(([name, own]) => `${name} (${own > 0 ? '+' : '−'}${Math.abs(own)})`).join(', ')}.`;
}

function recommendation(points: [name: string, points: number][], language: Language): string {
  const sum = points.reduce((total, [, own]) => total + own, 0);
  const advice = ADVICE[language];
  const band = sum >= 70 ? advice.hot : sum >= 45 ? advice.warm : sum >= 20 ? advice.cool : advice.cold;
  const ranked = points.toSorted((a, b) => b[1] - a[1]);
  const good = ranked.filter(([, own]) => own > 0).slice(0, MENTIONED);
  const bad = ranked
    .filter(([, own]) => own < 0)
    .toReversed()
    .slice(0, MENTIONED);
  return band + named(advice.drives, good) + named(advice.holds, bad);
}

export interface LeadScore {
  /** For each feature, in tenths; 0 where no rule knows it. Their sum is the score before it is cut to 0…100. */
  points: Record<string, number>;
  recommendation: string;
  modelVersion: string;
}

/** Points for a lead by the rules of `lead-rules.ts`. A text without a rule is read for its intent and mood. */
export function scoreOfLead(features: Readonly<Record<string, Value>>, language: Language): LeadScore {
  const points = Object.entries(features).map(([name, value]): [string, number] => [
    name,
    Math.round(pointsOf(name, value) * 10) / 10 || 0,
  ]);
  return {
    points: Object.fromEntries(points),
    recommendation: recommendation(points, language),
    modelVersion: LEAD_MODEL,
  };
}
