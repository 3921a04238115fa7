import { z } from 'zod';
import { isOptOut } from '#src/modules/campaigns/opt-out-words.ts';
import { Seconds } from '#src/modules/cloud-api/seconds.ts';

/** A message as `messages/sync` takes it. */
export interface InboundMessage {
  providerId: string;
  chat: { waId: string };
  direction: 'inbound';
  type: string;
  body?: string;
  mediaRef?: string;
  sentAt: string;
  name?: string;
}

const text = z.string().max(65_536);
const Media = z.object({ id: z.string().max(400), caption: text.optional(), filename: text.optional() });
const Reply = z.object({ title: text, id: text.optional() });
const Message = z.object({
  from: z.string(),
  id: z.string(),
  timestamp: Seconds,
  type: z.string(),
  text: z.object({ body: text }).optional(),
  image: Media.optional(),
  audio: Media.optional(),
  video: Media.optional(),
  document: Media.optional(),
  sticker: Media.optional(),
  location: z
    .object({ latitude: z.number(), longitude: z.number(), name: text.optional(), address: text.optional() })
    .optional(),
  reaction: z.object({ emoji: text.optional() }).optional(),
  button: z.object({ text, payload: text.optional() }).optional(),
  interactive: z.object({ button_reply: Reply.optional(), list_reply: Reply.optional() }).optional(),
  system: z.object({ body: text.optional() }).optional(),
});

const MEDIA = ['image', 'audio', 'video', 'document', 'sticker'] as const;

/** What it says: what was tapped is said as if it had been written. */
function contentOf(message: z.output<typeof Message>): Pick<InboundMessage, 'type' | 'body' | 'mediaRef'> {
  const media = MEDIA.find((kind) => message.type === kind);
  if (media !== undefined) {
    const { id, caption, filename } = message[media] ?? {};
    const body = caption ?? filename;
    return { type: media, ...(body !== undefined && { body }), ...(id !== undefined && { mediaRef: id }) };
  }
  const { location, interactive } = message;
  if (message.type === 'location' && location) {
    const place = [location.name, location.address, `${location.latitude},${location.longitude}`];
    return { type: 'location', body: place.filter((part) => part !== undefined).join('\n') };
  }
  if (message.type === 'contacts') return { type: 'contact' };
  if (message.type === 'reaction') return { type: 'reaction', body: message.reaction?.emoji ?? '' };
  const said =
    message.text?.body ??
    message.button?.text ??
    interactive?.button_reply?.title ??
    interactive?.list_reply?.title ??
    message.system?.body;
  const isText = ['text', 'button', 'interactive'].includes(message.type);
  return { type: isText ? 'text' : 'other', ...(said !== undefined && { body: said }) };
}

/** Whom a tapped button takes off campaigns by what its maker had it say, whatever stands on it. @returns their WhatsApp id, or null */
export function readTappedNo(value: unknown): string | null {
  const { data } = Message.safeParse(value);
  const { button, interactive } = data ?? {};
  const said = button?.payload ?? interactive?.button_reply?.id ?? interactive?.list_reply?.id;
  return data && said !== undefined && isOptOut(said) ? data.from : null;
}

/**
 * Reads one message of a webhook.
 * @param names what people call themselves, by their WhatsApp ids
 * @returns null for what is none
 */
export function readMessage(value: unknown, names: ReadonlyMap<string, string>): InboundMessage | null {
  const { data } = Message.safeParse(value);
  if (!data) return null;
  const name = names.get(data.from)?.slice(0, 200).toWellFormed();
  return {
    providerId: data.id,
    chat: { waId: data.from },
    direction: 'inbound',
    sentAt: data.timestamp.toISOString(),
    ...contentOf(data),
    ...(name !== undefined && { name }),
  };
}
