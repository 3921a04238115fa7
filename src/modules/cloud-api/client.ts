import { z } from 'zod';
import { EgressFailed, EgressRefused, type Egress } from '#src/lib/egress.ts';
import { errorOf, jsonOf, judge, type Verdict } from '#src/modules/cloud-api/answer.ts';
import type { CloudCredentials } from '#src/modules/cloud-api/credentials.ts';

const CONNECT_TIMEOUT_MS = 5000;
const SEND_TIMEOUT_MS = 30_000;
const READ_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 20_000;
const FIELDS = 'quality_rating,throughput,whatsapp_business_manager_messaging_limit,status,verified_name';

/** Where the Cloud API is, and the way there. */
export interface CloudApi {
  egress: Pick<Egress, 'request'>;
  /** With the version, without a slash at its end: `https://graph.facebook.com/v25.0`. */
  baseUrl: string;
}

const headersOf = ({ accessToken }: CloudCredentials) => ({
  authorization: `Bearer ${accessToken}`,
  accept: 'application/json',
});

/** Sends one message that was begun. It is never repeated here. @param signal aborts when the process must go */
export async function sendMessage(
  { egress, baseUrl }: CloudApi,
  credentials: CloudCredentials,
  body: object,
  signal: AbortSignal,
): Promise<Verdict> {
  try {
    const answer = await egress.request(`${baseUrl}/${credentials.phoneNumberId}/messages`, {
      method: 'POST',
      headers: { ...headersOf(credentials), 'content-type': 'application/json' },
      body: JSON.stringify(body),
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      timeoutMs: SEND_TIMEOUT_MS,
      maxBytes: MAX_ANSWER_BYTES,
      signal,
    });
    return judge(answer);
  } catch (error) {
    if (error instanceof EgressRefused) return { kind: 'not_sent', code: `refused_${error.reason}` };
    if (error instanceof EgressFailed) return { kind: error.sentAnything ? 'unknown' : 'not_sent', code: error.kind };
    throw error;
  }
}

const PhoneNumber = z.object({
  quality_rating: z.string().max(40).optional(),
  status: z.string().max(40).optional(),
  verified_name: z.string().max(200).optional(),
  throughput: z.object({ level: z.string().max(40) }).optional(),
  whatsapp_business_manager_messaging_limit: z.string().max(40).optional(),
});

/** What Meta says of a number, or why it says nothing. */
export interface NumberState {
  quality: string | null;
  status: string | null;
  verifiedName: string | null;
  throughput: string | null;
  messagingLimit: string | null;
  /** `cloud_<code>` of Meta's error, `status_<n>`, or what became of the connection. */
  problem: string | null;
}
const NOTHING = { quality: null, status: null, verifiedName: null, throughput: null, messagingLimit: null };

/** Asks Meta how a number is; this also shows whether the token is good. */
export async function readNumber({ egress, baseUrl }: CloudApi, credentials: CloudCredentials): Promise<NumberState> {
  try {
    const { status, body } = await egress.request(`${baseUrl}/${credentials.phoneNumberId}?fields=${FIELDS}`, {
      method: 'GET',
      headers: headersOf(credentials),
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      timeoutMs: READ_TIMEOUT_MS,
      maxBytes: MAX_ANSWER_BYTES,
    });
    const error = errorOf(body);
    if (error) return { ...NOTHING, problem: `cloud_${error.code}` };
    const said = PhoneNumber.safeParse(jsonOf(body));
    if (status !== 200 || !said.success) return { ...NOTHING, problem: `status_${status}` };
    return {
      quality: said.data.quality_rating ?? null,
      status: said.data.status ?? null,
      verifiedName: said.data.verified_name ?? null,
      throughput: said.data.throughput?.level ?? null,
      messagingLimit: said.data.whatsapp_business_manager_messaging_limit ?? null,
      problem: null,
    };
  } catch (error) {
    if (error instanceof EgressRefused) return { ...NOTHING, problem: `refused_${error.reason}` };
    if (error instanceof EgressFailed) return { ...NOTHING, problem: error.kind };
    throw error;
  }
}
