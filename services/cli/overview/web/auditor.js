/** Where is a message? The operator's question, as `dragoman admin message find` answers it. */

import { element, format, row } from "./format.js";

const FORGOT = "no edge remembers";

/** @param {number} milliseconds */
function moment(milliseconds) {
  return new Date(milliseconds).toISOString().replace("T", " ").slice(0, 23);
}

/** @param {string[]} heads @param {HTMLElement[]} rows @param {string} name */
function table(heads, rows, name) {
  const cells = heads.map((head) => Object.assign(element("th", "", head), { scope: "col" }));
  const made = element("div", "scroll", element("table", "", element("thead", "", element("tr", "", ...cells)), element("tbody", "", ...rows)));
  made.tabIndex = 0;
  made.setAttribute("role", "region");
  made.setAttribute("aria-label", name);
  return made;
}

/** @param {any} report */
function parts(report) {
  const { message, accepted } = report;
  const facts = [
    ["message", `${message.id}, index ${message.index} of chat ${message.chat}, ${format(message.bytes, "B")}`],
    ["sender", String(message.sender)],
    ["accepted", accepted ? `${moment(accepted.at)} by ${report.accepted_by} over ${accepted.dialect}` : FORGOT],
    ["committed", moment(message.time)],
    ["acknowledged", accepted ? moment(accepted.acknowledged) : FORGOT],
    ["trace", report.traces.join(", ") || FORGOT],
  ];
  const list = element("dl", "", ...facts.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]));
  const batches = report.batches.map((/** @type {any} */ one) =>
    row(one.edge, moment(one.at), one.replica ? `${one.replica}, batch ${one.counter}` : "fetched it"));
  const recipients = report.recipients.map((/** @type {any} */ one) => {
    const state = element("span", one.state === "lost" ? "bad" : one.state === "confirmed" ? "good" : "", one.state);
    const made = row(String(one.account), state, one.edge || "–", one.dialects.join(", ") || "–", one.at ? moment(one.at) : "–", one.reason || "–");
    made.lastElementChild?.classList.add("wide");
    return made;
  });
  const more = message.more ? [element("p", "soft", `and ${message.more} more recipients`)] : [];
  return [
    list,
    ...(batches.length ? [table(["Edge", "Got it", "From"], batches, "Delivery batches")] : []),
    ...(recipients.length ? [table(["Recipient", "State", "Edge", "Dialect", "Confirmed", "Reason"], recipients, "Recipients")] : []),
    ...more,
  ];
}

/** @param {HTMLFormElement} form @param {HTMLElement} found */
export function auditor(form, found) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const query = String(new FormData(form).get("q"));
    found.replaceChildren(element("p", "soft", "Edges are asked …"));
    try {
      const reply = await (await fetch(`/api/message?q=${encodeURIComponent(query)}`)).json();
      found.replaceChildren(...(reply.error ? [element("p", "bad", reply.error)] : reply.reports.flatMap(parts)));
    } catch {
      found.replaceChildren(element("p", "bad", "The dashboard does not answer: is the system running?"));
    }
  });
}
