import type { FastifyRequest } from 'fastify';
import { AppError } from '#src/errors.ts';
import { isRecord } from '#src/lib/record.ts';
import type { Runtime } from '#src/runtime.ts';

/**
 * A hook before the handler that makes accounts.
 * @returns a hook that throws AppError 403 `registration_closed` when operators let nobody, or not this address, make an account
 */
export function whileRegistrationIsOpen(rt: Pick<Runtime, 'settings'>) {
  return async (request: FastifyRequest): Promise<void> => {
    const settings = await rt.settings.readGlobal();
    const domains = settings['registration.emailDomains'];
    const email = isRecord(request.body) ? String(request.body['email']) : '';
    const isWelcome = domains.length === 0 || domains.includes(email.slice(email.lastIndexOf('@') + 1));
    if (settings['registration.open'] && isWelcome) return;
    const detail = settings['registration.open']
      ? 'Addresses of this domain cannot make an account here.'
      : 'No new accounts can be made here.';
    throw new AppError(403, 'registration_closed', detail);
  };
}
