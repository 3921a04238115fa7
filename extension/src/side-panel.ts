import { element } from './page.ts';
import { isWorkerMessage, PANEL_PORT, type PanelMessage, type Tone, type WorkerMessage } from './protocol.ts';

const form = element('form', HTMLFormElement);
const message = element('message', HTMLTextAreaElement);
const context = element('context', HTMLTextAreaElement);
const tone = element('tone', HTMLSelectElement);
const suggest = element('suggest', HTMLButtonElement);
const cancel = element('cancel', HTMLButtonElement);
const copy = element('copy', HTMLButtonElement);
const answer = element('answer', HTMLElement);
const text = element('text', HTMLElement);
const note = element('note', HTMLElement);
const usage = element('usage', HTMLElement);
const degraded = element('degraded', HTMLElement);
const connection = element('connection', HTMLElement);
const signIn = element('sign-in', HTMLElement);

interface Run {
  runId: string;
  jobId: string | undefined;
}

/** So that a worker that cannot start is not started without end. */
const REOPEN_MS = 500;

let port: chrome.runtime.Port | undefined;
let run: Run | undefined;

function send(panelMessage: PanelMessage): void {
  port ??= openPort();
  port.postMessage(panelMessage);
}

/** A port to the worker. When the browser has stopped the worker, a new port starts it again and the job goes on being told. */
function openPort(): chrome.runtime.Port {
  const opened = chrome.runtime.connect({ name: PANEL_PORT });
  opened.onMessage.addListener((workerMessage) => {
    if (isWorkerMessage(workerMessage)) show(workerMessage);
  });
  opened.onDisconnect.addListener(() => {
    port = undefined;
    showConnection('connecting');
    setTimeout(reopen, REOPEN_MS);
  });
  return opened;
}

function reopen(): void {
  send({ type: 'hello' });
  // Without a job id the request may not have left the worker: better to say so than to ask, and pay, twice.
  if (run?.jobId) send({ type: 'attach', runId: run.runId, jobId: run.jobId });
  else if (run) finish('O pedido foi interrompido. Tente de novo.', true);
}

function show(told: WorkerMessage): void {
  if (told.type === 'state') {
    signIn.hidden = told.signedIn;
    form.hidden = !told.signedIn;
    showConnection(told.connection, told.backend);
    return;
  }
  if (told.runId !== run?.runId) return;
  if (told.type === 'accepted') run.jobId = told.jobId;
  else if (told.type === 'text') showText(told.text, told.restarted);
  else if (told.type === 'failed') finish(told.detail, true);
  else {
    showUsage(told.usage);
    finish('Sugestão pronta.', false);
  }
}

const CONNECTIONS = { off: 'Desconectado', connecting: 'Conectando…', ready: 'Conectado' };

function showConnection(state: keyof typeof CONNECTIONS, backend?: string): void {
  connection.dataset['state'] = state;
  connection.textContent = CONNECTIONS[state];
  if (backend) connection.title = backend;
}

function showText(whole: string, restarted: boolean): void {
  text.textContent = whole;
  note.textContent = restarted ? 'O provedor falhou no meio; recomeçando a resposta…' : 'Escrevendo…';
}

function showUsage(spent: Extract<WorkerMessage, { type: 'done' }>['usage']): void {
  if (!spent) return;
  degraded.hidden = !spent.degraded;
  const parts: [string, string][] = [
    ['Provedor', `${spent.provider} · ${spent.model}`],
    ['Tokens', `${spent.inputTokens} + ${spent.outputTokens}`],
    ['Custo', spent.costUsd.toLocaleString('pt-BR', { style: 'currency', currency: 'USD', maximumFractionDigits: 6 })],
    ['1ª palavra', spent.timeToFirstTokenMs === null ? '—' : `${spent.timeToFirstTokenMs} ms`],
  ];
  usage.replaceChildren(
    ...parts.map(([name, value]) => {
      const row = document.createElement('div');
      const term = document.createElement('dt');
      const detail = document.createElement('dd');
      term.textContent = name;
      detail.textContent = value;
      row.append(term, detail);
      return row;
    }),
  );
  usage.hidden = false;
}

function finish(said: string, isError: boolean): void {
  run = undefined;
  note.textContent = said;
  note.dataset['kind'] = isError ? 'error' : 'done';
  answer.ariaBusy = 'false';
  suggest.disabled = false;
  cancel.hidden = true;
  copy.hidden = text.textContent === '';
}

function toTone(value: string): Tone {
  return value === 'formal' || value === 'neutral' ? value : 'friendly';
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (run || message.value.trim() === '') return;
  const runId = crypto.randomUUID();
  run = { runId, jobId: undefined };
  text.textContent = '';
  note.textContent = 'Enviando…';
  note.dataset['kind'] = 'busy';
  answer.hidden = false;
  answer.ariaBusy = 'true';
  usage.hidden = true;
  degraded.hidden = true;
  copy.hidden = true;
  suggest.disabled = true;
  cancel.hidden = false;
  send({
    type: 'run',
    runId,
    message: message.value.trim(),
    context: context.value.trim(),
    tone: toTone(tone.value),
  });
});

message.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

cancel.addEventListener('click', () => {
  if (!run) return;
  note.textContent = 'Cancelando…';
  send({ type: 'cancel', runId: run.runId });
});

copy.addEventListener('click', () => {
  void copyText();
});

async function copyText(): Promise<void> {
  try {
    await navigator.clipboard.writeText(text.textContent ?? '');
    note.textContent = 'Copiado.';
  } catch {
    note.textContent = 'Não foi possível copiar; selecione o texto.';
    note.dataset['kind'] = 'error';
  }
}

for (const id of ['open-options', 'sign-in-button']) {
  element(id, HTMLButtonElement).addEventListener('click', () => void chrome.runtime.openOptionsPage());
}

send({ type: 'hello' });
