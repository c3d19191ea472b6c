/** The way of the latest message with its times, by the page's own clock, and the counters. */

import { duration, make, write } from "./dom.js";

/** @typedef {import("../conversation.js").Conversation} Conversation */

class MessageWay extends HTMLElement {
  #shown = "";

  /** @param {Conversation} conversation */
  show(conversation) {
    this.conversation = conversation;
    this.way = make("ol", { className: "way", "aria-label": "The way of the latest message" });
    this.counters = make("p", { className: "counters" });
    this.append(this.way, this.counters);
    conversation.subscribe(() => this.#render());
    setInterval(() => conversation.changed(), 1000); // a message is counted as lost after a while
  }

  #render() {
    const { conversation, way, counters } = this;
    if (!conversation || !way || !counters) return;
    const { sent, due, received, lost, repeated } = conversation.counts();
    const twice = repeated ? ` · received twice ${repeated}` : "";
    write(counters, `sent ${sent} · received ${received} of ${due} · lost ${lost}${twice}`);
    counters.classList.toggle("bad", lost > 0);
    const steps = this.#steps();
    if (steps.join() === this.#shown) return;
    this.#shown = steps.join();
    way.replaceChildren(...steps.map((step) => make("li", {}, step)));
  }

  /** @returns {string[]} */
  #steps() {
    const entry = this.conversation?.latest;
    if (!entry) return ["The first message is on its way."];
    const places = this.conversation?.ways.get(entry) ?? {};
    const since = (/** @type {number} */ time) => duration(time - entry.sentAt);
    return [
      `${entry.sender} (${places[entry.sender]}) sends “${entry.text.slice(0, 40)}”`,
      entry.acknowledgedAt ? `on disk, acknowledged after ${since(entry.acknowledgedAt)}` : "not acknowledged yet",
      ...[...entry.received].map(([name, time]) => `${name} (${places[name]}) receives it after ${since(time)}`),
      ...traced(this.conversation?.times ?? null),
    ];
  }
}

/** By the clocks of the processes, since the frame arrived. @param {import("../system.js").MessageTimes|null} times */
function traced(times) {
  if (!times?.accepted) return [];
  const after = (/** @type {number} */ at) => `+${Math.max(0, at - times.accepted)} ms`;
  const edge = (/** @type {string} */ name) => name.replace(/-[a-z0-9]+$/, "");
  const steps = [
    `message #${times.index} at ${edge(times.accepted_by)}`, `committed ${after(times.committed)}`,
    ...times.arrivals.map(([name, at]) => `${edge(name)} ${after(at)}`), `acknowledged ${after(times.acknowledged)}`,
    `confirmed by ${times.confirmed} of ${times.recipients}`,
  ];
  return [`${steps.join(" ▸ ")}${times.trace ? ` (trace ${times.trace})` : ""}`];
}

customElements.define("message-way", MessageWay);
