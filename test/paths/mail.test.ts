import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readable, tokenIn } from '#test/mail.ts';
import { createInstallation, type Installation } from '#test/processes.ts';

let all: Installation;
beforeAll(async () => {
  all = await createInstallation();
});
afterAll(() => all.close());

it('a mail that a request queued is sent by a worker, and its link works', async () => {
  const [api, control, worker] = await Promise.all([
    all.startApi(),
    all.startControl(),
    all.startWorker('notifications'),
  ]);
  const post = (path: string, body: object) =>
    fetch(`${api.url}/api/auth/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const body = { email: 'ana@example.com', password: 'a long enough password', name: 'Ana' };
  expect((await post('register', body)).status).toBe(201);
  await worker.line((line) => line['msg'] === 'A mail was sent');
  const [name = ''] = await readdir(all.env['MAIL_DIR'] ?? '');
  const text = readable(await readFile(`${all.env['MAIL_DIR']}/${name}`, 'utf8'));
  expect(text).toContain(`${api.url}/verify-email#token=`);
  expect((await post('verify-email', { token: tokenIn({ id: '', from: '', to: [], text }) })).status).toBe(200);
  const logged = JSON.stringify([...api.lines(), ...control.lines(), ...worker.lines()]);
  expect(logged).not.toContain(tokenIn({ id: '', from: '', to: [], text }));
  expect(logged).not.toContain('ana@example.com');
  await Promise.all([control, worker].map((one) => one.kill('SIGTERM')));
});
