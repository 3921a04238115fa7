import { badRequest, type AppError } from '#src/errors.ts';
import { EgressRefused, type Egress } from '#src/lib/egress.ts';

/**
 * The URL in a field of a request that the platform will call, in the spelling it is called by. No schema can say this: which URLs are
 * exempt is the installation's.
 * @param path of the field, as in the request's JSON
 * @throws AppError 400 `validation_failed` that names the field and says what is wrong
 */
export function outsideUrl(egress: Pick<Egress, 'check'>, path: string, text: string): URL {
  try {
    return egress.check(text);
  } catch (error) {
    if (error instanceof EgressRefused) throw refuseUrl(path, error.reason, error.message);
    throw error;
  }
}

/** A field with a URL that is refused. @param reason becomes the code `url_<reason>` */
export function refuseUrl(path: string, reason: string, message: string): AppError {
  return badRequest('validation_failed', `${path}: ${message}`, [{ path, code: `url_${reason}`, message }]);
}
