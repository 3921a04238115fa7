import { z } from 'zod';
import type { EgressAnswer } from '#src/lib/egress.ts';
import { meaningOf, type Meaning } from '#src/modules/cloud-api/errors.ts';

const Accepted = z.object({ messages: z.tuple([z.object({ id: z.string().min(1).max(255) })], z.unknown()) });
const Refused = z.object({
  error: z.object({ code: z.int(), error_subcode: z.int().optional(), is_transient: z.boolean().optional() }),
});

/** What came of one message: Meta has it under an id; it refused it, and nothing happened; or nobody can say. */
export type Verdict =
  | { kind: 'accepted'; messageId: string }
  | { kind: 'refused'; code: number; meaning: Meaning }
  | { kind: 'unknown'; code: string }
  /** Nothing of it left this side. */
  | { kind: 'not_sent'; code: string };

/** "The object does not exist, or the token may not see it". */
const NO_SUCH_OBJECT = { code: 100, subcode: 33 };

export function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}

/** Meta's error in an answer; undefined where it is in another form, as what stands between us and Meta would give it. */
export function errorOf(body: Uint8Array): z.output<typeof Refused>['error'] | undefined {
  return Refused.safeParse(jsonOf(body)).data?.error;
}

/** Judges an answer to a message. Only Meta's own word, in Meta's own form, says that nothing happened. */
export function judge({ status, body, isTruncated }: Pick<EgressAnswer, 'status' | 'body' | 'isTruncated'>): Verdict {
  if (isTruncated) return { kind: 'unknown', code: 'answer_too_long' };
  if (status >= 200 && status < 300) {
    const accepted = Accepted.safeParse(jsonOf(body));
    if (!accepted.success) return { kind: 'unknown', code: 'no_message_id' };
    return { kind: 'accepted', messageId: accepted.data.messages[0].id };
  }
  const error = errorOf(body);
  if (!error || status < 400) return { kind: 'unknown', code: `status_${status}` };
  const { code, error_subcode: subcode, is_transient: isTransient } = error;
  if (code === NO_SUCH_OBJECT.code && subcode === NO_SUCH_OBJECT.subcode)
    return { kind: 'refused', code, meaning: { kind: 'stop_channel', reason: 'number_not_registered' } };
  const meaning = meaningOf(code, status);
  const isOpen = meaning.kind === 'refuse' && isTransient === true;
  return { kind: 'refused', code, meaning: isOpen ? { kind: 'retry' } : meaning };
}
