import type { CampaignProgress, CampaignStatus } from '../../../client/src/index.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { follow } from '../follow.ts';
import { bar, duration, plain, tally } from '../text.ts';

const OVER = new Set<CampaignStatus>(['completed', 'completed_with_unknown', 'cancelled', 'failed']);
/** Nothing goes on by itself: somebody has to do something. */
const STUCK = new Set<CampaignStatus>(['paused', 'missed']);

export const pathOf = (id: string) => `/api/campaigns/${encodeURIComponent(id)}`;

function lineOf({ status, pauseReason, waitReason, counters, etaSeconds }: CampaignProgress): string {
  const { total, pending, claimed, dispatching, ...ended } = counters;
  const reason = pauseReason ?? waitReason;
  const why = reason === null ? '' : ` (${plain(reason)})`;
  const left = etaSeconds === null || etaSeconds === 0 ? '' : `  ~${duration(etaSeconds)} left`;
  const isBegun = total > 0 || OVER.has(status);
  const progress = isBegun ? `  ${bar(total - pending - claimed - dispatching, total)}  ${tally(ended)}` : '';
  return `${status}${why}${progress}${left}`.trimEnd();
}

/** What a campaign ends with, or how it stands when it is looked at no longer. */
export function exitCodeOf({ status, counters }: Pick<CampaignProgress, 'status' | 'counters'>): number {
  if (status === 'paused' || status === 'completed_with_unknown') return EXIT.partial;
  if (status !== 'completed') return EXIT.failed;
  return counters.failed > 0 ? EXIT.partial : EXIT.done;
}

const NEXT: Partial<Record<CampaignStatus, (id: string) => string>> = {
  paused: (id) => `Nothing is sent until somebody says so: whatshybrid campaigns resume ${id}`,
  missed: (id) => `It could not begin in time, and waits to be started: whatshybrid campaigns start ${id}`,
  completed_with_unknown: (id) =>
    `Nobody knows whether some arrived; they are not sent again by themselves: whatshybrid campaigns report ${id} --csv items.csv`,
};

/** Shows how far a campaign is, until it is over or waits for somebody. */
export async function watchCampaign(context: Context, id: string): Promise<number> {
  const { out } = context;
  context.farewell = `The campaign goes on. Watch it again: whatshybrid campaigns watch ${id}`;
  let isDraftTold = false;
  const progress = await follow<CampaignProgress, 'campaign.*'>(
    context,
    {
      path: `${pathOf(id)}/progress`,
      events: 'campaign.*',
      isAbout: ({ data }) => data.campaignId === id,
      isOver: ({ status }) => OVER.has(status),
    },
    (state) => {
      if (state.status === 'draft' && !isDraftTold) out.note('It is a draft: nothing is sent until it is started.');
      isDraftTold ||= state.status === 'draft';
      out.progress({ campaignId: id, ...state }, [lineOf(state)], `${state.status} ${state.pauseReason}`);
      return STUCK.has(state.status) ? 'enough' : undefined;
    },
  );
  const next = NEXT[progress.status]?.(id);
  if (next !== undefined) out.note(next);
  return exitCodeOf(progress);
}
