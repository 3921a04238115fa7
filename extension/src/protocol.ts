import type { JobUpdate, JobUsage } from '@whatshybrid/client';

/** The port between the side panel and the service worker. */
export const PANEL_PORT = 'panel';

/** Panel → worker. `runId` is the panel's own name for one request. */
export type PanelMessage =
  | { type: 'hello' }
  | { type: 'run'; runId: string; message: string; context: string; tone: Tone }
  /** After the worker was stopped by the browser: go on telling a job that the backend has accepted. */
  | { type: 'attach'; runId: string; jobId: string }
  | { type: 'cancel'; runId: string };

export type Tone = 'formal' | 'neutral' | 'friendly';
export type Connection = 'off' | 'connecting' | 'ready';

/** Worker → panel. */
export type WorkerMessage =
  | { type: 'state'; signedIn: boolean; connection: Connection; backend: string }
  | { type: 'accepted'; runId: string; jobId: string }
  | ({ type: 'text'; runId: string } & JobUpdate)
  | { type: 'done'; runId: string; usage: JobUsage | null }
  | { type: 'failed'; runId: string; detail: string };

// Both ends of the port are this extension, of one version: the tag is enough to tell a message.
export function isPanelMessage(value: unknown): value is PanelMessage {
  return isTagged(value);
}

export function isWorkerMessage(value: unknown): value is WorkerMessage {
  return isTagged(value);
}

function isTagged(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}
