/** The way of the latest message with its times, by the page's own clock, and the counters. */

import { duration, make, write } from "./dom.js";

/** @typedef {import("../conversation.js").Conversation} Conversation */

const LENGTH = 40;

/** @param {string} text */
const shortened = (text) => ([...text].length > LENGTH ? `${[...text].slice(0, LENGTH).join("")}…` : text);

class MessageWay extends HTMLElement {
  #shown = "";

  /** @param {Conversation} conversation */
  show(conversation) {
    this.conversation = conversation;
    this.way = make("ol", { className: "way", "aria-label": "The way of the latest message" });
    this.counters = make("p", { className: "counters" });
    this.processes = make("ol", { className: "way traced", "aria-label": "Its way by the clocks of the processes" });
    this.append(this.way, this.processes, this.counters);
    conversation.subscribe(() => this.#render());
    setInterval(() => conversation.changed(), 1000); // a message is counted as lost after a while
  }

  #render() {
    const { conversation, way, processes, counters } = this;
    if (!conversation || !way || !processes || !counters) return;
    const { sent, due, received, lost, repeated } = conversation.counts();
    const twice = repeated ? ` · received twice ${repeated}` : "";
    write(counters, `sent ${sent} · received ${received} of ${due} · lost ${lost}${twice}`);
    counters.classList.toggle("bad", lost > 0);
    const [steps, traced] = [this.#steps(), tracedSteps(conversation.times)];
    if ([...steps, ...traced].join() === this.#shown) return;
    this.#shown = [...steps, ...traced].join();
    way.replaceChildren(...steps.map((step) => make("li", {}, step)));
    processes.replaceChildren(...traced.map((step) => make("li", {}, step)));
  }

  /** @returns {string[]} */
  #steps() {
    const entry = this.conversation?.latest;
    if (!entry) return ["The first message is on its way."];
    const places = this.conversation?.ways.get(entry) ?? {};
    const since = (/** @type {number} */ time) => duration(time - entry.sentAt);
    return [
      `${entry.sender} (${places[entry.sender]}) sends “${shortened(entry.text)}”`,
      entry.acknowledgedAt ? `on disk, acknowledged after ${since(entry.acknowledgedAt)}` : "not acknowledged yet",
      ...[...entry.received].map(([name, time]) => `${name} (${places[name]}) receives it after ${since(time)}`),
    ];
  }
}

/** By the clocks of the processes, since the frame arrived; what they do not know is left out.
 * @param {import("../system.js").MessageTimes|null} times @returns {string[]} */
function tracedSteps(times) {
  if (!times?.accepted) return [];
  const edge = (/** @type {string} */ name) => name.replace(/-[a-z0-9]+$/, "");
  const step = (/** @type {string} */ name, /** @type {number} */ at) =>
    (at ? [`${name} +${Math.max(0, at - times.accepted)} ms`] : []);
  return [
    `Message #${times.index} at ${edge(times.accepted_by)}`, ...step("committed", times.committed),
    ...times.arrivals.flatMap(([name, at]) => step(edge(name), at)), ...step("acknowledged", times.acknowledged),
    `confirmed by ${times.confirmed} of ${times.recipients}`, ...(times.trace ? [`trace ${times.trace}`] : []),
  ];
}

customElements.define("message-way", MessageWay);
