import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { isUuid } from '#src/lib/ids.ts';
import type { StatusRow } from '#src/modules/cloud-api/cloud.query.ts';
import { codeText } from '#src/modules/cloud-api/errors.ts';
import { readMessage, readTappedNo, type InboundMessage } from '#src/modules/cloud-api/inbound.ts';
import { Seconds } from '#src/modules/cloud-api/seconds.ts';

/** Whether a webhook's bytes were signed with the app's secret: `X-Hub-Signature-256` (Meta, "Validating payloads"). */
export function isSignedBy(appSecret: string, header: string | string[] | undefined, body: Uint8Array): boolean {
  const given = /^sha256=([0-9a-f]{64})$/.exec(typeof header === 'string' ? header : '')?.[1];
  if (given === undefined) return false;
  return timingSafeEqual(createHmac('sha256', appSecret).update(body).digest(), Buffer.from(given, 'hex'));
}

const list = z.array(z.unknown()).default([]);
const Payload = z.object({
  object: z.literal('whatsapp_business_account'),
  entry: z.array(z.object({ changes: z.array(z.object({ field: z.string(), value: z.unknown() })) })),
});
const Value = z.object({
  metadata: z.object({ phone_number_id: z.string() }),
  statuses: list,
  messages: list,
  user_preferences: list,
  contacts: list,
});
const Status = z.object({
  id: z.string().min(1).max(255),
  // A voice message that was played was also read.
  status: z.enum(['sent', 'delivered', 'read', 'played', 'failed']),
  timestamp: Seconds,
  biz_opaque_callback_data: z.string().max(512).optional(),
  errors: z.array(z.object({ code: z.int() })).optional(),
});
const Preference = z.object({ wa_id: z.string(), category: z.literal('marketing_messages'), value: z.string() });
const Sender = z.object({ wa_id: z.string(), profile: z.object({ name: z.string() }) });
const NumberUpdate = z.object({
  display_phone_number: z.string().max(40),
  event: z.string().max(40),
  current_limit: z.string().max(40).optional(),
  max_daily_conversations_per_business: z.string().max(40).optional(),
});
const TemplateUpdate = z.object({
  event: z.string(),
  message_template_name: z.string(),
  message_template_language: z.string(),
});

/** What stands before the id of a message that tries a campaign out, in what comes back with its statuses. */
export const OF_TEST = 'test';

/** A status, and Meta's error code where it says that a message failed; `tryId` of a message that tried a campaign out. */
export type Said = StatusRow & { errorCode: number | null; tryId: string | null };

/** What a webhook tells of one number. */
export interface Told {
  statuses: Said[];
  messages: InboundMessage[];
  /** WhatsApp ids of those who want no more marketing. */
  optOuts: string[];
  /** What changed of numbers, by their digits. */
  numbers: { digits: string; event: string; messagingLimit: string | null }[];
  /** Templates that Meta does not send any more. */
  templates: { name: string; language: string }[];
  /** Entries that nobody here understands. */
  unread: number;
}

/** Meta sends nothing of these any more; a template that only waits for review still has its approved version. */
const STOPPED = new Set(['PAUSED', 'DISABLED', 'REJECTED', 'PENDING_DELETION']);

function readStatus(value: unknown): Said | null {
  const { data } = Status.safeParse(value);
  if (!data) return null;
  const [itemId = '', attemptId = ''] = data.biz_opaque_callback_data?.split('.') ?? [];
  const isOurs = isUuid(itemId) && isUuid(attemptId);
  const errorCode = data.status === 'failed' ? (data.errors?.[0]?.code ?? null) : null;
  return {
    item_id: isOurs ? itemId : null,
    attempt_id: isOurs ? attemptId : null,
    message_id: data.id,
    status: data.status === 'played' ? 'read' : data.status,
    code: data.status === 'failed' ? (errorCode === null ? 'cloud' : codeText(errorCode)) : null,
    at: data.timestamp.toISOString(),
    errorCode,
    tryId: itemId === OF_TEST && isUuid(attemptId) ? attemptId : null,
  };
}

function readNumber(value: unknown, told: Told): void {
  const { data } = NumberUpdate.safeParse(value);
  if (!data) return void (told.unread += 1);
  const messagingLimit = data.max_daily_conversations_per_business ?? data.current_limit ?? null;
  const digits = data.display_phone_number.replaceAll(/\D/g, '');
  told.numbers.push({ digits, event: data.event, messagingLimit });
}

function readTemplate(value: unknown, told: Told): void {
  const { data } = TemplateUpdate.safeParse(value);
  if (!data) told.unread += 1;
  else if (STOPPED.has(data.event))
    told.templates.push({ name: data.message_template_name, language: data.message_template_language });
}

function readValue(value: z.output<typeof Value>, told: Told): void {
  const names = new Map(
    value.contacts.flatMap((one) => {
      const { data } = Sender.safeParse(one);
      return data ? [[data.wa_id, data.profile.name] as const] : [];
    }),
  );
  const take = <One>(values: readonly unknown[], read: (value: unknown) => One | null, into: One[]): void => {
    for (const one of values) {
      const result = read(one);
      if (result === null) told.unread += 1;
      else into.push(result);
    }
  };
  take(value.statuses, readStatus, told.statuses);
  take(value.messages, (one) => readMessage(one, names), told.messages);
  told.optOuts.push(...value.messages.map(readTappedNo).filter((waId) => waId !== null));
  for (const one of value.user_preferences) {
    const { data } = Preference.safeParse(one);
    // Whoever takes a stop back in WhatsApp has not said to this workspace that they agree.
    if (data?.value === 'stop') told.optOuts.push(data.wa_id);
  }
}

/**
 * Reads a webhook whose signature is good. What is of another number than `phoneNumberId` is left out; what is of none is for all.
 * @returns null where it is no webhook of WhatsApp's
 */
export function readWebhook(body: unknown, phoneNumberId: string): Told | null {
  const payload = Payload.safeParse(body);
  if (!payload.success) return null;
  const told: Told = { statuses: [], messages: [], optOuts: [], numbers: [], templates: [], unread: 0 };
  for (const { field, value } of payload.data.entry.flatMap(({ changes }) => changes)) {
    if (field === 'phone_number_quality_update') readNumber(value, told);
    else if (field === 'message_template_status_update') readTemplate(value, told);
    else if (field === 'messages' || field === 'user_preferences') {
      const { data } = Value.safeParse(value);
      if (!data) told.unread += 1;
      else if (data.metadata.phone_number_id === phoneNumberId) readValue(data, told);
    }
  }
  return told;
}
