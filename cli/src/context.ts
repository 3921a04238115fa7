import type { Command } from 'commander';
import type { BackendClient, Method, RequestOptions } from '../../client/src/index.ts';
import type { Account } from './account.ts';
import type { Answer } from './answers.ts';
import type { Output, Stream } from './output.ts';

/** Options every command takes. */
export interface GlobalOptions {
  json?: boolean;
  url?: string;
}

/** What a command line is run in: a process, or a test. */
export interface Host {
  env: Record<string, string | undefined>;
  stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  stdout: NodeJS.WritableStream & Stream;
  stderr: NodeJS.WritableStream & Stream;
  /** Aborts when the command is to end. */
  signal: AbortSignal;
}

/** What a command has to work with. */
export interface Context extends Omit<Host, 'stderr'> {
  out: Output;
  options: GlobalOptions;
  /** The backend, by the account of the environment or the stored one. @throws CliError where there is none */
  connect: () => Promise<BackendClient>;
  /** The backend, by this account from here on. */
  connectAs: (account: Account) => BackendClient;
  /** Asks the backend. @throws as `BackendClient.request` does, CliError for an answer that the backend does not give */
  request: <Expected>(
    answer: Answer<Expected>,
    method: Method,
    path: string,
    more?: RequestOptions & { body?: unknown },
  ) => Promise<Expected>;
  /** Said when the command is interrupted: what goes on without it, and how to come back. */
  farewell: string | undefined;
}

/** Does a command. @returns its exit code */
export type Handler<Options> = (context: Context, options: Options & GlobalOptions, args: string[]) => Promise<number>;

/** Makes of a handler what commander calls. */
export type Act = <Options>(handler: Handler<Options>) => (this: Command) => Promise<void>;
