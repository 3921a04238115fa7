/**
 * The element of this page with that id.
 * @throws when the page and its script do not belong together.
 */
export function element<Kind extends HTMLElement>(id: string, kind: abstract new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`This page has no ${kind.name} "${id}".`);
  return found;
}
