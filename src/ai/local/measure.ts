import { readFileSync } from 'node:fs';

export interface Case {
  label: string;
  language: string;
  text: string;
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
