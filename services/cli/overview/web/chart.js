/** A line chart: a scale with units, a legend with the latest numbers, the threshold of the alert. */

import { element, format } from "./format.js";

const WIDTH = 320, HEIGHT = 132, LEFT = 52, BOTTOM = 112, TOP = 10, RIGHT = 314;
const COLOURS = 6;

/** The next of 1, 2, 5 times a power of ten. @param {number} value */
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999999) ?? value;
}

/** The path of the numbers, broken where one is missing. @param {(number | null)[]} numbers @param {number} top @param {number} length */
export function path(numbers, top, length) {
  const step = (RIGHT - LEFT) / Math.max(1, length - 1);
  let drawn = "", broken = true;
  numbers.forEach((number, at) => {
    if (number === null) return void (broken = true);
    const x = RIGHT - (numbers.length - 1 - at) * step, y = BOTTOM - (number / top) * (BOTTOM - TOP);
    drawn += `${broken ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    broken = false;
  });
  return drawn;
}

/** @param {string} name @param {Record<string, string | number>} attributes */
function svg(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

export class LineChart extends HTMLElement {
  /** @param {{title: string, unit: string, threshold: number | null, series: Record<string, (number | null)[]>}} chart @param {number} seconds */
  show(chart, seconds) {
    const names = Object.keys(chart.series);
    const all = names.flatMap((name) => chart.series[name]).filter((number) => number !== null);
    const highest = Math.max(0, ...all), limit = chart.threshold;
    const top = ceiling(limit !== null && highest > limit / 4 ? Math.max(highest, limit) : highest);
    const length = Math.max(2, ...names.map((name) => chart.series[name].length));
    const height = (/** @type {number} */ value) => BOTTOM - (value / top) * (BOTTOM - TOP);
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    for (const value of [0, top / 2, top]) {
      picture.append(svg("line", { class: "grid", x1: LEFT, x2: RIGHT, y1: height(value), y2: height(value) }));
      picture.append(svg("text", { x: LEFT - 5, y: height(value) + 4, "text-anchor": "end" }, format(value, chart.unit)));
    }
    picture.append(svg("text", { x: LEFT, y: HEIGHT - 4 }, `−${format(length * seconds, "s")}`));
    picture.append(svg("text", { x: RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, "now"));
    if (limit !== null && limit <= top) {
      picture.append(svg("line", { class: "limit", x1: LEFT, x2: RIGHT, y1: height(limit), y2: height(limit) }));
    }
    names.forEach((name, at) => picture.append(svg("path", { class: `s${at % COLOURS}`, d: path(chart.series[name], top, length) })));
    const legend = element("ul", "legend", ...names.map((name, at) => {
      const latest = format(chart.series[name].at(-1), chart.unit);
      return element("li", `s${at % COLOURS}`, element("i", ""), element("span", "", `${name} `, element("b", "", latest)));
    }));
    if (limit !== null) legend.append(element("li", "threshold", element("i", ""), element("span", "", `alert above ${format(limit, chart.unit)}`)));
    picture.setAttribute("aria-label", `${chart.title}: ${legend.textContent}`);
    this.replaceChildren(element("h3", "", chart.title), picture, legend);
  }
}
customElements.define("line-chart", LineChart);
