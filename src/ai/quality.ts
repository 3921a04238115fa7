import type { CatalogEntry } from '#src/ai/catalog-entry.ts';
import type { EngineName } from '#src/ai/model.ts';

/** What the marks that nobody set rest on. */
export const QUALITY_SOURCE = 'our guess by size of model (tier 1 to 4) and kind of task, not measured';

/** By tier, 1 to 4. */
type Marks = readonly [number, number, number, number];

/** Writing, following long instructions, judging a conversation: the larger the model the better. */
const WRITING: Marks = [40, 62, 80, 92];
/** Short texts where small models are behind only a little. */
const SHORT: Marks = [52, 72, 84, 90];
/** A label for a text: the small ones do it nearly as well. */
const LABELS: Marks = [70, 82, 88, 90];

const BY_ENGINE: Record<EngineName, Marks> = {
  copilot: WRITING,
  chat: WRITING,
  summarize: WRITING,
  'smart-replies': SHORT,
  translate: SHORT,
  'extract-entities': SHORT,
  'score-lead': SHORT,
  sentiment: LABELS,
  intent: LABELS,
};

/** Tasks whose answer must fit a schema: a model that is not held to it by its provider fails some of them. */
const STRUCTURED: ReadonlySet<string> = new Set([
  'smart-replies',
  'extract-entities',
  'score-lead',
  'sentiment',
  'intent',
]);
const WITHOUT_SCHEMA = 5;

/** How well a model does each task, from 0 to 100: what its entry says, else by its tier. An embedding model does none. */
export function marksOf(
  entry: Pick<CatalogEntry, 'kind' | 'qualityTier' | 'quality' | 'supportsJsonSchema'>,
): Readonly<Record<EngineName, number>> {
  const mark = (engine: EngineName): number => {
    if (entry.kind === 'embedding') return 0;
    const byTier = BY_ENGINE[engine][entry.qualityTier - 1] ?? 0;
    return (
      entry.quality?.[engine] ?? byTier - (STRUCTURED.has(engine) && !entry.supportsJsonSchema ? WITHOUT_SCHEMA : 0)
    );
  };
  return {
    copilot: mark('copilot'),
    'smart-replies': mark('smart-replies'),
    sentiment: mark('sentiment'),
    intent: mark('intent'),
    'extract-entities': mark('extract-entities'),
    summarize: mark('summarize'),
    translate: mark('translate'),
    'score-lead': mark('score-lead'),
    chat: mark('chat'),
  };
}
