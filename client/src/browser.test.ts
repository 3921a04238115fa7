import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Loopback } from '../test/loopback.ts';
import { deferred } from './timing.ts';

/** The backend the browser talks to: the loopback one, or a real one named by the environment. */
const REAL = {
  baseUrl: process.env['BROWSER_TEST_URL'],
  email: process.env['BROWSER_TEST_EMAIL'] ?? 'ana@example.com',
  password: process.env['BROWSER_TEST_PASSWORD'] ?? 'right password',
};
const root = join(import.meta.dirname, '..', '..');
const MESSAGE = 'Quanto custa a cafeteira?';
const TEXT = ['Olá, Ana! ', 'A cafeteira custa R$ 199,00 ', 'e chega em 3 dias úteis. ☕'];
const ANY_TEXT: unknown = expect.stringMatching(/\S/);
const EXPECTED = REAL.baseUrl ? ANY_TEXT : TEXT.join('');

function chromiumPath(): string {
  const named = process.env['CHROMIUM_PATH'];
  const places = named
    ? [named]
    : ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/snap/bin/chromium'];
  const found = places.find((place) => existsSync(place));
  if (!found) throw new Error(`No Chromium at ${places.join(', ')}: install it or set CHROMIUM_PATH.`);
  return found;
}

let backend: Loopback;
let context: BrowserContext;
let profile: string;
let baseUrl: string;

beforeAll(async () => {
  const executablePath = chromiumPath();
  execFileSync(process.execPath, [join(root, 'extension', 'build.js')], { stdio: 'inherit' });
  profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  const extension = join(root, 'extension', 'dist');
  context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: false,
    args: [
      '--headless=new',
      '--no-sandbox',
      `--disable-extensions-except=${extension}`,
      `--load-extension=${extension}`,
    ],
    ignoreDefaultArgs: ['--disable-extensions'],
    viewport: { width: 380, height: 720 },
    locale: 'pt-BR',
    bypassCSP: true,
  });
});

afterAll(async () => {
  await context?.close();
  if (profile) rmSync(profile, { recursive: true, force: true });
});

beforeEach(async () => {
  backend = await Loopback.open();
  baseUrl = REAL.baseUrl ?? backend.baseUrl;
});

afterEach(async () => {
  for (const page of context.pages().slice(1)) await page.close();
  await backend.close();
});

/**
 * A page of the backend's own origin that can load the built client. The document really comes from there: one made up here would
 * have no address, and Chromium keeps pages of unknown address from opening sockets to this machine.
 */
async function openPage(): Promise<Page> {
  const page = await context.newPage();
  await page.route(`${baseUrl}/page/*.js`, async (route) => {
    const name = new URL(route.request().url()).pathname.slice('/page/'.length);
    const body = await readFile(join(root, 'client', 'dist', name), 'utf8');
    await route.fulfill({ contentType: 'text/javascript', body });
  });
  await page.goto(`${baseUrl}/api/health`);
  return page;
}

async function extensionId(): Promise<string> {
  const worker = context.serviceWorkers()[0] ?? (await context.waitForEvent('serviceworker'));
  return new URL(worker.url()).host;
}

/** Signs the extension in by its options page and opens its side panel as a page. */
async function openPanel(): Promise<Page> {
  const id = await extensionId();
  const options = await context.newPage();
  await options.goto(`chrome-extension://${id}/options.html`);
  const signOut = options.getByRole('button', { name: 'Sair' });
  await options.locator('#form:visible, #sign-out:visible').first().waitFor();
  if (await signOut.isVisible()) await signOut.click();
  await options.getByLabel('Endereço do servidor').fill(baseUrl);
  await options.getByLabel('E-mail').fill(REAL.email);
  await options.getByLabel('Senha').fill(REAL.password);
  await options.getByRole('button', { name: 'Entrar' }).click();
  await signOut.waitFor();
  const panel = await context.newPage();
  await panel.goto(`chrome-extension://${id}/side-panel.html`);
  await panel.getByText('Conectado', { exact: true }).waitFor();
  return panel;
}

async function ask(panel: Page): Promise<void> {
  await panel.getByLabel('Mensagem do cliente').fill(MESSAGE);
  await panel.getByRole('button', { name: 'Sugerir resposta' }).click();
}

describe('in a browser', () => {
  it.each(['socket', 'sse'])('the built client streams text in a page over %s', async (transport) => {
    backend.script = (job) =>
      job
        .start()
        .chunk(TEXT[0] ?? '')
        .chunk(TEXT[1] ?? '')
        .chunk(TEXT[2] ?? '')
        .complete();
    const page = await openPage();
    const order = { baseUrl, email: REAL.email, password: REAL.password, message: MESSAGE, transport };
    // As text: the test runner would rewrite the import of a function.
    const seen: unknown = await page.evaluate(`(async ({ baseUrl, email, password, message, transport }) => {
      const { BackendClient, webStorage } = await import('/page/index.js');
      const client = new BackendClient({ baseUrl, storage: webStorage(localStorage) });
      await client.login({ email, password });
      const input = { conversationHistory: [{ role: 'user', content: message }] };
      const run = client.jobs.run('copilot', input, { transport });
      let text = '';
      for await (const update of run) text = update.restarted ? update.text : text + update.delta;
      const job = await run.result;
      client.close();
      return { text, isResult: text === job.result.suggestion.text };
    })(${JSON.stringify(order)})`);
    expect(seen).toEqual({ text: EXPECTED, isResult: true });
  });

  it('the extension streams a suggestion from its service worker into the panel', async () => {
    const shown = deferred<void>();
    backend.script = async (job) => {
      job.start().chunk(TEXT[0] ?? '');
      await shown.promise;
      // The network drops in the middle: the worker's socket must come back and go on where it was.
      for (const peer of backend.peers) peer.socket.terminate();
      job
        .chunk(TEXT[1] ?? '')
        .chunk(TEXT[2] ?? '')
        .complete();
    };
    const panel = await openPanel();
    await ask(panel);
    await panel
      .getByText(REAL.baseUrl ? /\S/ : 'Olá, Ana!')
      .last()
      .waitFor();
    shown.resolve();
    await panel.getByText('Sugestão pronta.').waitFor();
    expect(await panel.locator('#text').textContent()).toEqual(EXPECTED);
    const origins = [...backend.peers].map((peer) => peer.origin);
    expect(origins).toEqual(REAL.baseUrl ? [] : [`chrome-extension://${await extensionId()}`]);
    expect(await panel.locator('#usage').textContent()).toMatch(/Provedor.+Tokens.+Custo/);
  });

  it('the panel discards what was shown when the job starts again', async () => {
    const shown = deferred<void>();
    backend.script = async (job) => {
      job.start().chunk('A cafeteira custa R$ 999');
      await shown.promise;
      job.restart('provider_failed').chunk('A cafeteira custa R$ 199').complete();
    };
    baseUrl = backend.baseUrl;
    const panel = await openPanel();
    await ask(panel);
    await panel.getByText('R$ 999').waitFor();
    shown.resolve();
    await panel.getByText('Sugestão pronta.').waitFor();
    expect(await panel.locator('#text').textContent()).toBe('A cafeteira custa R$ 199');
  });

  it('the panel cancels, and copies what it has', async () => {
    backend.script = (job) => job.start().chunk('Bom dia');
    baseUrl = backend.baseUrl;
    const panel = await openPanel();
    await ask(panel);
    await panel.getByText('Bom dia').waitFor();
    await panel.getByRole('button', { name: 'Cancelar' }).click();
    await panel.getByText('Pedido cancelado.').waitFor();
    expect([...backend.jobs.values()].map((job) => job.status)).toEqual(['cancelled']);
    await panel.getByRole('button', { name: 'Copiar' }).click();
    await panel.getByText('Copiado.').waitFor();
  });
});
