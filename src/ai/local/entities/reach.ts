import type { FoundEntity, Reading } from '#src/ai/local/entities/found.ts';

const ENDINGS = 'com|net|org|io|app|br|me|store|shop|online|site|dev|ai|co|info|gov|edu|link|page|tv|pt|es';
const DOMAIN = new RegExp(
  String.raw`(?<![\p{L}\p{N}@._-])(?:[a-z0-9][a-z0-9-]{0,40}\.){1,4}(?:${ENDINGS})(?![\p{L}\p{N}@-]|\.[\p{L}\p{N}])(?:\/[^\s<>"]{0,500})?`,
  'gu',
);
const AFTER = /[).,;:!?\]]+$/u;

/** Addresses on the web without a scheme: "instagram.com/atelie.rosa". */
export function domainsIn({ typed, flat }: Reading): FoundEntity[] {
  return [...flat.matchAll(DOMAIN)].map(({ index, 0: text }) => {
    const end = index + text.replace(AFTER, '').length;
    return { start: index, end, normalized: `https://${typed.slice(index, end)}`, confidence: 0.75 };
  });
}

const SERVICE = /(?<![\p{L}\p{N}.,/-])0[358]00[\s-]?\d{3}[\s-]?\d{3,4}(?![\p{L}\p{N}]|[.,/-]\d)/gu;

/** Numbers of a service, which have no area code: 0800, 0300, 0500. */
export function serviceNumbersIn({ flat }: Reading): FoundEntity[] {
  return [...flat.matchAll(SERVICE)].map(({ index, 0: text }) => ({
    start: index,
    end: index + text.length,
    normalized: `+55${text.replaceAll(/\D/gu, '').slice(1)}`,
    confidence: 0.9,
  }));
}
