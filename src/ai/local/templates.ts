import type { Intent } from '#src/ai/local/intent.ts';
import type { Language } from '#src/ai/local/language.ts';
import { en } from '#src/ai/local/templates/en.ts';
import { es } from '#src/ai/local/templates/es.ts';
import { pt } from '#src/ai/local/templates/pt.ts';

export const TONES = ['friendly', 'neutral', 'formal'] as const;
export type Tone = (typeof TONES)[number];

/** What a reply answers: an intent, a thank-you, a price the context states, or anything at all (`acknowledge`). */
export type Situation = Intent | 'thanks' | 'priced' | 'acknowledge';
export type Templates = Record<Situation, Record<Tone, string>>;

/** What may stand in a reply's slots; only what the conversation or its context says. */
export interface Slots {
  name?: string;
  product?: string;
  price?: string;
}

export const TEMPLATES: Record<Language, Templates> = { pt, en, es };

/** Writes a template out: a bracketed part whose slot is unknown is left out. */
export function fill(template: string, slots: Slots): string {
  const value = (slot: string) => (slot === 'name' || slot === 'product' || slot === 'price' ? slots[slot] : undefined);
  // One pass: what a slot holds is text, never a slot again.
  return template.replace(
    /\[([^\]{]*)\{(\w+)\}([^\]]*)\]|\{(\w+)\}/gu,
    (_, before: string | undefined, slot: string, after: string, bare: string | undefined) => {
      const found = value(bare ?? slot);
      return bare !== undefined || found === undefined ? (found ?? '') : `${before}${found}${after}`;
    },
  );
}
