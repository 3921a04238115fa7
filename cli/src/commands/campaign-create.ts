import { readFile } from 'node:fs/promises';
import type { NewCampaign } from '../../../client/src/index.ts';
import { NEW_CAMPAIGN } from '../answers.ts';
import type { Context } from '../context.ts';
import { EXIT, fileError, usageError } from '../exit.ts';
import { readPiped } from '../prompt.ts';
import { plain } from '../text.ts';
import { pathOf } from './campaign-watch.ts';

export interface CreateOptions {
  from?: string;
  name?: string;
  channel?: string;
  text?: string;
  textFile?: string;
  template?: string;
  all?: boolean;
  label?: string[];
  segment?: string;
  contact?: string[];
  excludeLabel?: string[];
  excludeSegment?: string;
  requireConsent?: boolean;
  holdout?: string;
  at?: string;
  timeZone?: string;
  onUnknown?: string;
}

type Stdin = Context['stdin'];
const readText = (file: string, stdin: Stdin): Promise<string> =>
  file === '-'
    ? readPiped(stdin)
    : readFile(file, 'utf8').catch((error: unknown) => {
        throw fileError(file, 'read', error);
      });

async function readBody(file: string, stdin: Stdin): Promise<object> {
  try {
    const body: unknown = JSON.parse(await readText(file, stdin));
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw usageError(`${file} must hold one JSON object, as POST /api/campaigns takes it.`);
}

/** The one of several that is given. @throws CliError for two, and, unless one is in a file, for none */
function oneOf<Value>(what: string, given: Record<string, Value | undefined>, isOptional: boolean): Value | undefined {
  const said = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }]));
  if (said.length === 1 || (said.length === 0 && isOptional)) return said[0]?.value;
  const names = Object.keys(given).join(', ');
  throw usageError(`Say ${what} by one of ${names}${said.length > 1 ? `, not by ${said.length}` : ''}.`);
}

const given = (fields: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** The body a command line asks for; what it says goes before what its file says. */
async function bodyOf(options: CreateOptions, stdin: Stdin): Promise<object> {
  const { from, name, channel, text, textFile, template, all, label, segment, contact } = options;
  const { excludeLabel, excludeSegment, requireConsent, holdout, at, timeZone, onUnknown } = options;
  const base = from === undefined ? {} : await readBody(from, stdin);
  const content = oneOf(
    'the text',
    {
      '--text': text === undefined ? undefined : { text },
      '--text-file': textFile === undefined ? undefined : { text: await readText(textFile, stdin) },
      '--template': template === undefined ? undefined : { templateId: template },
    },
    from !== undefined,
  );
  const audience = oneOf<object>(
    'whom it is for',
    {
      '--all': all ? { all: true } : undefined,
      '--label': label && { labels: label },
      '--segment': segment === undefined ? undefined : { segmentId: segment },
      '--contact': contact && { contactIds: contact },
    },
    from !== undefined,
  );
  const exclude = given({ labels: excludeLabel, segmentId: excludeSegment });
  const holdoutPercent = holdout === undefined ? undefined : Number(holdout);
  const said = {
    name,
    channelId: channel,
    content,
    audience,
    requireConsent,
    holdoutPercent,
    scheduledAt: at,
    timeZone,
    onUnknown,
  };
  if (from === undefined && (name === undefined || channel === undefined))
    throw usageError('A campaign needs --name and --channel (whatshybrid campaigns channels lists them), or --from.');
  return { ...base, ...given({ ...said, exclude: Object.keys(exclude).length > 0 ? exclude : undefined }) };
}

/** Makes a draft. A pipe gets its id. */
export async function createCampaign(context: Context, options: CreateOptions): Promise<number> {
  const body = await bodyOf(options, context.stdin);
  // In one try: two would make two drafts where the answer to the first is lost.
  return tellDraft(context, await context.request(NEW_CAMPAIGN, 'POST', '/api/campaigns', { body, tries: 1 }));
}

/** A draft like another. */
export async function duplicateCampaign(context: Context, _options: object, [id = '']: string[]): Promise<number> {
  return tellDraft(context, await context.request(NEW_CAMPAIGN, 'POST', `${pathOf(id)}/duplicate`, { tries: 1 }));
}

function tellDraft({ out }: Context, made: NewCampaign): number {
  out.json(made);
  out.note(`WhatsApp's rules: ${plain(made.notice)}\n`);
  if (out.isTerminal)
    out.text(`Draft ${made.id}: ${plain(made.name)}\nStart it: whatshybrid campaigns start ${made.id}\n`);
  else out.text(`${made.id}\n`);
  return EXIT.done;
}
