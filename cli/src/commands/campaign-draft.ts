import type { Command } from 'commander';
import type { Campaign } from '../../../client/src/index.ts';
import { AUDIENCE, CAMPAIGN, DELETED, TRIED } from '../answers.ts';
import type { Act, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { count, plain, tally } from '../text.ts';
import { pathOf } from './campaign-watch.ts';
import { duplicateCampaign } from './campaign-create.ts';

function fieldsOf(campaign: Campaign): Record<string, string | number | boolean | null> {
  const { id, name, status, pauseReason, channelId, variants, audience, exclude, requireConsent } = campaign;
  const { holdoutPercent, scheduledAt, timeZone, onUnknown, counters, createdAt, startedAt, finishedAt } = campaign;
  const texts = variants.map(({ key, text }) => [variants.length < 2 ? 'text' : `text ${key}`, text]);
  const whom = { audience: JSON.stringify(audience), exclude: JSON.stringify(exclude), requireConsent, holdoutPercent };
  const when = { scheduledAt, timeZone, createdAt, startedAt, finishedAt };
  const state = { id, name, status, pauseReason, channelId };
  return { ...state, ...Object.fromEntries(texts), ...whom, ...when, onUnknown, counters: tally({ ...counters }) };
}

async function show({ out, request }: Context, _options: object, [id = '']: string[]): Promise<number> {
  const campaign = await request(CAMPAIGN, 'GET', pathOf(id));
  out.json(campaign);
  const rows = Object.entries(fieldsOf(campaign)).map(([name, value]) => [name, String(value ?? '')]);
  out.table(['', 'Campaign'], rows);
  return EXIT.done;
}

/** Who would get it now. */
async function preview({ out, request }: Context, _options: object, [id = '']: string[]): Promise<number> {
  const { audience, exclude, requireConsent, channelId } = await request(CAMPAIGN, 'GET', pathOf(id));
  const body = { audience, exclude, requireConsent, channelId };
  const people = await request(AUDIENCE, 'POST', '/api/campaigns/preview-audience', { body });
  out.json(people);
  const left = Object.entries(people.excluded).map(([reason, amount]) => [`left out: ${reason}`, count(amount)]);
  out.table(['', 'People'], [['would get it', count(people.count)], ...left]);
  if (people.sample.length > 0)
    out.note(`Like ${people.sample.map(({ name, phone }) => `${plain(name)} (${plain(phone)})`).join(', ')}.`);
  return EXIT.done;
}

/** Sends its texts to a few numbers, once: in one try. */
async function test({ out, request }: Context, { to }: { to: string[] }, [id = '']: string[]): Promise<number> {
  const tried = await request(TRIED, 'POST', `${pathOf(id)}/test`, { body: { to }, tries: 1 });
  out.json(tried);
  const rows = tried.results.map(({ to, variant, outcome, code, text }) => [to, variant, outcome, code ?? '', text]);
  out.table(['To', 'Variant', 'Outcome', 'Why', 'Text'], rows);
  const good = tried.results.filter(({ outcome }) => outcome === 'sent' || outcome === 'rendered').length;
  if (good === tried.results.length) return EXIT.done;
  return good > 0 ? EXIT.partial : EXIT.failed;
}

async function schedule(
  { out, request }: Context,
  { at: scheduledAt, timeZone }: { at: string; timeZone?: string },
  [id = '']: string[],
): Promise<number> {
  const campaign = await request(CAMPAIGN, 'POST', `${pathOf(id)}/schedule`, { body: { scheduledAt, timeZone } });
  out.json(campaign);
  out.note(`${plain(campaign.name)} is ${campaign.status} for ${campaign.scheduledAt}.`);
  return EXIT.done;
}

async function remove({ out, request }: Context, _options: object, [id = '']: string[]): Promise<number> {
  out.json(await request(DELETED, 'DELETE', pathOf(id)));
  out.note('The campaign is deleted.');
  return EXIT.done;
}

const collect = (value: string, before: string[] = []) => [...before, value];

/** What is done with a campaign before it begins. */
export function addDrafts(campaigns: Command, act: Act): void {
  campaigns.command('show').argument('<id>').description('all that is known of it').action(act(show));
  campaigns
    .command('preview')
    .argument('<id>')
    .description('who would get it now, and who would not, and why')
    .action(act(preview));
  campaigns
    .command('test')
    .argument('<id>')
    .description('send its texts to a few numbers now, to look at them')
    .requiredOption('--to <phone>', 'a number; may be said again, up to five times', collect)
    .action(act(test));
  campaigns
    .command('schedule')
    .argument('<id>')
    .description('have it start by itself')
    .requiredOption('--at <time>', 'like 2027-01-15T09:00:00-03:00')
    .option('--time-zone <name>', 'like America/Sao_Paulo')
    .action(act(schedule));
  campaigns
    .command('duplicate')
    .argument('<id>')
    .description('a new draft like it; a pipe gets its id')
    .action(act(duplicateCampaign));
  campaigns.command('delete').argument('<id>').description('delete one that has not begun').action(act(remove));
}
