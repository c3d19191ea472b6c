/** The dashboard of the whole system: polls, and shows what has changed in place. */

import { auditor } from "./auditor.js";
import { LineChart } from "./chart.js";
import { element, format, row } from "./format.js";

const EVERY = 2000;
const STAGES = { "no-envelope": "not received by the edge", "no-delivery": "given to no connection", "no-receipt": "confirmation not stored" };

/** @param {string} name */
const at = (name) => /** @type {HTMLElement} */ (document.getElementById(name));

/** @param {any} hop */
function box(hop) {
  const slow = hop.threshold !== null && hop.p99 !== null && hop.p99 > hop.threshold;
  const time = element("dd", slow ? "bad" : "", format(hop.p99, "s"), slow ? ` above ${format(hop.threshold, "s")}` : "");
  return element("li", slow ? "slow" : "",
    element("h3", "", hop.title),
    element("p", "big", format(hop.rate, ""), element("small", "", " /s")),
    element("dl", "",
      element("dt", "", "waiting"), element("dd", "", hop.waiting === null ? "no queue" : format(hop.waiting, "")),
      element("dt", "", "p99"), time),
    element("p", "soft", hop.text));
}

/** @param {any} one */
function process(one) {
  const name = one.address ? Object.assign(element("a", "", one.name), { href: `${one.address}/` }) : one.name;
  const works = one.state === "ready" || one.state === "running";
  const state = element("span", works ? "good" : "bad", one.reason ? `${one.state}: ${one.reason}` : one.state);
  const restarts = one.restarts === null ? "–" : String(one.restarts);
  return row(name, state, one.version || "–", restarts, format(one.up_seconds, "s"), format(one.processor, "%"), format(one.memory, "B"));
}

/** @param {any} view */
function troubles(view) {
  const lines = Object.entries(view.lost).map(([stage, count]) =>
    element("li", "bad", `${count} messages lost, ${STAGES[/** @type {keyof typeof STAGES} */ (stage)] ?? stage}: see the log of the edges`));
  const letters = view.dead_letters;
  lines.push(element("li", letters ? "bad" : "", letters === null ? "dead letters: unknown, NATS does not answer" : `dead letters: ${letters}`));
  for (const one of view.rejections) lines.push(element("li", "", `${one.process} rejected ${format(one.count, "")} × ${one.reason}`));
  if (!view.rejections.length) lines.push(element("li", "", "no rejections"));
  return lines;
}

/** @param {any[]} charts @param {number} seconds */
function draw(charts, seconds) {
  const place = at("charts");
  while (place.children.length > charts.length) place.lastElementChild?.remove();
  charts.forEach((chart, number) => {
    if (!place.children[number]) place.append(new LineChart());
    /** @type {LineChart} */ (place.children[number]).show(chart, seconds);
  });
}

/** Replaces rows unless the focus is within them. @param {string} name @param {HTMLElement[]} rows */
function fill(name, rows) {
  if (!at(name).contains(document.activeElement)) at(name).replaceChildren(...rows);
}

/** @param {any} view */
function show(view) {
  const wrong = view.processes.filter((/** @type {any} */ one) => one.state !== "ready" && one.state !== "running");
  const total = Object.values(view.connections).reduce((sum, one) => sum + one, 0);
  const dialects = Object.entries(view.connections).filter(([, count]) => count).map(([name, count]) => `${name} ${count}`).join(", ");
  const headline = wrong.length
    ? `${wrong.map((/** @type {any} */ one) => one.name).join(", ")}: not ready`
    : `${view.processes.length} processes ready · ${total} connections${dialects ? ` (${dialects})` : ""}`;
  if (at("headline").textContent !== headline) at("headline").textContent = headline;
  at("headline").className = wrong.length ? "bad" : "";
  at("path").replaceChildren(...view.hops.map(box));
  draw(view.charts, view.seconds);
  fill("processes", view.processes.map(process));
  fill("trouble", troubles(view));
}

async function poll() {
  try {
    show(await (await fetch("/api/system")).json());
  } catch {
    at("headline").textContent = "The dashboard does not answer: is the system running? Trying again …";
    at("headline").className = "bad";
  }
  setTimeout(poll, EVERY);
}

auditor(/** @type {HTMLFormElement} */ (at("find")), at("found"));
poll();
