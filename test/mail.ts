import { SMTPServer } from 'smtp-server';
import type { SMTPServerOptions } from 'smtp-server';
import type { Runtime } from '#src/runtime.ts';
import { createMailer, type Mailer } from '#src/lib/mail.ts';
import { findDueMails } from '#src/modules/mail/sender.query.ts';
import { sendMail } from '#src/modules/mail/sender.ts';

/** A mail as a server got it, its text readable. */
export interface ReceivedMail {
  /** Its Message-ID. */
  id: string;
  from: string;
  to: string[];
  /** Head and parts, decoded. */
  text: string;
}

export interface SmtpServer {
  url: string;
  mails: ReceivedMail[];
  /** Mails to one address, in the order in which they were queued. */
  to(email: string): ReceivedMail[];
  close(): Promise<void>;
}

/** A mail server on the loopback that keeps what it gets. */
export async function anSmtpServer(options: SMTPServerOptions = {}): Promise<SmtpServer> {
  const mails: ReceivedMail[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    logger: false,
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope;
        const from = mailFrom === false ? '' : mailFrom.address;
        const to = rcptTo.map(({ address }) => address);
        const raw = Buffer.concat(chunks).toString('utf8');
        mails.push({ id: idOf(raw), from, to, text: readable(raw) });
        done();
      });
    },
    ...options,
  });
  // Who is killed within a mail resets its connection.
  server.on('error', (error) => {
    if (!('code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE'))) throw error;
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const address = server.server.address();
  if (address === null || typeof address === 'string') throw new Error('The mail server does not listen');
  return {
    url: `smtp://127.0.0.1:${address.port}`,
    mails,
    to: (email) => mails.filter((mail) => mail.to.includes(email)).toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Mails are sent side by side, so they arrive in any order; their ids are in the order in which they were queued. */
function idOf(raw: string): string {
  const [, id] = /^Message-ID: <(.*)>\r?$/m.exec(raw) ?? [];
  if (id === undefined) throw new Error('The mail has no Message-ID');
  return id;
}

/** Undoes quoted-printable (RFC 2045). */
export function readable(raw: string): string {
  const joined = raw.replaceAll(/=\r?\n/g, '').replaceAll(/(?:=[0-9A-F]{2})+/g, (codes) => {
    return Buffer.from(codes.replaceAll('=', ''), 'hex').toString('utf8');
  });
  return joined.replaceAll('\r\n', '\n');
}

export const mailerOf = ({ SMTP_URL, MAIL_DIR, MAIL_FROM }: Runtime['config']): Mailer =>
  createMailer({ smtpUrl: SMTP_URL, directory: MAIL_DIR, from: MAIL_FROM });

/** Sends all that is due, as workers do. */
export async function deliver(rt: Runtime, mailer = mailerOf(rt.config)): Promise<void> {
  const sender = { pool: rt.systemPool, mailer, appSecret: rt.config.APP_SECRET, log: rt.log };
  for (;;) {
    const due = await findDueMails(rt.systemPool, 100);
    if (due.length === 0) return;
    await Promise.all(due.map(({ id }) => sendMail(sender, id)));
  }
}

/** The token of the link in a mail. */
export function tokenIn(mail: ReceivedMail | undefined): string {
  const [, token] = /#token=([\w-]{43})/.exec(mail?.text ?? '') ?? [];
  if (token === undefined) throw new Error('The mail carries no token');
  return token;
}
