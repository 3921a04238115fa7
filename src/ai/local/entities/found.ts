import { fold } from '#src/ai/pii/recognizers/fold.ts';

/** A stretch of the text that names something; offsets in the text it was found in. */
export interface FoundEntity {
  start: number;
  end: number;
  normalized: string;
  /** 0 to 1: how sure the form makes it; not a calibrated probability. */
  confidence: number;
}

/** A text as the recognisers of this folder read it: `typed` keeps its capitals and accents, `flat` has neither; both are of one length. */
export interface Reading {
  typed: string;
  flat: string;
  original(start: number, end: number): { start: number; end: number };
}

export function readingOf(text: string): Reading {
  const folded = fold(text);
  const typed = folded.text;
  const plain = typed.replace(/[\u00c0-\u024f]/gu, (letter) => letter.normalize('NFD').charAt(0));
  return { typed, flat: plain.toLowerCase(), original: (start, end) => folded.original(start, end) };
}
