import { isObject, type Json } from './wire.ts';

/** Reads a body or query as Stripe's API takes them: form-encoded, with brackets for what is inside (`items[0][price]=x`). */
export function readForm(text: string): Json {
  const root: Json = {};
  for (const [name, value] of new URLSearchParams(text)) {
    const path = name.split(/[[\]]+/).filter((part) => part !== '');
    let at = root;
    for (const part of path.slice(0, -1)) {
      const inner = at[part];
      const next: Json = isObject(inner) ? inner : {};
      at[part] = next;
      at = next;
    }
    const last = path.at(-1);
    if (last !== undefined) at[last] = value;
  }
  return root;
}

/** A text in a form, by its path; empty where there is none. */
export function textAt(form: Json, ...path: string[]): string {
  let at: unknown = form;
  for (const part of path) at = isObject(at) ? at[part] : undefined;
  return typeof at === 'string' ? at : '';
}
