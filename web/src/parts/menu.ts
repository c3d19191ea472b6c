/** A menu beside its element; the keys of menus; the focus goes back. */
import { autoUpdate, computePosition, flip, offset, shift } from "@floating-ui/dom";
import { type TemplateResult, html, nothing } from "lit";
import { Part } from "./part.ts";

export interface Choice {
  label: string;
  isDangerous?: boolean;
  choose: () => void;
}

export class Menu extends Part {
  static override properties = { choices: { state: true }, content: { state: true } };
  declare choices: Choice[];
  /** In place of choices. */
  declare content: (() => TemplateResult) | undefined;
  #anchor: HTMLElement | undefined;
  #before: HTMLElement | null = null;
  #stop: (() => void) | undefined;

  constructor() {
    super();
    this.choices = [];
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.close();
  }

  open(anchor: HTMLElement, choices: Choice[], content?: () => TemplateResult): void {
    this.close();
    this.#anchor = anchor;
    this.#before = document.activeElement as HTMLElement | null;
    this.choices = choices;
    this.content = content;
    void this.updateComplete.then(() => this.#show());
  }

  close = (): void => {
    if (!this.#anchor) return;
    this.#stop?.();
    document.removeEventListener("pointerdown", this.#outside, true);
    const isInside = this.contains(document.activeElement);
    this.#anchor = undefined;
    this.choices = [];
    this.content = undefined;
    if (isInside) this.#before?.focus({ preventScroll: true });
  };

  protected override render(): TemplateResult | typeof nothing {
    if (!this.#anchor) return nothing;
    if (this.content)
      return html`<div class="menu" role="dialog" aria-modal="false" @keydown=${this.#keys}>${this.content()}</div>`;
    return html`<div class="menu" role="menu" @keydown=${this.#keys}>${this.choices.map(
      (one) => html`<button type="button" role="menuitem"
      class=${one.isDangerous ? "dangerous" : ""} @click=${() => this.#choose(one)}>${one.label}</button>`,
    )}</div>`;
  }

  #show(): void {
    const menu = this.querySelector<HTMLElement>(".menu");
    const anchor = this.#anchor;
    if (!menu || !anchor) return;
    this.#stop = autoUpdate(
      anchor,
      menu,
      () =>
        void computePosition(anchor, menu, {
          strategy: "fixed",
          placement: "bottom-end",
          middleware: [offset(4), flip(), shift({ padding: 8 })],
        }).then(({ x, y }) => {
          menu.style.setProperty("left", `${x}px`);
          menu.style.setProperty("top", `${y}px`);
        }),
    );
    document.addEventListener("pointerdown", this.#outside, true);
    menu.querySelector<HTMLElement>("button, input, ul")?.focus({ preventScroll: true });
  }

  #choose(one: Choice): void {
    this.close();
    one.choose();
  }

  #outside = ({ target }: Event): void => {
    if (!this.contains(target as Node)) this.close();
  };

  #keys(event: KeyboardEvent): void {
    const items = [...this.querySelectorAll<HTMLElement>(".menu button")];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const step = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const isField = event.target instanceof HTMLInputElement && event.key !== "ArrowDown";
    if (event.key === "Escape" || (event.key === "Tab" && !this.content)) this.close();
    else if (step && !isField) items[(at + step + items.length) % items.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
customElements.define("dragoman-menu", Menu);
