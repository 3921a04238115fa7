import type { BackendClient, JobRun } from '@whatshybrid/client';
import { isPanelMessage, PANEL_PORT, type PanelMessage, type WorkerMessage } from './protocol.ts';
import { BACKEND_KEY, clientOf, describe, readBackend } from './session.ts';

// Listeners are set in the first turn: the browser starts the worker for an event and does not wait for those that come later.
chrome.runtime.onConnect.addListener((port) => {
  if (port.name === PANEL_PORT) servePanel(port);
});
chrome.storage.onChanged.addListener((changes, area) => {
  if (area !== 'local') return;
  if (BACKEND_KEY in changes) dropClient();
  tellAll();
});
void chrome.sidePanel.setPanelBehavior({ openPanelOnActionClick: true });

type Panel = (message: WorkerMessage) => void;

const panels = new Set<Panel>();
let current: Promise<BackendClient> | undefined;

function tellAll(): void {
  for (const panel of panels) void tellState(panel);
}

function openClient(): Promise<BackendClient> {
  current ??= readBackend().then((baseUrl) => {
    const client = clientOf(baseUrl);
    client.bus.on('socket.state', tellAll);
    client.bus.on('auth.*', tellAll);
    return client;
  });
  return current;
}

function dropClient(): void {
  void current?.then((client) => client.close());
  current = undefined;
}

async function tellState(panel: Panel): Promise<void> {
  const client = await openClient();
  const { state } = client.live;
  panel({
    type: 'state',
    signedIn: await client.isSignedIn(),
    connection: state === 'ready' ? 'ready' : state === 'connecting' || state === 'waiting' ? 'connecting' : 'off',
    backend: client.baseUrl,
  });
}

/** Serves one open side panel. The live socket stays in this worker; its heartbeat every 20 s keeps the worker from being stopped. */
function servePanel(port: chrome.runtime.Port): void {
  const runs = new Map<string, JobRun>();
  let isOpen = true;
  const panel: Panel = (message) => {
    if (isOpen) port.postMessage(message);
  };
  panels.add(panel);
  port.onDisconnect.addListener(() => {
    isOpen = false;
    panels.delete(panel);
    // Nobody reads any more: what still runs is stopped, so it costs nothing further.
    for (const run of runs.values()) run.cancel().catch(() => {});
    if (panels.size === 0) dropClient();
  });
  port.onMessage.addListener((message) => {
    if (!isPanelMessage(message)) return;
    if (message.type === 'hello') void greet(panel);
    else if (message.type === 'cancel')
      runs
        .get(message.runId)
        ?.cancel()
        .catch(() => {});
    else void tellRun(message, panel, runs);
  });
}

async function greet(panel: Panel): Promise<void> {
  const client = await openClient();
  // Connected before it is needed: the first suggestion then waits for no handshake.
  if (await client.isSignedIn()) client.live.connect();
  await tellState(panel);
}

async function tellRun(
  message: Extract<PanelMessage, { type: 'run' | 'attach' }>,
  panel: Panel,
  runs: Map<string, JobRun>,
): Promise<void> {
  const { runId } = message;
  try {
    const { jobs } = await openClient();
    const run =
      message.type === 'attach'
        ? jobs.follow(message.jobId)
        : jobs.run('copilot', {
            conversationHistory: [{ role: 'user', content: message.message }],
            ...(message.context === '' ? {} : { context: message.context }),
            tone: message.tone,
            language: 'pt-BR',
          });
    runs.set(runId, run);
    run.jobId.then(
      (jobId) => panel({ type: 'accepted', runId, jobId }),
      () => {},
    );
    for await (const update of run) panel({ type: 'text', runId, ...update });
    panel({ type: 'done', runId, usage: (await run.result).usage });
  } catch (error) {
    panel({ type: 'failed', runId, detail: describe(error) });
  } finally {
    runs.delete(runId);
  }
}
