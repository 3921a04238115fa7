import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLOUD_ERRORS, graphError, statusError } from './cloud-errors.ts';
import { chosen, drawn, readCloudScript, type CloudScript, type CloudScriptInput } from './cloud-script.ts';
import { CloudWebhooks } from './cloud-webhooks.ts';
import { isObject, objects, type Json } from './wire.ts';

/** One message that was asked for. Times are epoch milliseconds. */
export interface CloudSend {
  n: number;
  at: number;
  number: string;
  to: string;
  /** The sender's own `biz_opaque_callback_data`. */
  callback: string;
  body: Json;
  /** Whether somebody gets it, unless it fails later. */
  effect: boolean;
  /** Meta's code where it was refused; `lost` where the sender never heard. */
  answered: 'accepted' | 'lost' | number;
  messageId: string | null;
  /** The code with which it fails later. */
  fate: number | null;
}

interface CloudNumber {
  id: string;
  script: CloudScript;
  webhooks: CloudWebhooks | null;
  /** When messages were taken, lately; and by person. */
  taken: number[];
  pairs: Map<string, number[]>;
  /** When people last wrote. */
  heard: Map<string, number>;
  faults: Map<string, number>;
}

const KEPT = 200_000;
const WINDOW_MS = 86_400_000;
const PAIR_MS = 6000;

const stringOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** WhatsApp knows older accounts of Brazil's states from 31 on without their ninth digit. */
const waIdOf = (to: string): string => to.replaceAll(/\D/g, '').replace(/^55([3-9]\d)9([6-9]\d{7})$/, '55$1$2');

/** The WhatsApp Cloud API: numbers with scripts of their own, a journal of all they were asked to send, and webhooks back. */
export class CloudNumbers {
  readonly journal: CloudSend[] = [];
  readonly #numbers = new Map<string, CloudNumber>();

  /** Replaces the script of a number; what it has seen is forgotten. @throws ScriptError */
  script(id: string, script: CloudScriptInput): CloudScript {
    const read = readCloudScript(script);
    this.#numbers.get(id)?.webhooks?.close();
    const webhooks = read.webhook ? new CloudWebhooks(read.webhook) : null;
    const heard = this.#numbers.get(id)?.heard ?? new Map<string, number>();
    const one = { id, script: read, webhooks, taken: [], pairs: new Map(), heard, faults: new Map() };
    this.#numbers.set(id, one);
    return read;
  }

  /** Somebody writes to a number: told by webhook, and free text may go to them for 24 hours. @returns the message's id */
  say(
    id: string,
    message: { from: string; name?: string; text?: string; more?: Json; id?: string; at?: number },
  ): string {
    const number = this.#find(id);
    const { from, name = 'Cliente', text, at = Date.now() } = message;
    const messageId = message.id ?? `wamid.in.${randomUUID()}`;
    number.heard.set(waIdOf(from), at);
    const content = text === undefined ? {} : { type: 'text', text: { body: text } };
    this.#tell(number, {
      contacts: [{ profile: { name }, wa_id: from }],
      messages: [{ from, id: messageId, timestamp: `${Math.floor(at / 1000)}`, ...content, ...message.more }],
    });
    return messageId;
  }

  /** Tells anything else: `user_preferences`, `phone_number_quality_update`, … */
  tell(id: string, field: string, value: Json): void {
    this.#find(id).webhooks?.tell({ field, value });
  }

  /** What was answered to the webhooks of a number. */
  answersOf(id: string): readonly number[] {
    return this.#find(id).webhooks?.answers ?? [];
  }

  /** Until all webhooks were taken. */
  async idle(): Promise<void> {
    for (const { webhooks } of this.#numbers.values()) await webhooks?.idle();
  }

  read(query: URLSearchParams): { sends: CloudSend[] } {
    const [after, limit] = [Number(query.get('after') ?? 0), Number(query.get('limit') ?? 10_000)];
    return { sends: this.journal.filter(({ n }) => n > after).slice(0, limit) };
  }

  clear(): void {
    for (const { webhooks } of this.#numbers.values()) webhooks?.close();
    this.#numbers.clear();
    this.journal.length = 0;
  }

  /** Answers `/<version>/<phone number id>` and `…/messages`. */
  async answer(path: string, req: IncomingMessage, body: Json | undefined, res: ServerResponse): Promise<void> {
    const [, id = '', call] = /^\/v\d+\.\d+\/(\d+)(\/messages)?$/.exec(path) ?? [];
    const number = this.#numbers.get(id) ?? (this.#numbers.size === 0 ? this.#unscripted(id) : undefined);
    const isPost = req.method === 'POST' && call !== undefined;
    if (!number || id === '' || (!isPost && !(req.method === 'GET' && call === undefined)))
      return refuse(res, 100, 'Unsupported request: the object does not exist or may not be seen.', 33);
    const { accessToken } = number.script;
    if (accessToken !== undefined && req.headers.authorization !== `Bearer ${accessToken}`)
      return refuse(res, 190, 'The access token could not be decrypted.');
    if (!isPost) return reply(res, 200, stateOf(number));
    if (!body) return refuse(res, 100, 'The body is not a JSON object.');
    await this.#send(number, body, res);
  }

  async #send(number: CloudNumber, body: Json, res: ServerResponse): Promise<void> {
    const { script } = number;
    const callback = stringOf(body['biz_opaque_callback_data']);
    const to = stringOf(body['to']);
    const struck = number.faults.get(to) ?? 0;
    const draw = drawn(script.seed, `${to}/${struck}`);
    const fault = struck < script.faultsPerPerson ? chosen(draw, script.faults) : undefined;
    if (fault) number.faults.set(to, struck + 1);
    const code = wrongWith(number, body) ?? tooFast(number, to) ?? fault?.code ?? null;
    const messageId = code === null ? `wamid.${randomUUID()}` : null;
    const fate = messageId === null ? null : this.#fateOf(number, body);
    const answered = code ?? (fault?.lost ? 'lost' : 'accepted');
    const entry = { n: this.journal.length + 1, at: Date.now(), number: number.id, to, callback, body };
    if (this.journal.length < KEPT) this.journal.push({ ...entry, effect: code === null, answered, messageId, fate });
    if (messageId !== null) this.#tellFate(number, { to, callback, messageId, fate });
    if (script.delayMs > 0) await sleep(script.delayMs);
    if (code !== null) return refuse(res, code, 'Refused by the script or by a limit.');
    if (fault?.lost === 'never') return;
    if (fault?.lost === 'cut') return void res.socket?.resetAndDestroy();
    if (fault?.lost === 'html_502')
      return void res.writeHead(502, { 'content-type': 'text/html' }).end('<html><h1>502 Bad Gateway</h1></html>');
    const accepted = body['type'] === 'template' ? { message_status: 'accepted' } : {};
    reply(res, 200, {
      messaging_product: 'whatsapp',
      contacts: [{ input: to, wa_id: waIdOf(to) }],
      messages: [{ id: messageId, ...accepted }],
    });
  }

  #fateOf({ script, heard }: CloudNumber, body: Json): number | null {
    const isFree = body['type'] !== 'template';
    if (isFree && Date.now() - (heard.get(waIdOf(stringOf(body['to']))) ?? 0) > WINDOW_MS) return 131047;
    return chosen(drawn(script.seed, `fate/${stringOf(body['to'])}`), script.fates)?.code ?? null;
  }

  #tellFate(number: CloudNumber, sent: { to: string; callback: string; messageId: string; fate: number | null }): void {
    const { script } = number;
    const isRead = drawn(script.seed, `read/${sent.to}`) < script.read;
    const names = sent.fate === null ? ['sent', 'delivered', ...(isRead ? ['read'] : [])] : ['sent', 'failed'];
    const { times, shuffled, delayMs } = script.tell;
    const all = Array.from({ length: times }, () => names).flat();
    const order = shuffled ? all.toSorted(() => Math.random() - 0.5) : all;
    for (const [at, status] of order.entries()) {
      const errors = status === 'failed' && sent.fate !== null ? { errors: [statusError(sent.fate)] } : {};
      const timestamp = `${Math.floor(Date.now() / 1000)}`;
      const one = { id: sent.messageId, status, timestamp, recipient_id: waIdOf(sent.to), ...errors };
      const told = { ...one, ...(sent.callback !== '' && { biz_opaque_callback_data: sent.callback }) };
      this.#tell(number, { statuses: [told] }, shuffled ? Math.random() * delayMs : (delayMs * at) / order.length);
    }
  }

  #tell({ id, script, webhooks }: CloudNumber, value: Json, delayMs = 0): void {
    const metadata = { display_phone_number: script.displayPhoneNumber, phone_number_id: id };
    webhooks?.tell({ field: 'messages', value: { messaging_product: 'whatsapp', metadata, ...value } }, delayMs);
  }

  #find(id: string): CloudNumber {
    const number = this.#numbers.get(id);
    if (!number) throw new Error(`The simulator has no number ${id}.`);
    return number;
  }

  #unscripted(id: string): CloudNumber {
    this.script(id, {});
    return this.#find(id);
  }
}

/** The code with which a message is refused that is not well-formed, or whose template Meta has not. */
function wrongWith({ script }: CloudNumber, body: Json): number | null {
  if (body['messaging_product'] !== 'whatsapp' || !/^\+?\d{7,15}$/.test(stringOf(body['to']))) return 100;
  if (body['type'] === 'text') return isObject(body['text']) && typeof body['text']['body'] === 'string' ? null : 100;
  const template = body['template'];
  if (body['type'] !== 'template' || !isObject(template) || !isObject(template['language'])) return 100;
  if (script.templates === undefined) return null;
  const language = template['language']['code'];
  const known = script.templates.find((one) => one.name === template['name'] && one.language === language);
  if (!known) return 132001;
  if (known.status !== 'APPROVED') return known.status === 'PAUSED' ? 132015 : 132016;
  const given = objects(template['components']).find((component) => component['type'] === 'body');
  return objects(given?.['parameters']).length === known.parameters ? null : 132000;
}

/** The code with which a message is refused that comes too soon behind others; what is taken counts. */
function tooFast(number: CloudNumber, to: string): number | null {
  const now = Date.now();
  const { script, pairs } = number;
  number.taken = number.taken.filter((at) => at > now - 1000);
  if (number.taken.length >= script.perSecond) return 130429;
  const ofPair = (pairs.get(to) ?? []).filter((at) => at > now - PAIR_MS * script.pairBurst);
  if (ofPair.length >= script.pairBurst) return 131056;
  number.taken.push(now);
  pairs.set(to, [...ofPair, now]);
  return null;
}

const stateOf = ({ id, script }: CloudNumber) => ({
  quality_rating: script.qualityRating,
  throughput: { level: 'STANDARD' },
  whatsapp_business_manager_messaging_limit: script.messagingLimit,
  status: 'CONNECTED',
  verified_name: 'Loja da Esquina',
  id,
});

const reply = (res: ServerResponse, status: number, value: unknown): void =>
  void res.writeHead(status, { 'content-type': 'application/json; charset=UTF-8' }).end(JSON.stringify(value));

const refuse = (res: ServerResponse, code: number, details: string, subcode?: number): void =>
  reply(res, CLOUD_ERRORS[code]?.[0] ?? 400, graphError(code, details, subcode));
