/** Numbers with their units, as `dragoman top` shows them; and elements without markup. */

/** @param {number} value */
function rounded(value) {
  if (value === 0) return "0";
  if (Math.abs(value) < 0.01) return "<0.01";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

/** @param {number} seconds */
function time(seconds) {
  if (seconds >= 172800) return `${Math.floor(seconds / 86400)} days`;
  if (seconds >= 7200) return `${Math.floor(seconds / 3600)} h`;
  if (seconds >= 120) return `${Math.floor(seconds / 60)} min`;
  if (seconds >= 1 || seconds === 0) return `${rounded(seconds)} s`;
  return seconds >= 1e-3 ? `${rounded(seconds * 1e3)} ms` : `${rounded(seconds * 1e6)} µs`;
}

/** @param {number | null | undefined} value @param {string} unit "", "/s", "s", "B" or "%" */
export function format(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "s") return time(value);
  if (unit === "%") return `${rounded(value * 100)} %`;
  const step = unit.startsWith("B") ? 1024 : 1000;
  const names = step === 1024 ? ["", "Ki", "Mi", "Gi"] : ["", "k", "M", "G"];
  let power = 0;
  for (; Math.abs(value) >= (step === 1000 && !power ? 10_000 : step) && power < 3; power += 1) value /= step;
  return `${rounded(value)} ${names[power]}${unit}`.trimEnd();
}

/** An element with a class and children. @param {string} name @param {string} kind @param {(Node | string)[]} children */
export function element(name, kind, ...children) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}

/** A row of a table; the first cell is its header. @param {(Node | string)[]} cells */
export function row(...cells) {
  return element("tr", "", ...cells.map((cell, at) => {
    const made = element(at ? "td" : "th", "", cell);
    if (!at) made.setAttribute("scope", "row");
    return made;
  }));
}
