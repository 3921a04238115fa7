import { z } from 'zod';
import { parseTemplate, renderTemplate, type TemplateContact } from '#src/modules/templates/template.ts';

const Parameter = z.string().min(1).max(1024);
const Button = z.strictObject({
  /** Its place among the template's buttons, from 0. */
  index: z.int().min(0).max(9),
  type: z.enum(['url', 'quick_reply', 'copy_code']),
  /** The end of a URL, a payload or a code; with variables. */
  text: Parameter,
});

/**
 * A template that Meta has approved. The body's parameters are the variables of our own text, each where it stands, in order; header and
 * buttons have texts of their own.
 */
export const CloudTemplate = z.strictObject({
  name: z.string().regex(/^[a-z0-9_]{1,512}$/, 'must be the name of a template as Meta has it: a-z, 0-9 and _'),
  /** As Meta writes it: `pt_BR`. */
  language: z.string().regex(/^[a-z]{2,3}(_[A-Za-z]{2,4})?$/, 'must be a language as Meta writes it, like pt_BR'),
  header: Parameter.optional(),
  buttons: z.array(Button).max(10).optional(),
});
export type CloudTemplate = z.infer<typeof CloudTemplate>;

/** A value in a parameter must not have new lines, tabs or more than four spaces in a row (error 132018). */
const flat = (text: string): string => text.replaceAll(/\s+/gu, ' ').trim();
const textOf = (text: string) => ({ type: 'text', text: flat(text) });

/** One message, without whom it is to. */
export interface Payload {
  text: string;
  /** As its recipient reads it: the text, below its header. */
  shown: string;
  body: object;
  /** Variables without a value, with nothing to stand in for them: it must not be sent. */
  unresolved: string[];
}

/** The texts of a cloud template that have variables, by where they stand. */
export const textsOf = ({ header, buttons = [] }: CloudTemplate): [path: string, text: string][] => [
  ...(header === undefined ? [] : [['header', header] satisfies [string, string]]),
  ...buttons.map(({ text }, at): [string, string] => [`buttons[${at}].text`, text]),
];

/** The values of a text's variables, where they stand. */
function parametersOf(body: string, contact: TemplateContact): string[] {
  const parsed = parseTemplate(body);
  if ('fault' in parsed) throw new Error(`No template: ${parsed.fault.message}`);
  return parsed.segments.flatMap((segment) => {
    if ('text' in segment) return [];
    const fallback = segment.fallback.replaceAll(/["\\]/g, String.raw`\$&`);
    return [renderTemplate({ body: `{{${segment.variable}|"${fallback}"}}` }, contact).text];
  });
}

/**
 * One message as the Cloud API takes it: a template where there is one, else the text as it is.
 * @param body the text of ours, with variables
 */
export function payloadOf(body: string, template: CloudTemplate | null, contact: TemplateContact): Payload {
  const { text, unresolved } = renderTemplate({ body }, contact);
  if (template === null)
    return {
      text,
      shown: text,
      unresolved,
      body: { type: 'text', text: { preview_url: /https?:\/\//.test(text), body: text } },
    };
  const parameters = parametersOf(body, contact);
  const components: object[] = [];
  const missing = new Set(unresolved);
  const fill = (one: string): string => {
    const filled = renderTemplate({ body: one }, contact);
    for (const name of filled.unresolved) missing.add(name);
    return filled.text;
  };
  const header = template.header === undefined ? null : textOf(fill(template.header));
  if (header) components.push({ type: 'header', parameters: [header] });
  if (parameters.length > 0) components.push({ type: 'body', parameters: parameters.map(textOf) });
  for (const { index, type, text: own } of template.buttons ?? []) {
    const value = flat(fill(own));
    const parameter = {
      url: { type: 'text', text: value },
      quick_reply: { type: 'payload', payload: value },
      copy_code: { type: 'coupon_code', coupon_code: value },
    }[type];
    components.push({ type: 'button', sub_type: type, index: `${index}`, parameters: [parameter] });
  }
  const { name, language } = template;
  return {
    text,
    shown: header ? `${header.text}\n\n${text}` : text,
    unresolved: [...missing],
    body: {
      type: 'template',
      template: { name, language: { code: language }, ...(components.length > 0 && { components }) },
    },
  };
}
