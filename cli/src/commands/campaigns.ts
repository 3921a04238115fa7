import { type Command, Option } from 'commander';
import { ApiError, type CampaignStatus } from '../../../client/src/index.ts';
import { CAMPAIGN } from '../answers.ts';
import type { Act, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { limitOption, readRows } from '../pages.ts';
import { count, plain } from '../text.ts';
import { createCampaign } from './campaign-create.ts';
import { addDrafts } from './campaign-draft.ts';
import { addItems } from './campaign-items.ts';
import { reportCampaign } from './campaign-report.ts';
import { pathOf, watchCampaign } from './campaign-watch.ts';
import { listChannels } from './channels.ts';

type Verb = 'start' | 'pause' | 'resume' | 'cancel';

/** Where each leads to: a campaign that is there already has what was asked for. */
const LEADS_TO: Record<Verb, readonly CampaignStatus[]> = {
  start: ['preparing', 'running', 'scheduled'],
  pause: ['paused'],
  resume: ['running'],
  cancel: ['cancelled'],
};

/** Turns a campaign; asking for what it is already changes nothing and is no error, so that scripts can be run again. */
async function turn({ request }: Context, id: string, verb: Verb) {
  try {
    const campaign = await request(CAMPAIGN, 'POST', `${pathOf(id)}/${verb}`);
    return { campaign, isNew: true };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 409) throw error;
    const campaign = await request(CAMPAIGN, 'GET', pathOf(id));
    if (!LEADS_TO[verb].includes(campaign.status)) throw error;
    return { campaign, isNew: false };
  }
}

const act = (verb: Verb) =>
  async function turnCampaign(context: Context, { watch }: { watch?: boolean }, [id = '']: string[]): Promise<number> {
    const { out } = context;
    const { campaign, isNew } = await turn(context, id, verb);
    out.json(campaign);
    const { status, scheduledAt, name } = campaign;
    const when = status === 'scheduled' && scheduledAt !== null ? ` for ${scheduledAt}` : '';
    out.note(`${plain(name)} is ${isNew ? '' : 'already '}${status}${when}.`);
    return watch ? watchCampaign(context, id) : EXIT.done;
  };

/** As many as may be looked through. */
const LISTED = 100;

async function list(
  context: Context,
  { status, limit = LISTED }: { status?: string; limit?: number },
): Promise<number> {
  const { out } = context;
  const { rows, hasMore } = await readRows(context, CAMPAIGN, '/api/campaigns', { status, most: limit });
  out.json(rows);
  const lines = rows.map(({ id, status, counters, createdAt, name }) => {
    const { total, pending, claimed, dispatching } = counters;
    const done = total - pending - claimed - dispatching;
    return [id, status, `${count(done)}/${count(total)}`, createdAt.slice(0, 16), name];
  });
  out.table(['Campaign', 'Status', 'Done', 'Made', 'Name'], lines);
  if (hasMore) out.note(`Only the newest ${count(limit)} are shown; --limit says how many.`);
  return EXIT.done;
}

const collect = (value: string, before: string[] = []) => [...before, value];

function addCreate(campaigns: Command, run: Act): void {
  campaigns
    .command('create')
    .description('make a draft; nothing is sent until it is started')
    .option('--from <file>', 'the body of POST /api/campaigns as JSON, - for stdin; options go before what it says')
    .option('--name <name>')
    .option('--channel <id>', 'the number it is sent from')
    .option('--text <text>', 'what is sent; {{contact.first_name|"friend"}} is filled in')
    .option('--text-file <file>', 'the same out of a file, - for stdin')
    .option('--template <id>', 'the same by a template')
    .option('--all', 'for all contacts')
    .option('--label <name>', 'for contacts with the label; may be said again', collect)
    .option('--segment <id>', 'for contacts of the segment')
    .option('--contact <id>', 'for the contact; may be said again', collect)
    .option('--exclude-label <name>', 'and for none with this one; may be said again', collect)
    .option('--exclude-segment <id>', 'and for none of this one')
    .option('--require-consent', 'only for those who said yes')
    .option('--holdout <percent>', 'so many of a hundred get nothing, to compare with')
    .option('--at <time>', 'start waits for it, like 2027-01-15T09:00:00-03:00')
    .option('--time-zone <name>', 'like America/Sao_Paulo')
    .addOption(
      new Option('--on-unknown <policy>', 'what becomes of messages nobody knows the end of').choices([
        'hold',
        'assume_sent',
        'resend_once',
      ]),
    )
    .action(run(createCampaign));
}

export function addCampaigns(program: Command, run: Act): void {
  const campaigns = program.command('campaigns').description('one text to many people, each of whom gets it once');
  addCreate(campaigns, run);
  addDrafts(campaigns, run);
  campaigns
    .command('start')
    .argument('<id>')
    .description('start it, or have it wait for its time')
    .option('--watch', 'and watch it')
    .action(run(act('start')));
  campaigns
    .command('watch')
    .argument('<id>')
    .description('show how far it is until it is over, or paused')
    .action(run((context, _options, [id = '']) => watchCampaign(context, id)));
  for (const [verb, description] of [
    ['pause', 'send nothing more of it for now'],
    ['resume', 'go on with it'],
    ['cancel', 'send nothing more of it, ever'],
  ] as const) {
    campaigns
      .command(verb)
      .argument('<id>')
      .description(description)
      .action(run(act(verb)));
  }
  campaigns
    .command('report')
    .argument('<id>')
    .description('what came of it')
    .option('--csv <file>', 'and of each recipient, as CSV; - for stdout alone')
    .action(run(reportCampaign));
  addItems(campaigns, run);
  campaigns
    .command('list')
    .description('the newest')
    .option('--status <status>')
    .addOption(limitOption(`so many of them; else ${LISTED}`))
    .action(run(list));
  campaigns
    .command('channels')
    .description('the numbers they can be sent from: channels list')
    .action(run(listChannels));
}
