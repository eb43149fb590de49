// SPDX-License-Identifier: Apache-2.0

/** The element of index.html with this id. Throws where the page's text and its modules do not match. */
export function element<T extends Element>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}
