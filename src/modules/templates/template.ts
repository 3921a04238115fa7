/** What is known of a contact that a template can say. */
export interface TemplateContact {
  name: string;
  phone: string | null;
  email: string | null;
  company: string | null;
  position: string | null;
  customFields: Readonly<Record<string, unknown>>;
}

const FIELDS = ['name', 'first_name', 'last_name', 'phone', 'email', 'company', 'position'] as const;
type Field = (typeof FIELDS)[number];
const isField = (name: string): name is Field => FIELDS.some((field) => field === name);

/** A part of a template: text as it is, or a variable with what stands in where a contact has no value. */
export type Segment = { text: string } | { variable: string; fallback: string };

/** What is wrong with a template, and where: `position` counts UTF-16 units from 0, `line` and `column` from 1. */
export interface TemplateFault {
  code: 'unclosed' | 'unopened' | 'unknown_variable' | 'fallback_required' | 'syntax';
  message: string;
  position: number;
  line: number;
  column: number;
}

export type ParsedTemplate = { segments: Segment[] } | { fault: TemplateFault };

const VARIABLE = /\{\{\s*([^\s|{}"]*)\s*(?:(\|)\s*(?:("(?:[^"\\\n]|\\["\\])*")\s*)?)?(\}\})?/y;
const CUSTOM = /^custom\.([a-z][a-z0-9_]{0,39})$/;
const KNOWN = FIELDS.map((field) => `contact.${field}`).join(', ');

function faultAt(body: string, position: number, code: TemplateFault['code'], message: string): ParsedTemplate {
  const before = body.slice(0, position).split('\n');
  const column = (before.at(-1)?.length ?? 0) + 1;
  return { fault: { code, message, position, line: before.length, column } };
}

/**
 * Reads a template: text with variables like `{{contact.first_name|"amigo"}}` or `{{custom.plan|""}}`. There is nothing else in it: no
 * conditions, no code. Every variable has a fallback in quotes, in which `\"` and `\\` stand for the characters themselves.
 * @param customKeys the keys of the workspace's own fields; undefined: any
 */
export function parseTemplate(body: string, customKeys?: ReadonlySet<string>): ParsedTemplate {
  const segments: Segment[] = [];
  let at = 0;
  while (at < body.length) {
    const opened = body.indexOf('{{', at);
    const text = opened < 0 ? body.slice(at) : body.slice(at, opened);
    const stray = text.indexOf('}}');
    if (stray >= 0) return faultAt(body, at + stray, 'unopened', 'closes a variable that was not opened');
    if (text !== '') segments.push({ text });
    if (opened < 0) break;
    VARIABLE.lastIndex = opened;
    const [whole = '{{', name = '', bar, quoted, closed] = VARIABLE.exec(body) ?? [];
    const custom = CUSTOM.exec(name)?.[1];
    const isKnown =
      custom === undefined
        ? isField(name.replace(/^contact\./, '')) && name.startsWith('contact.')
        : (customKeys?.has(custom) ?? true);
    const nameAt = opened + whole.indexOf(name, 2);
    if (name === '') return faultAt(body, opened, 'syntax', 'must begin with the name of a variable');
    if (!isKnown) return faultAt(body, nameAt, 'unknown_variable', `names none of ${KNOWN} or custom.<key of a field>`);
    if (bar === undefined && closed !== undefined)
      return faultAt(body, opened, 'fallback_required', `needs a fallback, like {{${name}|"..."}}`);
    if (quoted === undefined || closed === undefined) {
      const isOpen = !body.includes('}}', opened);
      const where = opened + whole.length;
      if (isOpen) return faultAt(body, opened, 'unclosed', 'is not closed by }}');
      return faultAt(body, where, 'syntax', `must go on like {{${name}|"..."}}`);
    }
    segments.push({ variable: name, fallback: quoted.slice(1, -1).replaceAll(/\\(["\\])/g, '$1') });
    at = opened + whole.length;
  }
  return { segments };
}

/** The names of a template's variables, each once. */
export const variablesOf = (segments: readonly Segment[]): string[] => [
  ...new Set(segments.flatMap((segment) => ('variable' in segment ? [segment.variable] : []))),
];

/** A template with a contact's values in it. */
export interface Rendered {
  text: string;
  /** Variables without a value, whose fallback stands in the text. */
  fallbacks: string[];
  /** Variables without a value whose fallback is empty: the message must not be sent. */
  unresolved: string[];
}

/** A name is none where nobody knew one: then the contact is called by a number. */
const nameOf = ({ name }: TemplateContact): string => (/\p{L}/u.test(name) ? name.trim() : '');

const READERS: Record<Field, (contact: TemplateContact) => string | null> = {
  name: nameOf,
  first_name: (contact) => nameOf(contact).split(/\s+/u)[0] ?? '',
  last_name: (contact) => nameOf(contact).split(/\s+/u).slice(1).at(-1) ?? '',
  phone: ({ phone }) => phone,
  email: ({ email }) => email,
  company: ({ company }) => company,
  position: ({ position }) => position,
};

function valueOf(variable: string, contact: TemplateContact): string {
  const custom = CUSTOM.exec(variable)?.[1];
  if (custom !== undefined) {
    const value = Object.hasOwn(contact.customFields, custom) ? contact.customFields[custom] : null;
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
  }
  const field = variable.replace(/^contact\./, '');
  return isField(field) ? (READERS[field](contact) ?? '') : '';
}

/**
 * Fills a template in. Values stand in the text as they are: whatever braces a contact's data has, nothing reads them again.
 * @param template as it was stored, which was checked then
 * @throws Error for a body that is no template
 */
export function renderTemplate({ body }: { body: string }, contact: TemplateContact): Rendered {
  const parsed = parseTemplate(body);
  if ('fault' in parsed) throw new Error(`No template: ${parsed.fault.message}`);
  const fallbacks = new Set<string>();
  const unresolved = new Set<string>();
  const texts = parsed.segments.map((segment) => {
    if ('text' in segment) return segment.text;
    const value = valueOf(segment.variable, contact).trim();
    if (value !== '') return value;
    (segment.fallback === '' ? unresolved : fallbacks).add(segment.variable);
    return segment.fallback;
  });
  return { text: texts.join(''), fallbacks: [...fallbacks], unresolved: [...unresolved] };
}
