import { isCnpj } from '#src/ai/pii/recognizers/check-digits.ts';
import type { Subject } from '#src/ai/pii/recognizers/context.ts';
import type { Found } from '#src/ai/pii/span.ts';

const CNPJ =
  /(?<![0-9A-Za-z.])(?=[0-9./]{0,17}[A-Za-z])[0-9A-Za-z]{2}\.?[0-9A-Za-z]{3}\.?[0-9A-Za-z]{3}\/?[0-9A-Za-z]{4}[- ]?\d{2}(?![0-9A-Za-z])/g;

/** CNPJs with letters; those of digits alone are numbers. */
export function lettersCnpj({ text, contexts }: Subject): Found[] {
  const all: Found[] = [];
  for (const { 0: value, index } of text.matchAll(CNPJ)) {
    const normalized = value.replaceAll(/[^0-9A-Za-z]/g, '').toUpperCase();
    if (!isCnpj(normalized)) continue;
    const score = (normalized.length === value.length ? 0.7 : 0.9) + 0.2 * contexts.weight('cnpj', index);
    all.push({ type: 'cnpj', start: index, end: index + value.length, normalized, score: Math.min(1, score) });
  }
  return all;
}

/** Countries and how long their IBANs are (SWIFT's IBAN registry). */
const IBAN_LENGTHS = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 ' +
    'GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 ' +
    'MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
);
const IBAN = /(?<![0-9A-Za-z])[A-Za-z]{2}\d{2}(?:[ -]?[0-9A-Za-z]){11,30}/g;

/** ISO 13616: the first four characters to the end, letters as 10 to 35, the rest by 97 is 1. */
function isIban(text: string): boolean {
  let rest = 0;
  for (const character of text.slice(4) + text.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest === 1;
}

/** Bank accounts by IBAN, in one piece or in groups. */
export function ibans({ text }: Subject): Found[] {
  const all: Found[] = [];
  for (const { 0: value, index } of text.matchAll(IBAN)) {
    const length = IBAN_LENGTHS.get(value.slice(0, 2).toUpperCase());
    if (length === undefined) continue;
    let end = 0;
    let normalized = '';
    for (; end < value.length && normalized.length < length; end += 1) {
      if (/[^ -]/.test(value.charAt(end))) normalized += value.charAt(end).toUpperCase();
    }
    if (normalized.length < length || /^[0-9A-Za-z]/.test(text.slice(index + end)) || !isIban(normalized)) continue;
    all.push({ type: 'iban', start: index, end: index + end, normalized, score: 0.98 });
  }
  return all;
}

const UUID = /(?<![0-9A-Za-z])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9A-Za-z])/gi;
const PIX_REACH = 80;

/** Random PIX keys: a UUID is one where the words before speak of PIX or a key. */
export function pixKeys({ text, contexts }: Subject): Found[] {
  const all: Found[] = [];
  for (const { 0: value, index } of text.matchAll(UUID)) {
    const weight = contexts.weight('pix_key', index, PIX_REACH);
    if (weight === 0) continue;
    const end = index + value.length;
    all.push({ type: 'pix_key', start: index, end, normalized: value.toLowerCase(), score: 0.6 + 0.35 * weight });
  }
  return all;
}

const BR_CODE_START = '000201';
const BR_CODE_FIELDS = 24;

/** CRC-16/CCITT-FALSE: polynomial 0x1021 from 0xFFFF, as the EMV merchant QR code has it. */
function crc16(text: string): string {
  let crc = 0xffff;
  for (let at = 0; at < text.length; at += 1) {
    crc ^= (text.charCodeAt(at) & 0xff) << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc.toString(16).toUpperCase().padStart(4, '0');
}

/** The number two digits of a text spell, or -1. */
function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48;
  const ones = text.charCodeAt(at + 1) - 48;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

/** Walks the fields of a BR Code (two digits of id, two of length, the value) to its checksum; @returns where it ends. */
function brCodeEnd(text: string, start: number): number | undefined {
  let at = start;
  for (let field = 0; field < BR_CODE_FIELDS; field += 1) {
    const length = twoDigits(text, at + 2);
    if (length <= 0) return undefined;
    if (twoDigits(text, at) !== 63 || length !== 4) {
      at += 4 + length;
      continue;
    }
    const code = text.slice(start, at + 4);
    return crc16(code) === text.slice(at + 4, at + 8).toUpperCase() ? at + 8 : undefined;
  }
  return undefined;
}

/** PIX copy-and-paste codes: an EMV merchant code with PIX in it and a right checksum (Banco Central, Manual do BR Code). */
export function pixCodes({ text }: Subject): Found[] {
  const all: Found[] = [];
  let covered = 0;
  for (let at = text.indexOf(BR_CODE_START); at !== -1; at = text.indexOf(BR_CODE_START, at + 1)) {
    if (at < covered) continue;
    const end = brCodeEnd(text, at);
    if (end === undefined || !/br\.gov\.bcb\.pix/i.test(text.slice(at, end))) continue;
    covered = end;
    all.push({ type: 'pix_code', start: at, end, normalized: text.slice(at, end), score: 1 });
  }
  return all;
}

const PLATE = /(?<![0-9A-Za-z])[A-Za-z]{3}(?:[- ]?\d{4}|[- ]?\d[A-Ja-j]\d{2})(?![0-9A-Za-z])/g;

/** Number plates: the Mercosul form in capitals as it stands, all others where the words before speak of a vehicle. */
export function plates({ text, contexts }: Subject): Found[] {
  const all: Found[] = [];
  for (const { 0: value, index } of text.matchAll(PLATE)) {
    const isMercosul = /^[A-Z]{3}\d[A-J]\d{2}$/.test(value);
    const weight = contexts.weight('plate', index);
    if (!isMercosul && weight === 0) continue;
    const normalized = value.replaceAll(/[^0-9A-Za-z]/g, '').toUpperCase();
    const score = (isMercosul ? 0.6 : 0.3) + 0.35 * weight;
    all.push({ type: 'plate', start: index, end: index + value.length, normalized, score });
  }
  return all;
}
