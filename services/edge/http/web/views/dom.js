/** Makes elements. */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name @param {Record<string, any>} [properties]  Properties, or attributes where there is a hyphen or `for`.
 * @param {...(Node|string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "for" || key === "role") node.setAttribute(key, String(value));
    else Object.assign(node, { [key]: value });
  }
  node.append(...children);
  return node;
}

/** Sets a text if it is another: screen readers and selections stay as they are. @param {Node} node @param {string} text */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A time in as many digits as it deserves. @param {number} milliseconds */
export const duration = (milliseconds) =>
  milliseconds >= 1000 ? `${(milliseconds / 1000).toFixed(1)}\u00a0s`
  : milliseconds >= 100 ? `${milliseconds.toFixed(0)}\u00a0ms` : `${milliseconds.toFixed(1)}\u00a0ms`;

/** Adds what is new at the end of a list, removes what is too much at its start, and stays at the end unless the user
 * has scrolled. `list` or its parent scrolls. @param {HTMLElement} list @param {Node[]} added @param {number} limit */
export function append(list, added, limit) {
  if (!added.length) return;
  const scroller = list.closest("[tabindex]") ?? list;
  const isAtEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40;
  list.append(...added.slice(-limit));
  while (list.children.length > limit) list.firstElementChild?.remove();
  if (isAtEnd) scroller.scrollTop = scroller.scrollHeight;
}
