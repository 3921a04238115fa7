import { z } from 'zod';

/** A text people typed for a name: trimmed, never empty. */
export const nameText = (maxLength: number) => z.string().trim().min(1).max(maxLength);

/** An e-mail address as it is stored and compared: trimmed and lower-cased. */
export const EmailAddress = z.string().trim().toLowerCase().pipe(z.email().max(254));

/** A language tag (BCP 47). */
export const LanguageTag = z
  .string()
  .max(35)
  .regex(/^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$/, 'must be a language tag like pt-BR');

/**
 * An id a client wrote. Upper case is a legal spelling (RFC 9562, section 4) that Postgres takes for the same id; the names of channels and
 * keys are made of the text, so it is made the one spelling here.
 */
export const IdText = z.uuid().toLowerCase();

/** The `:id` of a route. */
export const IdParams = z.strictObject({ id: IdText });

/** The answer of every DELETE. */
export const DeletedView = z.object({ id: z.uuid(), deleted: z.literal(true) }).meta({ id: 'Deleted' });
