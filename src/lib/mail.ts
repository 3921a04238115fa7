import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTransport } from 'nodemailer';

export interface Mail {
  /** Makes the Message-ID, so that a mail that is sent twice can be known as one. */
  id: string;
  to: string;
  subject: string;
  text: string;
  html: string;
}

export interface Mailer {
  /** Hands one mail over; throws when it was not taken. */
  send(mail: Mail): Promise<void>;
}

/** Short enough that a mail under way is over long before it is tried again. */
const PATIENCE = { connectionTimeout: 10_000, greetingTimeout: 10_000, dnsTimeout: 10_000, socketTimeout: 20_000 };
/** Over all steps, each of which could use up its own. */
const SEND_TIMEOUT_MS = 60_000;
const NO_FILES = { disableFileAccess: true, disableUrlAccess: true };

/**
 * What sends mail: an SMTP server, or, without one, a directory in which each mail becomes an `.eml` file that only its owner reads.
 * @param from the sender of every mail, `Name <address>`
 */
export function createMailer({ smtpUrl, directory, from }: MailerOptions): Mailer {
  return smtpUrl === undefined ? toDirectory(directory, from) : toServer(smtpUrl, from);
}

export interface MailerOptions {
  smtpUrl: string | undefined;
  directory: string;
  from: string;
}

const addressed = ({ id, ...mail }: Mail, from: string) => ({
  ...mail,
  from,
  messageId: `<${id}@${/@([^\s>]+)>?$/.exec(from)?.[1] ?? 'localhost'}>`,
  headers: { 'Auto-Submitted': 'auto-generated' },
});

function toServer(url: string, from: string): Mailer {
  const transport = createTransport({ url, ...PATIENCE, ...NO_FILES });
  return {
    async send(mail) {
      await transport.sendMail({ ...addressed(mail, from), signal: AbortSignal.timeout(SEND_TIMEOUT_MS) });
    },
  };
}

function toDirectory(directory: string, from: string): Mailer {
  const transport = createTransport({ streamTransport: true, buffer: true, newline: 'windows', ...NO_FILES });
  return {
    async send(mail) {
      const { message } = await transport.sendMail(addressed(mail, from));
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const path = join(directory, `${mail.id}.eml`);
      // Under another name first: whoever watches the directory never reads half a mail.
      await writeFile(`${path}.part`, message, { mode: 0o600 });
      await rename(`${path}.part`, path);
    },
  };
}

/** Whether the server refused this mail for good, so that trying again is no use. */
export function isRefusedForGood(error: unknown): boolean {
  if (!(error instanceof Error && 'responseCode' in error && 'code' in error)) return false;
  const isAboutThisMail = error.code === 'EENVELOPE' || error.code === 'EMESSAGE';
  return isAboutThisMail && typeof error.responseCode === 'number' && error.responseCode >= 500;
}

/** Whether a mail that failed was not taken for certain: the server said so, or was never reached. Of anything else nobody knows. */
export function isSurelyUnsent(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const isAnswered = 'responseCode' in error && typeof error.responseCode === 'number';
  return isAnswered || ('command' in error && error.command === 'CONN');
}
