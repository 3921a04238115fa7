import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { type OwnPrompt, type Prompt, renderPrompt, variablesIn } from '#src/ai/prompts/define.ts';
import { estimateTokens } from '#src/ai/tokens.ts';
import { badRequest, notFound } from '#src/errors.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import {
  activate,
  dropOldest,
  findActive,
  findVersions,
  insertVersion,
  lockPrompt,
  type PromptPlace,
  type PromptRow,
} from '#src/modules/prompts/prompts.query.ts';
import {
  PromptLanguage,
  PROMPTS,
  type PromptParams,
  type PromptVersionView,
  type PromptView,
} from '#src/modules/prompts/prompts.schemas.ts';

/** How many texts of one prompt are kept for coming back to. */
const KEPT_VERSIONS = 100;
/** Stands where a job's fence has its mark. */
const SAMPLE_MARK = '0123456789ab';

const versionView = (row: PromptRow): PromptVersionView => ({
  version: row.version,
  text: row.text,
  variables: row.variables,
  isActive: row.is_active,
  createdAt: row.created_at,
  createdBy: row.created_by_id,
});

function promptOf(engine: string): Prompt {
  const prompt = PROMPTS.get(engine);
  if (!prompt) throw notFound('The prompt');
  return prompt;
}

function viewOf({ engine, language }: PromptParams, active: PromptRow | undefined): PromptView {
  const { version, instruction, format, variables } = promptOf(engine);
  return {
    engine,
    language,
    default: { version, text: instruction[language] },
    format: format[language],
    variables: Object.entries(variables).map(([name, variable]) => ({ name, ...variable })),
    active: active ? versionView(active) : null,
  };
}

/** Every prompt there is, with the text the workspace has put in its place. */
export async function listPrompts(orm: Orm, workspaceId: string): Promise<PromptView[]> {
  const active = await inWorkspaceTx(orm, { workspaceId }, (em) => findActive(em, workspaceId));
  return [...PROMPTS.keys()].flatMap((engine) =>
    PromptLanguage.options.map((language) =>
      viewOf(
        { engine, language },
        active.find((row) => row.engine === engine && row.language === language),
      ),
    ),
  );
}

/** The kept texts of one prompt, the newest first. */
export async function listVersions(orm: Orm, place: PromptPlace): Promise<PromptVersionView[]> {
  const rows = await inWorkspaceTx(orm, place, (em) => findVersions(em, place));
  return rows.map(versionView);
}

const badText = (code: string, message: string) =>
  badRequest(code, `text: ${message}`, [{ path: 'text', code, message }]);

/** @returns the variables of a text. @throws AppError 400 for one the engine does not know, one it needs and the text lacks, and stray braces */
export function checkText(engine: string, text: string): string[] {
  const { variables } = promptOf(engine);
  const { names, broken } = variablesIn(text);
  const known = Object.keys(variables);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw badText(
      'unknown_variable',
      `{{${unknown}}} is no variable of "${engine}"; there is: ${known.join(', ') || 'none'}`,
    );
  }
  if (broken) throw badText('invalid_variable', 'braces {{ }} may only enclose the name of a variable');
  const missing = known.find((name) => variables[name]?.required && !names.includes(name));
  if (missing !== undefined) throw badText('missing_variable', `must contain {{${missing}}}`);
  return names;
}

/** What a model would be told, with sample values; no job is made. @param text a draft; without one, the text in use */
export async function previewPrompt(orm: Orm, place: PromptPlace, text: string | undefined) {
  const { engine, language, workspaceId } = place;
  const prompt = promptOf(engine);
  if (text !== undefined) checkText(engine, text);
  const rows = text === undefined ? await inWorkspaceTx(orm, { workspaceId }, (em) => findActive(em, workspaceId)) : [];
  const active = rows.find((row) => row.engine === engine && row.language === language);
  const used = text ?? active?.text;
  const own: OwnPrompt | undefined =
    used === undefined ? undefined : { language, version: active?.version ?? 0, text: used };
  const samples = Object.entries(prompt.variables).map(([name, { sample }]) => [name, sample] as const);
  const fixed = prompt.fixed.map((name) => [name, name === 'mark' ? SAMPLE_MARK : `<${name}>`] as const);
  const rendered = renderPrompt(prompt, language, Object.fromEntries([...samples, ...fixed]), own);
  return { text: rendered, promptTokens: estimateTokens(rendered) };
}

/** Puts a text in use; the ones before stay in the history. @throws AppError 400 as `checkText` */
export async function writePrompt(
  orm: Orm,
  place: PromptPlace,
  request: { text: string; createdBy: string; actor: Actor },
): Promise<PromptView> {
  const { text, createdBy, actor } = request;
  const variables = JSON.stringify(checkText(place.engine, text));
  return change(orm, place, actor, 'prompt.written', async (em, rows) => {
    const version = (rows[0]?.version ?? 0) + 1;
    await insertVersion(em, place, { version, text, variables, createdBy });
    await activate(em, place, version);
    await dropOldest(em, place, KEPT_VERSIONS);
  });
}

/** Puts an earlier text in use again. @throws AppError 404 for a version that is not kept */
export function restorePrompt(orm: Orm, place: PromptPlace, version: number, actor: Actor): Promise<PromptView> {
  return change(orm, place, actor, 'prompt.activated', async (em, rows) => {
    const kept = rows.find((row) => row.version === version);
    if (!kept) throw notFound('The version');
    checkText(place.engine, kept.text);
    await activate(em, place, version);
  });
}

/** Gives the engine our instruction back; the workspace's texts stay in the history. */
export function deactivatePrompt(orm: Orm, place: PromptPlace, actor: Actor): Promise<PromptView> {
  return change(orm, place, actor, 'prompt.deactivated', async (em) => void (await activate(em, place, null)));
}

type Em = Parameters<typeof findVersions>[0];

/** Changes which text is in use, alone and written down; nothing is written down when nothing changed. */
async function change(
  orm: Orm,
  place: PromptPlace,
  actor: Actor,
  action: string,
  work: (em: Em, rows: PromptRow[]) => Promise<void>,
): Promise<PromptView> {
  return inWorkspaceTx(orm, { workspaceId: place.workspaceId }, async (em) => {
    await lockPrompt(em, place);
    const before = await findVersions(em, place);
    await work(em, before);
    const active = (await findVersions(em, place)).find((row) => row.is_active);
    const was = before.find((row) => row.is_active)?.version ?? null;
    const now = active?.version ?? null;
    if (was !== now) {
      const target = { type: 'prompt', id: `${place.engine}/${place.language}` };
      await appendAudit(em, actor, { action, target, before: { version: was }, after: { version: now } });
    }
    return viewOf(place, active);
  });
}
