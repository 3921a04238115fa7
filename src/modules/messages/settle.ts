import type { FieldError } from '#src/errors.ts';
import { fieldErrors } from '#src/http/validation.ts';
import { parsePhone } from '#src/modules/contacts/phone.ts';
import { rankOf, SyncItem, type MessageStatus } from '#src/modules/messages/messages.schemas.ts';

const DAY_MS = 86_400_000;

/** What a message is known by again, within its channel. */
export interface MessageKey {
  kind: 'client' | 'provider';
  value: string;
}
export const keyText = ({ kind, value }: MessageKey): string => `${kind}:${value}`;

/** What a batch says of one message: all its items that have a key in common. */
export interface Group {
  /** The places of its items in the batch. */
  places: number[];
  keys: Map<string, MessageKey>;
  item: SyncItem;
  sentAt: Date;
  status: MessageStatus;
  errorCode: string | null;
}

const statusOf = ({ status, direction }: SyncItem): MessageStatus =>
  status ?? (direction === 'inbound' ? 'delivered' : 'sent');

const keysOf = ({ clientId, providerId }: SyncItem): MessageKey[] => [
  ...(clientId === undefined ? [] : [{ kind: 'client' as const, value: clientId }]),
  ...(providerId === undefined ? [] : [{ kind: 'provider' as const, value: providerId }]),
];

const wrong = (path: string, code: string, message: string): FieldError => ({ path, code, message });

/** Reads one item. @returns it, or what is wrong with it */
export function readItem(value: unknown, nowMs: number, keepDays: number): SyncItem | FieldError {
  const { success, data, error } = SyncItem.safeParse(value);
  if (!success) return fieldErrors(error.issues, '')[0] ?? wrong('body', 'invalid', 'is not a message');
  const sentMs = Date.parse(data.sentAt);
  if (sentMs > nowMs + DAY_MS) return wrong('sentAt', 'in_the_future', 'must not be in the future');
  if (!(sentMs >= nowMs - keepDays * DAY_MS))
    return wrong('sentAt', 'too_old', `is longer ago than messages are kept (${keepDays} days)`);
  const { phone } = data.chat;
  if (phone === undefined) return data;
  const number = parsePhone(phone);
  if (number === null) return wrong('chat.phone', 'invalid_phone', 'is not a phone number that can be called');
  return { ...data, chat: { ...data.chat, phone: number } };
}

export const isFault = (read: SyncItem | FieldError): read is FieldError => 'message' in read;

/** Brings together what a batch says of the same messages, in whatever order: the highest status counts. */
export function groupItems(items: readonly (SyncItem | FieldError)[]): Group[] {
  const byKey = new Map<string, Group>();
  for (const [place, item] of items.entries()) {
    if (isFault(item)) continue;
    const keys = keysOf(item);
    const met = new Set(keys.flatMap((key) => byKey.get(keyText(key)) ?? []));
    const made: Group = {
      places: [place],
      keys: new Map(keys.map((key) => [keyText(key), key])),
      item,
      sentAt: new Date(item.sentAt),
      status: statusOf(item),
      errorCode: item.errorCode ?? null,
    };
    const [first] = [...met, made];
    for (const other of [...met, made].slice(1)) join(first, other);
    for (const key of first.keys.keys()) byKey.set(key, first);
  }
  return [...new Set(byKey.values())];
}

function join(group: Group, other: Group): void {
  group.places.push(...other.places);
  for (const [text, key] of other.keys) group.keys.set(text, key);
  if (rankOf(other.status) > rankOf(group.status)) group.status = other.status;
  group.errorCode ??= other.errorCode;
}
