/** The items of a list, by their keys. An item that has kept its order is not moved in the page: a moved one loses the focus and
 * the ends of a selection, and Lit's `repeat` moves a last item that has become the first. */
import { noChange } from "lit";
import { insertPart, removePart, setChildPartValue } from "lit/directive-helpers.js";
import { type ChildPart, Directive, type DirectiveResult, directive } from "lit/directive.js";

type Items<T> = [items: readonly T[], key: (item: T) => unknown, show: (item: T) => unknown];

class Each extends Directive {
  /** In the order of the page. */
  #parts = new Map<unknown, ChildPart>();

  render(..._: Items<unknown>): typeof noChange {
    return noChange;
  }

  override update(container: ChildPart, [items, key, show]: Items<unknown>): typeof noChange {
    const focused = document.activeElement as HTMLElement | null;
    const wanted = new Set(items.map(key));
    const left: ChildPart[] = [];
    for (const [known, part] of this.#parts)
      if (wanted.has(known)) left.push(part);
      else removePart(part);
    this.#parts = new Map(
      items.map((item): [unknown, ChildPart] => {
        const known = this.#parts.get(key(item));
        const part = known && known === left[0] ? known : insertPart(container, left[0], known);
        if (known) left.splice(left.indexOf(known), 1);
        return [key(item), setChildPartValue(part, show(item))];
      }),
    );
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    return noChange;
  }
}

export const each = directive(Each) as <T>(...items: Items<T>) => DirectiveResult;
