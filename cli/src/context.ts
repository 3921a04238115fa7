import type { Command } from 'commander';
import type { BackendClient } from '../../client/src/index.ts';
import type { Output } from './output.ts';

/** Options every command takes. */
export interface GlobalOptions {
  json?: boolean;
  url?: string;
}

/** What a command has to work with. */
export interface Context {
  out: Output;
  /** Aborts when the command is to end. */
  signal: AbortSignal;
  env: Record<string, string | undefined>;
  options: GlobalOptions;
  /** The backend, by the account of the environment or the stored one. @throws CliError where there is none */
  connect: () => Promise<BackendClient>;
  /** Said when the command is interrupted: what goes on without it, and how to come back. */
  farewell: string | undefined;
}

/** Does a command. @returns its exit code */
export type Handler<Options> = (context: Context, options: Options & GlobalOptions, args: string[]) => Promise<number>;

/** Makes of a handler what commander calls. */
export type Act = <Options>(handler: Handler<Options>) => (this: Command) => Promise<void>;
