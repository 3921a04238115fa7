import type { Command } from 'commander';
import { CHANNEL, HEALTH } from '../answers.ts';
import type { Act, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { readRows } from '../pages.ts';
import { plain } from '../text.ts';

const pathOf = (id: string) => `/api/channels/${encodeURIComponent(id)}`;

/** All numbers that campaigns can be sent from. */
export async function listChannels(context: Context): Promise<number> {
  const { out } = context;
  const { rows } = await readRows(context, CHANNEL, '/api/channels');
  out.json(rows);
  const lines = rows.map(({ id, kind, state, phone, name }) => [id, kind, state, phone ?? '', name]);
  out.table(['Channel', 'Kind', 'State', 'Phone', 'Name'], lines);
  return EXIT.done;
}

async function show({ out, request }: Context, _options: object, [id = '']: string[]): Promise<number> {
  const channel = await request(CHANNEL, 'GET', pathOf(id));
  out.json(channel);
  const { name, kind, phone, state, pauseReason, timeZone } = channel;
  const fields = { id: channel.id, name, kind, phone, state, pauseReason, timeZone };
  out.table(
    ['', 'Channel'],
    Object.entries(fields).map(([field, value]) => [field, value ?? '']),
  );
  return EXIT.done;
}

const turn = (verb: 'pause' | 'resume') =>
  async function turnChannel({ out, request }: Context, _options: object, [id = '']: string[]): Promise<number> {
    const channel = await request(CHANNEL, 'POST', `${pathOf(id)}/${verb}`);
    out.json(channel);
    out.note(`${plain(channel.name)} is ${channel.state}.`);
    return EXIT.done;
  };

/** Has Meta asked how a number of the Cloud API is. */
async function test({ out, request }: Context, _options: object, [id = '']: string[]): Promise<number> {
  const health = await request(HEALTH, 'POST', `${pathOf(id)}/test`);
  out.json(health);
  const known = Object.entries(health).flatMap(([name, value]) => (value === null ? [] : [[name, value]]));
  out.table(['', 'Health'], known);
  return health['problem'] === null ? EXIT.done : EXIT.failed;
}

export function addChannels(program: Command, act: Act): void {
  const channels = program.command('channels').description('the numbers that campaigns are sent from');
  channels.command('list').description('all of them').action(act(listChannels));
  for (const [verb, description, handler] of [
    ['show', 'one of them', show],
    ['pause', 'send nothing more from it', turn('pause')],
    ['resume', 'go on sending from it', turn('resume')],
    ['test', 'ask Meta how a number of the Cloud API is', test],
  ] as const) {
    channels.command(verb).argument('<id>').description(description).action(act(handler));
  }
}
