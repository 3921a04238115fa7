import type { EntityManager } from '@mikro-orm/postgresql';
import { badRequest } from '#src/errors.ts';
import type { CampaignBody, Content, VariantView } from '#src/modules/campaigns/campaigns.schemas.ts';
import { findTemplateText, readFieldKeys } from '#src/modules/campaigns/content.query.ts';
import { textsOf } from '#src/modules/cloud-api/message.ts';
import { parseTemplate } from '#src/modules/templates/template.ts';

const refuse = (path: string, code: string, message: string) =>
  badRequest('validation_failed', `${path}: ${message}`, [{ path, code, message }]);

async function pin(em: EntityManager, content: Content, path: string, keys: ReadonlySet<string>) {
  const { cloudTemplate = null } = content;
  for (const [where, text] of cloudTemplate ? textsOf(cloudTemplate) : [])
    check(text, `${path}.cloudTemplate.${where}`, keys);
  if ('templateId' in content) {
    const found = await findTemplateText(em, content.templateId);
    if (!found) throw refuse(`${path}.templateId`, 'not_found', 'there is no such template');
    return { text: found.body, templateId: content.templateId, templateVersion: found.version, cloudTemplate };
  }
  check(content.text, `${path}.text`, keys);
  return { text: content.text, templateId: null, templateVersion: null, cloudTemplate };
}

function check(text: string, path: string, keys: ReadonlySet<string>): void {
  const parsed = parseTemplate(text, keys);
  if (!('fault' in parsed)) return;
  const { code, message, line, column } = parsed.fault;
  throw refuse(path, code, `${message} (line ${line}, column ${column})`);
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
