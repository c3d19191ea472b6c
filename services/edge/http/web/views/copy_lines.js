/** Lines for other clients, each with a button that copies it. */

import { make, write } from "./dom.js";

class CopyLines extends HTMLElement {
  /** @param {{title: string, lines: string[]}[]} blocks */
  show(blocks) {
    this.replaceChildren(...blocks.map(({ title, lines }) => this.#block(title, lines.join("\n"))));
  }

  /** @param {string} title @param {string} text */
  #block(title, text) {
    const button = make("button", { type: "button", className: "quiet" }, "Copy");
    button.setAttribute("aria-label", `Copy: ${title}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      write(button, "Copied");
      setTimeout(() => write(button, "Copy"), 2000);
    });
    return make("div", { className: "lines" }, make("h3", {}, title), button, make("pre", { tabIndex: 0 }, text));
  }
}

customElements.define("copy-lines", CopyLines);
