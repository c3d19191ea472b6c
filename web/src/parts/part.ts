/** An element in the page's own tree that is shown again when a signal that it has read changes. */
import { effect } from "@preact/signals-core";
import { LitElement, noChange } from "lit";
import { Directive, type ElementPart, type PartInfo, PartType, directive } from "lit/directive.js";

export abstract class Part extends LitElement {
  #stop: (() => void) | undefined;

  protected override createRenderRoot(): this {
    return this;
  }

  protected override performUpdate(): void {
    if (!this.isUpdatePending) return;
    this.#stop?.();
    let isFirst = true;
    this.#stop = effect(() => {
      if (!isFirst) return this.requestUpdate();
      isFirst = false;
      super.performUpdate();
    });
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.requestUpdate();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stop?.();
    this.#stop = undefined;
  }
}

/** Sets properties of the style one by one: the policy blocks the attribute. */
class Properties extends Directive {
  #before: Record<string, string> = {};

  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) throw new Error("properties() belongs to an element");
  }

  render(_properties: Record<string, string>): typeof noChange {
    return noChange;
  }

  override update(part: ElementPart, [properties]: [Record<string, string>]): typeof noChange {
    const { style: own } = part.element as HTMLElement;
    for (const [name, value] of Object.entries(properties))
      if (this.#before[name] !== value) own.setProperty(name, value);
    this.#before = properties;
    return noChange;
  }
}

export const properties = directive(Properties);

/** Input methods use these keys for themselves. */
export function isComposing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === 229;
}
