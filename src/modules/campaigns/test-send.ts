import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { appendAudit } from '#src/modules/audit/audit.ts';
import type { By } from '#src/modules/campaigns/by.ts';
import { mustFindCampaign } from '#src/modules/campaigns/campaigns.service.ts';
import type { TestView } from '#src/modules/campaigns/campaigns.schemas.ts';
import { writeTried, type Tried } from '#src/modules/campaigns/test-messages.ts';
import { postItem } from '#src/modules/campaigns/post.ts';
import { openKey } from '#src/modules/channels/channel-keys.ts';
import { countSends, readTarget, type ChannelTarget } from '#src/modules/channels/channels.query.ts';
import { sendMessage } from '#src/modules/cloud-api/client.ts';
import { carriedBy, toMessage } from '#src/modules/cloud-api/cloud-carrier.ts';
import { openCredentials } from '#src/modules/cloud-api/credentials.ts';
import { payloadOf } from '#src/modules/cloud-api/message.ts';
import { checkSendRoom } from '#src/modules/billing/room.ts';
import { OF_TEST } from '#src/modules/cloud-api/webhook.ts';
import { findContacts } from '#src/modules/contacts/identify.query.ts';
import { findContactRows } from '#src/modules/contacts/contacts.query.ts';
import { canonicalPhone, parsePhone } from '#src/modules/contacts/phone.ts';
import { isSuppressed } from '#src/modules/privacy/suppression.ts';
import type { TemplateContact } from '#src/modules/templates/template.ts';
import { findTemplateContacts } from '#src/modules/templates/templates.query.ts';
import type { Runtime } from '#src/runtime.ts';

type Needs = Pick<Runtime, 'orm' | 'pool' | 'vault' | 'egress' | 'config' | 'settings'>;
type Result = TestView['results'][number];
/** With the message as the Cloud API takes it, as its recipient reads it, and whether that is a contact. */
type Prepared = Result & { id: string; body: object; shown: string; isContact: boolean };
const resultOf = ({ to, variant, text, outcome, code, messageId }: Prepared): Result => ({
  to,
  variant,
  text,
  outcome,
  code,
  messageId,
});

const nobody = (phone: string): TemplateContact => ({
  name: '',
  phone,
  email: null,
  company: null,
  position: null,
  customFields: {},
});

function parseAll(to: readonly string[]): string[] {
  const phones = to.map((text, at) => {
    const phone = parsePhone(text);
    if (phone !== null) return canonicalPhone(phone);
    const message = 'must be a phone number';
    throw badRequest('validation_failed', `to[${at}]: ${message}`, [
      { path: `to[${at}]`, code: 'invalid_phone', message },
    ]);
  });
  return [...new Set(phones)];
}

/** The texts of a campaign for some numbers: as their contacts would get them, or, of numbers nobody has, with what stands in for a name. */
function prepareTest({ orm, config }: Needs, by: By, id: string, phones: readonly string[]) {
  const { auth } = by;
  return inWorkspaceTx(orm, auth, async (em) => {
    const row = await mustFindCampaign(em, id);
    const found = await findContacts(
      em,
      phones.map((phone) => ({ phone })),
    );
    const visible = await findContactRows(
      em,
      found.filter((one) => one !== null),
      onlyOwner(auth, 'contacts'),
    );
    const contacts = await findTemplateContacts(
      em,
      visible.map((one) => one.id),
    );
    const { APP_SECRET: appSecret } = config;
    const suppressed = await isSuppressed(em, { appSecret, workspaceId: auth.workspaceId }, phones);
    const results = phones.flatMap((to, at) => {
      const contactId = found[at];
      const contact = (typeof contactId === 'string' ? contacts.get(contactId) : undefined) ?? nobody(to);
      return row.variants.map((variant): Prepared => {
        const { unresolved, ...payload } = payloadOf(variant.text, variant.cloudTemplate, { ...contact, phone: to });
        const { text } = payload;
        const isContact = typeof contactId === 'string';
        const one = { id: newId(), to, variant: variant.key, messageId: null, isContact, ...payload };
        if (suppressed.has(to)) return { ...one, outcome: 'skipped', code: 'suppressed' };
        if (unresolved.length > 0 || text.trim() === '')
          return { ...one, outcome: 'skipped', code: 'unresolved_variables' };
        return { ...one, outcome: 'rendered', code: null };
      });
    });
    const sends = results.filter(({ outcome }) => outcome === 'rendered').length;
    await appendAudit(em, by.actor, {
      action: 'campaign.tested',
      target: { type: 'campaign', id },
      after: { recipients: phones.length, messages: sends },
    });
    return { row, results, sends };
  });
}

/**
 * Sends each text of a campaign to a few numbers, now, whatever its audience, windows and pace; it counts for the channel's hour and day. Nothing
 * is sent again by itself. What goes through a phone is only rendered: the phone is the caller's.
 * @throws AppError 400, 403 `plan_limit`, 404; 409 where the channel is paused
 */
export async function testCampaign(rt: Needs, by: By, id: string, to: readonly string[]): Promise<TestView> {
  const { workspaceId } = by.auth;
  const { row, results, sends } = await prepareTest(rt, by, id, parseAll(to));
  const channel = await readTarget(rt.pool, workspaceId, row.channel_id);
  if (!channel) throw notFound('The channel');
  const carry = await openCarrier(rt, { workspaceId, id: row.channel_id }, channel);
  if (carry === null) return { results: results.map(resultOf) };
  if (channel.state !== 'active') throw conflict('channel_paused', 'The channel is paused.');
  if (sends > 0)
    await inWorkspaceTx(rt.orm, { workspaceId }, async (em) => {
      await checkSendRoom(em, sends);
      await countSends(em, { channelId: row.channel_id, sends });
    });
  const sentAt = new Date();
  const write = (all: readonly Prepared[]) =>
    writeTried(
      rt,
      by,
      row.channel_id,
      all.filter(({ isContact }) => isContact).map((one) => triedOf(one, sentAt)),
    );
  const begun = results.filter(({ outcome }) => outcome === 'rendered');
  await write(begun);
  const ended = new Map(
    await Promise.all(
      begun.map(async (one): Promise<[string, Prepared]> => [one.id, { ...one, ...(await carry(one)) }]),
    ),
  );
  await write([...ended.values()]);
  return { results: results.map((one) => resultOf(ended.get(one.id) ?? one)) };
}

/** What nobody knows the end of stays pending until its channel tells of it. */
const triedOf = ({ id, to, shown, outcome, code, messageId }: Prepared, sentAt: Date): Tried => ({
  id,
  to,
  text: shown,
  sentAt,
  status: outcome === 'sent' || outcome === 'failed' ? outcome : 'pending',
  code,
  messageId,
});

const NEVER = new AbortController().signal;

type Carry = (one: Prepared) => Promise<Pick<Result, 'outcome' | 'code' | 'messageId'>>;

/** @returns null where nobody here sends for the channel */
async function openCarrier(
  { vault, egress, config }: Needs,
  { workspaceId, id }: { workspaceId: string; id: string },
  { kind, url, secrets }: ChannelTarget,
): Promise<Carry | null> {
  if (kind === 'cloud_api' && secrets !== null) {
    const credentials = await openCredentials(vault, workspaceId, id, secrets);
    const cloud = { egress, baseUrl: config.WHATSAPP_CLOUD_BASE_URL };
    return async ({ id: tryId, to, body }) => {
      const message = { ...toMessage(to, body), biz_opaque_callback_data: `${OF_TEST}.${tryId}` };
      const end = carriedBy(await sendMessage(cloud, credentials, message, NEVER), 1);
      if (end.result === 'deferred') return { outcome: 'failed', code: end.code, messageId: null };
      return { outcome: end.result, code: end.code, messageId: end.messageId };
    };
  }
  if (url === null || secrets === null) return null;
  const key = await openKey(vault, workspaceId, id, secrets);
  return async ({ id: itemId, to, text }) => {
    const item = { itemId, attemptId: newId(), to, text };
    const { result: outcome, code, messageId } = await postItem(egress, { url, key }, item, NEVER);
    return { outcome, code, messageId };
  };
}
