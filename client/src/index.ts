export * from './types.ts';
export * from './crm-types.ts';
export { ApiError, JobError, NetworkError, SocketError, type SocketFailure } from './errors.ts';
export { type BusEvent, type BusListener, EventBus, type EventBusOptions, matchesPattern } from './event-bus.ts';
export {
  type ChromeStorageArea,
  chromeStorage,
  memoryStorage,
  type Storage,
  type WebStorageArea,
  webStorage,
} from './storage.ts';
export {
  BackendClient,
  type BackendClientOptions,
  type Credentials,
  type Registration,
  type Watched,
} from './client.ts';
export type { FetchFunction, Method, RequestOptions } from './http.ts';
export type { Tokens } from './tokens.ts';
export type { WebSocketConstructor, WebSocketLike } from './live-connection.ts';
export type { CommandOptions } from './live-commands.ts';
export type { LiveSocket, SocketState, SubmitOptions, Submitted } from './live-socket.ts';
export type { Subscription, TopicListener } from './live-topics.ts';
export type { WorkspaceEventListener } from './workspace-events.ts';
export type { JobUpdate } from './job-text.ts';
export type { JobRun, RunOptions } from './job-run.ts';
export type { FollowOptions, JobQuery, JobRunOptions, Jobs, Transport } from './jobs.ts';
export type { WatchOptions } from './watch.ts';
export { compareEventIds } from './event-id.ts';
