import { BackendClient, chromeStorage, JobError } from '@whatshybrid/client';

export const DEFAULT_BACKEND = 'http://127.0.0.1:3000';
export const BACKEND_KEY = 'backend';

/** The address of the backend, as set in the options. */
export async function readBackend(): Promise<string> {
  const value = (await chrome.storage.local.get(BACKEND_KEY))[BACKEND_KEY];
  return typeof value === 'string' && value !== '' ? value : DEFAULT_BACKEND;
}

/** A client whose session all pages of the extension and its service worker share. */
export function clientOf(baseUrl: string): BackendClient {
  return new BackendClient({ baseUrl, storage: chromeStorage(chrome.storage.local) });
}

/**
 * What the extension must be allowed for this backend; host permissions do not tell ports apart.
 * @throws for a plain http address of another machine: passwords and customers' messages would cross the network readable.
 */
export function originPattern(baseUrl: string): string {
  const { protocol, hostname } = new URL(baseUrl);
  if (protocol !== 'https:' && hostname !== '127.0.0.1' && hostname !== 'localhost') {
    throw new Error('O endereço deve começar com https:// (http só vale para 127.0.0.1 e localhost).');
  }
  return `${protocol}//${hostname}/*`;
}

/** What to tell a person about an error. */
export function describe(error: unknown): string {
  if (error instanceof JobError) {
    return error.status === 'cancelled' ? 'Pedido cancelado.' : `Não foi possível responder: ${error.problem.detail}`;
  }
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  const name = error instanceof Error ? error.name : '';
  if (name === 'NetworkError') return 'O servidor não respondeu. Confira o endereço e a sua conexão.';
  if (code === 'invalid_credentials') return 'E-mail ou senha incorretos.';
  if (code === 'signed_out' || code === 'unauthenticated') return 'Sua sessão terminou. Entre de novo nas opções.';
  if (code === 'rate_limited') return 'Muitos pedidos em pouco tempo. Aguarde um instante e tente de novo.';
  if (code === 'insufficient_credits') return 'Os créditos do workspace acabaram.';
  if (code === 'budget_exceeded') return 'O limite de créditos do mês foi atingido.';
  return error instanceof Error ? error.message : String(error);
}
