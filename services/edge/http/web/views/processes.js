/** The processes of a local installation: their state, their operations pages, and a button that kills each. */

import { kill, setToken, token } from "../system.js";
import { make, write } from "./dom.js";

/** @typedef {import("../system.js").SystemView} SystemView */

class ProcessList extends HTMLElement {
  /** @type {Map<string, {state: HTMLElement, button: HTMLButtonElement}>} */
  #rows = new Map();

  /** @param {(name: string) => void} killed  Called after a process was killed. */
  show(killed) {
    this.killed = killed;
    this.list = make("ul", {});
    this.message = make("p", { role: "status", className: "message" });
    this.append(make("details", { className: "menu" }, make("summary", {}, "Kill a process"), this.list, this.message));
    this.dialog = this.#dialog();
    this.append(this.dialog);
    this.hidden = true;
  }

  /** @param {SystemView|null} view */
  update(view) {
    if (!view?.supervised) return;
    this.hidden = false;
    for (const process of view.processes) {
      const row = this.#rows.get(process.name) ?? this.#add(process);
      const restarts = process.starts > 1 ? `, restarted ${process.starts - 1}×` : "";
      write(row.state, (process.ready ? "ready" : "starting") + restarts);
      row.state.className = process.ready ? "state connected" : "state away";
    }
  }

  /** @param {import("../system.js").Process} process */
  #add({ name, ops }) {
    const button = make("button", { type: "button" }, "Kill", make("span", { className: "unseen" }, ` ${name}`));
    button.addEventListener("click", () => this.#kill(name));
    const state = make("span", { className: "state" });
    const page = ops ? make("a", { href: `http://${location.hostname}:${ops}/`, target: "_blank" }, "page", make("span", { className: "unseen" }, ` of ${name}`)) : make("span");
    this.list?.append(make("li", {}, make("b", {}, name), state, page, button));
    const row = { state, button };
    this.#rows.set(name, row);
    return row;
  }

  /** @param {string} name */
  async #kill(name) {
    if (!token() && !(await this.#request())) return;
    const error = await kill(name, token());
    write(/** @type {Node} */ (this.message), error || `${name} was killed. Its supervisor starts it again.`);
    if (error) setToken("");
    else this.killed?.(name);
  }

  #dialog() {
    const field = make("input", { id: "token", required: true, autocomplete: "off", spellcheck: false });
    const dialog = make("dialog", { "aria-labelledby": "token-title" },
      make("form", { method: "dialog" },
        make("h2", { id: "token-title" }, "The token"),
        make("p", {}, "Only the user who started the system may kill its processes. `dragoman up` has printed an address that ends in #kill= and this token."),
        make("label", { for: "token" }, "Token"), field,
        make("button", { value: "use" }, "Use it"), " ",
        make("button", { value: "", type: "button", onclick: () => dialog.close("") }, "Cancel")));
    return dialog;
  }

  /** Whether the user has typed a token. @returns {Promise<boolean>} */
  #request() {
    const dialog = /** @type {HTMLDialogElement} */ (this.dialog);
    const field = /** @type {HTMLInputElement} */ (dialog.querySelector("input"));
    field.value = "";
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => dialog.addEventListener("close", () => {
      if (dialog.returnValue === "use") setToken(field.value.trim());
      resolve(token() !== "");
    }, { once: true }));
  }
}

customElements.define("process-list", ProcessList);
