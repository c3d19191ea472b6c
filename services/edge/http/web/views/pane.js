/** A user: messages, a line to write, the dialect menu, and the frames beneath. */

import { CODECS } from "../codecs/index.js";
import { append, duration, make, write } from "./dom.js";

/** @typedef {import("../person.js").Person} Person */
/** @typedef {import("../person.js").Line} Line */
/** @typedef {import("../connection.js").WireFrame} WireFrame */

const LINES = 150;
const FRAMES = 60;
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const STATES = { connecting: "connecting", connected: "connected", away: "reconnecting" };

class PersonPane extends HTMLElement {
  /** @type {Map<Line, HTMLElement>} Own messages that are not settled yet, and their marks. */
  #unsettled = new Map();
  #lines = 0;
  #frames = 0;

  /** @param {Person} person */
  show(person) {
    this.person = person;
    const id = `pane-${person.name}`;
    this.state = make("span", { className: "state" });
    this.log = make("ol");
    const log = make("div", { className: "log", role: "log", tabIndex: 0, "aria-live": "off", "aria-label": `Messages that ${person.name} sees` }, this.log);
    this.frames = make("ol", { className: "frames", tabIndex: 0, "aria-label": `Frames of ${person.name}'s connection` });
    this.append(make("section", { "aria-labelledby": id }, this.#head(id, this.state), log, this.#composer(), this.#wire()));
    person.conversation.subscribe(() => this.#render());
  }

  /** @param {string} id @param {HTMLElement} state */
  #head(id, state) {
    const person = /** @type {Person} */ (this.person);
    const menu = make("select", { id: `${id}-dialect` });
    for (const { dialect, label } of CODECS.values()) menu.append(make("option", { value: dialect }, label));
    menu.value = person.codec.dialect;
    menu.addEventListener("change", () => person.changeDialect(/** @type {any} */ (CODECS.get(menu.value))));
    return make("header", {},
      make("h2", { id }, person.name),
      make("label", { for: menu.id }, "speaks "), menu,
      make("span", { className: "at" }, `at ${person.edge.name}`), state);
  }

  #composer() {
    const person = /** @type {Person} */ (this.person);
    const field = make("input", { id: `compose-${person.name}`, placeholder: `Write as ${person.name}`, autocomplete: "off", maxLength: 2000, enterKeyHint: "send" });
    const form = make("form", { className: "composer" },
      make("label", { className: "unseen", for: field.id }, `Message of ${person.name}`), field,
      make("button", {}, "Send", make("span", { className: "unseen" }, ` as ${person.name}`)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (text) person.conversation.send(person, text);
      field.value = "";
    });
    return form;
  }

  #wire() {
    const whole = make("button", { className: "quiet", "aria-pressed": "false" }, "Whole frames");
    whole.addEventListener("click", () => {
      const isWhole = this.frames?.classList.toggle("whole");
      whole.setAttribute("aria-pressed", String(isWhole));
    });
    const wire = make("details", { className: "wire", open: matchMedia("(min-width: 700px)").matches },
      make("summary", {}, "On the wire"), whole, /** @type {Node} */ (this.frames));
    return wire;
  }

  #render() {
    const { person, log, frames, state } = this;
    if (!person || !log || !frames || !state) return;
    write(state, STATES[person.state]);
    state.className = `state ${person.state}`;
    append(log, newest(person.lines, person.linesMade - this.#lines).map((line) => this.#line(line)), LINES);
    this.#lines = person.linesMade;
    append(frames, newest(person.wire, person.framesSeen - this.#frames).map(frameRow), FRAMES);
    this.#frames = person.framesSeen;
    for (const [line, mark] of this.#unsettled) this.#settle(line, mark);
  }

  /** @param {Line} line */
  #line(line) {
    if (line.kind === "note") return make("li", { className: "note" }, line.text);
    const mark = make("span", { className: "mark" });
    if (line.entry) this.#unsettled.set(line, mark);
    const author = line.author || "not named";
    return make("li", { className: line.isOwn ? "own" : "" },
      make("b", { className: line.author ? "" : "nameless" }, author), " ",
      make("span", { className: "text", dir: "auto" }, line.text), " ", mark,
      make("time", { dateTime: line.time.toISOString() }, CLOCK.format(line.time)));
  }

  /** @param {Line} line @param {HTMLElement} mark */
  #settle(line, mark) {
    const { state, index, reason, sentAt, acknowledgedAt } = /** @type {import("../ledger.js").Entry} */ (line.entry);
    const texts = {
      sent: "sending", acknowledged: index ? `✓ #${index}` : "✓", rejected: `rejected: ${reason}`,
      unknown: "no reply: the connection ended",
    };
    mark.className = `mark ${state}`;
    write(mark, texts[state]);
    if (state === "acknowledged") {
      mark.title = `On disk, and acknowledged after ${duration(acknowledgedAt - sentAt)}`;
      mark.append(make("span", { className: "unseen" }, " on disk"));
    }
    if (state === "acknowledged" || state === "rejected") this.#unsettled.delete(line);
  }
}

/** @template T @param {T[]} all @param {number} count */
const newest = (all, count) => (count ? all.slice(-count) : []);

/** @param {WireFrame} frame */
function frameRow({ direction, frame, took }) {
  const isOut = direction === "out";
  return make("li", { className: direction },
    make("span", { className: "unseen" }, isOut ? "sent: " : "received: "),
    make("span", { "aria-hidden": "true" }, isOut ? "→" : "←"),
    make("code", {}, frame), make("small", {}, took ? duration(took) : ""));
}

customElements.define("person-pane", PersonPane);
