import { notifications } from '#queues/notifications.ts';
import { NO_WORKSPACE } from '#queues/job-ref.ts';
import { createMailer } from '#src/lib/mail.ts';
import { sendMail } from '#src/modules/mail/sender.ts';
import type { Run } from '#workers/pool.ts';
import type { WorkerRuntime } from '#workers/runtime.ts';

export const contract = notifications;

/** Sends the mail a reference names, if it is due; else asks to be called again when it is. */
export async function createRun({ config, pool, log }: WorkerRuntime): Promise<Run> {
  const { SMTP_URL: smtpUrl, MAIL_DIR: directory, MAIL_FROM: from, APP_SECRET: appSecret } = config;
  const sender = { pool, mailer: createMailer({ smtpUrl, directory, from }), appSecret, log };
  return ({ workspaceId, jobId }) => (workspaceId === NO_WORKSPACE ? sendMail(sender, jobId) : Promise.resolve(null));
}
