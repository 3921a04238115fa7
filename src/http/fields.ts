import { z } from 'zod';
import { isTimeZone } from '#src/lib/time-zone.ts';

/** Control characters, and those that turn the direction of what comes after them, also outside the name. */
const UNFIT = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u;
/** Something to see: no space, no mark alone, nor one of the letters that are drawn as nothing. */
const VISIBLE = /[^\p{C}\p{Z}\p{M}\u115f\u1160\u2800\u3164\uffa0]/u;

/** A text people typed for a name: trimmed, of one line, with something to see in it. */
export const nameText = (maxLength: number) =>
  z
    .string()
    .trim()
    .min(1, { abort: true })
    .max(maxLength)
    .refine((text) => !UNFIT.test(text), 'must not contain control characters')
    .refine((text) => VISIBLE.test(text), 'must have a character that can be seen');

/** An e-mail address as it is stored and compared: trimmed and lower-cased. */
export const EmailAddress = z.string().trim().toLowerCase().pipe(z.email().max(254));

export const TimeZoneName = z.string().max(60).refine(isTimeZone, 'must be a time zone like America/Sao_Paulo');

/** A moment in ISO 8601 in years that every part of the system can write; `local`: without an offset, by the clocks of its reader. */
export const momentText = ({ local = false }: { local?: boolean } = {}) =>
  z.iso
    .datetime({ offset: true, local, abort: true })
    .refine((at) => /^(19[7-9]|20\d|21\d)\d/.test(at), { error: 'must be of the years 1970 to 2199', abort: true });

/** A moment that is not past, as `momentText`. */
export const momentAhead = () => momentText().refine((at) => Date.parse(at) > Date.now(), 'must be in the future');

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
