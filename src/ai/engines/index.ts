import { chat } from '#src/ai/engines/chat.ts';
import { copilot } from '#src/ai/engines/copilot.ts';
import { sentiment } from '#src/ai/engines/sentiment.ts';
import { smartReplies } from '#src/ai/engines/smart-replies.ts';

/** All engines there are, by the name clients use. */
export const engines = { copilot, 'smart-replies': smartReplies, sentiment, chat } as const;
