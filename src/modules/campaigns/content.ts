import type { EntityManager } from '@mikro-orm/postgresql';
import { badRequest } from '#src/errors.ts';
import type { CampaignBody, Content, VariantView } from '#src/modules/campaigns/campaigns.schemas.ts';
import { findTemplateText, readFieldKeys } from '#src/modules/campaigns/content.query.ts';
import { parseTemplate } from '#src/modules/templates/template.ts';

const refuse = (path: string, code: string, message: string) =>
  badRequest('validation_failed', `${path}: ${message}`, [{ path, code, message }]);

async function pin(em: EntityManager, content: Content, path: string, keys: ReadonlySet<string>) {
  if ('templateId' in content) {
    const found = await findTemplateText(em, content.templateId);
    if (!found) throw refuse(`${path}.templateId`, 'not_found', 'there is no such template');
    return { text: found.body, templateId: content.templateId, templateVersion: found.version };
  }
  const parsed = parseTemplate(content.text, keys);
  if (!('fault' in parsed)) return { text: content.text, templateId: null, templateVersion: null };
  const { code, message, line, column } = parsed.fault;
  throw refuse(`${path}.text`, code, `${message} (line ${line}, column ${column})`);
}

/**
 * The texts of a campaign as they are now: a template that changes later changes no campaign that was made before.
 * @throws AppError 400 that says where a text is wrong
 */
export async function pinContent(
  em: EntityManager,
  { content, variants }: Pick<CampaignBody, 'content' | 'variants'>,
): Promise<VariantView[]> {
  const keys = new Set(await readFieldKeys(em));
  if (content !== undefined) return [{ key: 'A', weight: 1, ...(await pin(em, content, 'content', keys)) }];
  const pinned: VariantView[] = [];
  for (const [at, variant] of (variants ?? []).entries()) {
    const said = await pin(em, variant.content, `variants[${at}].content`, keys);
    pinned.push({ key: String.fromCodePoint(65 + at), weight: variant.weight, ...said });
  }
  return pinned;
}
