import { chat } from '#src/ai/engines/chat.ts';
import { copilot } from '#src/ai/engines/copilot.ts';
import { extractEntities } from '#src/ai/engines/extract-entities.ts';
import { intent } from '#src/ai/engines/intent.ts';
import { scoreLead } from '#src/ai/engines/score-lead.ts';
import { sentiment } from '#src/ai/engines/sentiment.ts';
import { smartReplies } from '#src/ai/engines/smart-replies.ts';
import { summarize } from '#src/ai/engines/summarize.ts';
import { translate } from '#src/ai/engines/translate.ts';

/** All engines there are, by the name clients use. */
export const engines = {
  copilot,
  'smart-replies': smartReplies,
  sentiment,
  intent,
  'extract-entities': extractEntities,
  summarize,
  translate,
  'score-lead': scoreLead,
  chat,
} as const;
