import { existsSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { aUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { anSmtpServer, deliver, tokenIn, type SmtpServer } from '#test/mail.ts';

function chromiumPath(): string {
  const named = process.env['CHROMIUM_PATH'];
  const places = named
    ? [named]
    : ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/snap/bin/chromium'];
  const found = places.find((place) => existsSync(place));
  if (!found) throw new Error(`No Chromium at ${places.join(', ')}: install it or set CHROMIUM_PATH.`);
  return found;
}

const PATIENCE = { timeout: 60_000 };
let smtp: SmtpServer;
let test: TestApp;
let url: string;
let browser: Browser;
/** Every request line the server got, whoever sent it. */
const requestLines: string[] = [];
beforeAll(async () => {
  smtp = await anSmtpServer();
  test = await openTestApp({ SMTP_URL: smtp.url });
  test.app.server.on('request', ({ method, url: path }) => requestLines.push(`${method} ${path}`));
  url = await test.app.listen({ host: '127.0.0.1', port: 0 });
  browser = await chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox'] });
});
afterAll(async () => {
  await browser?.close();
  await test.close();
  await smtp.close();
});

/** The path and fragment of the link in the newest mail to an address, as the reader of mails opens it; the test server has another port. */
async function linkTo(email: string): Promise<{ link: string; token: string }> {
  await deliver(test.rt);
  const mail = smtp.to(email).at(-1);
  const token = tokenIn(mail);
  const [, path] = /https?:\/\/[^\s/]+(\/[a-z-]+#token=[\w-]+)/.exec(mail?.text ?? '') ?? [];
  return { link: `${url}${path}`, token };
}

/** Opens a link in a browser of its own; whatever its console or its policy complains about is collected. */
async function open(link: string, locale: string): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser.newContext({ locale });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('requestfailed', (request) => complaints.push(`${request.url()} failed`));
  await page.goto(link);
  return { page, complaints };
}

const login = (email: string, password: string) =>
  test.app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password } });

it('lets somebody who forgot a password choose a new one', async () => {
  const { email } = (await aUser(test.rt)).user;
  await test.app.inject({ method: 'POST', url: '/api/auth/forgot-password', payload: { email } });
  const { link, token } = await linkTo(email);
  const { page, complaints } = await open(link, 'pt-BR');
  expect(page.url()).toBe(`${url}/reset-password`);
  expect(await page.getByRole('heading').textContent()).toBe('Escolha uma nova senha');
  await page.getByLabel('Nova senha').fill('cafe com leite e pao na chapa');
  await page.getByRole('button', { name: 'Salvar' }).click();
  await expect.poll(() => page.locator('output').textContent(), PATIENCE).toBe('Pronto.');
  expect(await page.locator('form').isHidden()).toBe(true);
  expect((await login(email, 'cafe com leite e pao na chapa')).statusCode).toBe(200);
  expect(complaints).toEqual([]);

  // The link works once; whoever opens it again is told.
  const second = await open(link, 'en-GB');
  await second.page.getByLabel('New password').fill('another quite long password');
  await second.page.getByRole('button', { name: 'Save' }).click();
  await expect.poll(() => second.page.locator('output').textContent(), PATIENCE).toMatch(/\w+/);
  expect(await second.page.locator('output').textContent()).not.toBe('Done.');
  expect((await login(email, 'another quite long password')).statusCode).toBe(401);
  expect(requestLines.filter((line) => line.includes(token))).toEqual([]);
});

it('confirms an address when the button is pressed, and not before', async () => {
  const user = await test.app.inject({
    method: 'POST',
    url: '/api/auth/register',
    payload: { email: 'nova@example.com', password: 'a password of my own 71', name: 'Nova' },
  });
  const headers = { authorization: `Bearer ${user.json().token}` };
  const isVerified = async () => {
    const { rows } = await test.rt.systemPool.query(
      `select email_verified_at is not null as yes from app_user where email = 'nova@example.com'`,
    );
    return rows[0]?.yes;
  };
  expect((await test.app.inject({ url: '/api/auth/me', headers })).statusCode).toBe(200);
  const { link, token } = await linkTo('nova@example.com');
  const { page, complaints } = await open(link, 'en-US');
  expect(page.url()).toBe(`${url}/verify-email`);
  expect(await isVerified()).toBe(false);
  await page.getByRole('button', { name: 'Confirm' }).click();
  await expect.poll(() => page.locator('output').textContent(), PATIENCE).toBe('Done.');
  expect(await isVerified()).toBe(true);
  expect(complaints).toEqual([]);
  expect(requestLines.filter((line) => line.includes(token))).toEqual([]);
  expect(requestLines).toContain('GET /verify-email');
});
