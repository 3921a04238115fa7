import { element } from './page.ts';
import { BACKEND_KEY, clientOf, describe, originPattern, readBackend } from './session.ts';

const form = element('form', HTMLFormElement);
const backend = element('backend', HTMLInputElement);
const email = element('email', HTMLInputElement);
const password = element('password', HTMLInputElement);
const submit = element('submit', HTMLButtonElement);
const signOut = element('sign-out', HTMLButtonElement);
const note = element('note', HTMLElement);
const who = element('who', HTMLElement);

function say(text: string, kind: 'busy' | 'done' | 'error'): void {
  note.textContent = text;
  note.dataset['kind'] = kind;
}

async function showSession(): Promise<void> {
  const client = clientOf(await readBackend());
  const isSignedIn = await client.isSignedIn();
  signOut.hidden = !isSignedIn;
  form.hidden = isSignedIn;
  who.hidden = !isSignedIn;
  if (!isSignedIn) return;
  who.textContent = `Conectado a ${client.baseUrl}.`;
  try {
    const me = await client.me({ tries: 2 });
    who.textContent = `${me.name} (${me.email}), workspace ${me.workspace.name}, em ${client.baseUrl}.`;
  } catch (error) {
    say(describe(error), 'error');
    if (!(await client.isSignedIn())) await showSession();
  }
}

async function enter(): Promise<void> {
  const baseUrl = backend.value.trim().replace(/\/+$/, '');
  // Asked first: the browser shows the question only right after the click.
  if (!(await chrome.permissions.request({ origins: [originPattern(baseUrl)] }))) {
    return say('Sem essa permissão a extensão não alcança o servidor.', 'error');
  }
  say('Entrando…', 'busy');
  await clientOf(baseUrl).login({ email: email.value.trim(), password: password.value });
  await chrome.storage.local.set({ [BACKEND_KEY]: baseUrl });
  password.value = '';
  say('Pronto. Abra o painel pelo ícone da extensão.', 'done');
  await showSession();
}

async function attempt(action: () => Promise<void>): Promise<void> {
  submit.disabled = true;
  try {
    await action();
  } catch (error) {
    say(describe(error), 'error');
  } finally {
    submit.disabled = false;
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void attempt(enter);
});

signOut.addEventListener('click', () => {
  void attempt(async () => {
    try {
      await clientOf(await readBackend()).logout({ tries: 2 });
    } finally {
      await showSession();
    }
    say('Você saiu.', 'done');
  });
});

element('origin', HTMLElement).textContent = `chrome-extension://${chrome.runtime.id}`;
backend.value = await readBackend();
await showSession();
