import { type Command, Option } from 'commander';
import {
  ApiError,
  type BackendClient,
  type Campaign,
  type CampaignStatus,
  type Page,
} from '../../../client/src/index.ts';
import type { Act, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { count, plain } from '../text.ts';
import { createCampaign } from './campaign-create.ts';
import { reportCampaign } from './campaign-report.ts';
import { pathOf, watchCampaign } from './campaign-watch.ts';

interface Channel {
  id: string;
  name: string;
  kind: string;
  state: string;
  phone: string | null;
}

type Verb = 'start' | 'pause' | 'resume' | 'cancel';

/** Where each leads to: a campaign that is there already has what was asked for. */
const LEADS_TO: Record<Verb, readonly CampaignStatus[]> = {
  start: ['preparing', 'running', 'scheduled'],
  pause: ['paused'],
  resume: ['running'],
  cancel: ['cancelled'],
};

/** Turns a campaign; asking for what it is already changes nothing and is no error, so that scripts can be run again. */
async function turn(client: BackendClient, id: string, verb: Verb, signal: AbortSignal) {
  try {
    const campaign = await client.request<Campaign>('POST', `${pathOf(id)}/${verb}`, undefined, { signal });
    return { campaign, isNew: true };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 409) throw error;
    const campaign = await client.request<Campaign>('GET', pathOf(id), undefined, { signal });
    if (!LEADS_TO[verb].includes(campaign.status)) throw error;
    return { campaign, isNew: false };
  }
}

const act = (verb: Verb) =>
  async function turnCampaign(context: Context, { watch }: { watch?: boolean }, [id = '']: string[]): Promise<number> {
    const { out, signal } = context;
    const client = await context.connect();
    const { campaign, isNew } = await turn(client, id, verb, signal);
    out.json(campaign);
    const { status, scheduledAt, name } = campaign;
    const when = status === 'scheduled' && scheduledAt !== null ? ` for ${scheduledAt}` : '';
    out.note(`${plain(name)} is ${isNew ? '' : 'already '}${status}${when}.`);
    return watch ? watchCampaign(context, id) : EXIT.done;
  };

async function list(context: Context, { status }: { status?: string }): Promise<number> {
  const { out, signal } = context;
  const client = await context.connect();
  const query = { limit: 100, status };
  const page = await client.request<Page<Campaign>>('GET', '/api/campaigns', undefined, { query, signal });
  out.json(page.data);
  const rows = page.data.map(({ id, status, counters, createdAt, name }) => {
    const { total, pending, claimed, dispatching } = counters;
    const done = total - pending - claimed - dispatching;
    return [id, status, `${count(done)}/${count(total)}`, createdAt.slice(0, 16), name];
  });
  out.table(['Campaign', 'Status', 'Done', 'Made', 'Name'], rows);
  if (page.page.hasMore) out.note('Only the newest hundred are shown.');
  return EXIT.done;
}

async function listChannels(context: Context): Promise<number> {
  const { out, signal } = context;
  const client = await context.connect();
  const query = { limit: 100 };
  const { data } = await client.request<Page<Channel>>('GET', '/api/channels', undefined, { query, signal });
  out.json(data);
  const rows = data.map(({ id, kind, state, phone, name }) => [id, kind, state, phone ?? '', name]);
  out.table(['Channel', 'Kind', 'State', 'Phone', 'Name'], rows);
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
  campaigns.command('list').description('the newest').option('--status <status>').action(run(list));
  campaigns.command('channels').description('the numbers they can be sent from').action(run(listChannels));
}
