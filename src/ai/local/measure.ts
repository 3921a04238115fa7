import { readFileSync } from 'node:fs';

export interface Case {
  label: string;
  language: string;
  text: string;
}

/** Reads messages with a sentiment and an intent: one per line, both, language and text by tab. */
export function readChats(name: string): (Case & { intent: string })[] {
  return readFileSync(new URL(`__fixtures__/${name}.tsv`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [label = '', intent = '', language = '', text = ''] = line.split('\t');
      return { label, intent, language, text };
    });
}

/** Reads labelled messages: one per line, label, language and text by tab. */
export function readCases(name: string): Case[] {
  return readFileSync(new URL(`__fixtures__/${name}.tsv`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [label = '', language = '', text = ''] = line.split('\t');
      return { label, language, text };
    });
}

/** Macro-F1: the mean over the labels of 2·TP / (2·TP + FP + FN), so that a rare label weighs as much as a frequent one. */
export function macroF1(pairs: readonly { label: string; guess: string }[]): number {
  const labels = [...new Set(pairs.map(({ label }) => label))];
  const scores = labels.map((label) => {
    const hits = pairs.filter((pair) => pair.label === label && pair.guess === label).length;
    const misses = pairs.filter((pair) => (pair.label === label) !== (pair.guess === label)).length;
    return (2 * hits) / (2 * hits + misses);
  });
  return scores.reduce((sum, score) => sum + score, 0) / labels.length;
}

export interface Scores {
  precision: number;
  recall: number;
  found: number;
  wanted: number;
}

/** Precision and recall of what was found against what was wanted, both as keys of one text each. */
export function scoresOf(pairs: readonly { wanted: readonly string[]; found: readonly string[] }[]): Scores {
  let hits = 0;
  let found = 0;
  let wanted = 0;
  for (const pair of pairs) {
    hits += pair.wanted.filter((key) => pair.found.includes(key)).length;
    found += pair.found.length;
    wanted += pair.wanted.length;
  }
  return { precision: found === 0 ? 1 : hits / found, recall: wanted === 0 ? 1 : hits / wanted, found, wanted };
}

/** A message with its entities marked `{type|surface}` or `{type|surface|normalized}`. */
export interface MarkedMessage {
  text: string;
  /** `type:start-end`. */
  spans: { key: string; type: string; normalized: string | undefined }[];
}

const MARK = /\{(\w+)\|([^|}]+)(?:\|([^}]+))?\}/gu;

/** Reads marked messages, one a line; lines that begin with `#` are remarks. */
export function readMarked(name: string): MarkedMessage[] {
  const lines = readFileSync(new URL(`__fixtures__/${name}.txt`, import.meta.url), 'utf8')
    .trim()
    .split('\n');
  return lines
    .filter((line) => !line.startsWith('#'))
    .map((line) => {
      let text = '';
      let read = 0;
      const spans = [...line.matchAll(MARK)].map(({ index, 0: mark, 1: type = '', 2: surface = '', 3: normalized }) => {
        text += line.slice(read, index);
        read = index + mark.length;
        const start = text.length;
        text += surface;
        return { key: `${type}:${start}-${text.length}`, type, normalized };
      });
      return { text: text + line.slice(read), spans };
    });
}
