/** Wires the first page: accounts, users, views, and what is watched meanwhile. */

import { CODECS } from "./codecs/index.js";
import { Conversation } from "./conversation.js";
import { Person } from "./person.js";
import { forget, register, store, stored } from "./setup.js";
import { dashboardOf, describe, edgesOf, takeToken, wayOf } from "./system.js";
import { registrationTrouble, trouble } from "./troubles.js";
import { make, write } from "./views/dom.js";
import "./views/copy_lines.js";
import "./views/pane.js";
import "./views/processes.js";
import "./views/way.js";

/** @typedef {import("./system.js").SystemView} SystemView */

const NAMES = ["Ann", "Bob", "Cleo"];
const DIALECTS = ["ourchat-v2", "pipe", "service"];
const OPENING = ["Hello, Bob!", "Hi, Ann! Which protocol is this?"];
const RETRY_SECONDS = 15;
const WATCH_MS = 2_000;
const TALK_MS = 400;
const TALK_AFTER_KILL_MS = 10_000;
const ANNOUNCE_MS = 3_000;

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const sleep = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

const conversation = new Conversation();
/** @type {SystemView|null} */
let system = null;
let edges = edgesOf(null);
let talking = 0;
/** Why there are no accounts yet. */
let waiting = "";

/** Registers what is missing of so many accounts; tries until it succeeds. @param {number} count */
async function accounts(count) {
  const state = stored();
  while (state.accounts.length < count) {
    const number = state.accounts.length;
    try {
      const made = await register(edges[number % edges.length].url, NAMES[number], state.chat);
      state.accounts.push(made.account);
      state.chat = made.chat;
      store(state);
    } catch (error) {
      for (let seconds = RETRY_SECONDS; seconds; seconds -= 1) {
        waiting = registrationTrouble(/** @type {Error} */ (error), seconds);
        write(byId("trouble"), waiting);
        await sleep(1000);
      }
    }
  }
  waiting = "";
  write(byId("trouble"), waiting);
  return state;
}

/** @param {number} number */
function addPerson(number) {
  const { accounts, chat } = stored();
  conversation.chat = chat;
  const codec = /** @type {import("./codecs/events.js").Codec} */ (CODECS.get(DIALECTS[number]));
  const person = new Person(accounts[number], codec, edges[number % edges.length], conversation);
  conversation.people.push(person);
  const pane = /** @type {any} */ (make(/** @type {any} */ ("person-pane"), {}));
  byId("panes").append(pane);
  pane.show(person);
  person.connect();
}

/** The first messages, each after the one before it has arrived. */
async function open() {
  for (const [number, text] of OPENING.entries()) {
    const [reader, person] = [conversation.people[1 - number], conversation.people[number]];
    while (![person, reader].every((one) => one.state === "connected")) await sleep(50);
    conversation.send(person, text);
    while (!reader.lines.some((line) => line.text === text)) await sleep(20);
  }
}

/** Accounts of an earlier installation: begin again. */
conversation.loginRejected = (person) => {
  if (!person.error.includes("unknown account")) return;
  forget();
  location.reload();
};

/** The client then takes its user, as a visitor, into the conversation of this page. */
function visit() {
  localStorage.setItem("dragoman.visit", String(conversation.chat));
}

function talk() {
  const button = byId("talk");
  const isOn = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(isOn));
  clearInterval(talking);
  if (!isOn) return;
  let number = 0;
  talking = setInterval(() => {
    const { people } = conversation;
    conversation.send(people[number % people.length], `Message ${number += 1}`);
  }, TALK_MS);
}

/** While a process is away, messages go on, so that the counters can show something. */
function talkAfterKill() {
  const isOn = () => byId("talk").getAttribute("aria-pressed") === "true";
  if (isOn()) return;
  talk();
  setTimeout(() => { if (isOn()) talk(); }, TALK_AFTER_KILL_MS);
}

/** @param {SystemView|null} view */
function headline(view) {
  if (!view?.supervised) return view ? view.edge : "";
  const services = view.processes.filter(({ ops, port }) => ops && !port).length;
  return `${edges.length} edge${edges.length === 1 ? "" : "s"} · ${services} services · ready in ${view.ready_seconds} s`;
}

/** @param {SystemView|null} view */
function showSystem(view) {
  write(byId("headline"), headline(view));
  const link = /** @type {HTMLAnchorElement} */ (byId("dashboard"));
  link.href = dashboardOf(view);
  link.hidden = !dashboardOf(view);
}

/** @param {SystemView|null} view */
function linesFor(view) {
  const [{ url }] = edges;
  const tcp = view?.processes.find(({ tcp_port }) => tcp_port);
  return [
    { title: "Join this conversation from a terminal", lines: [
      `dragoman client ${url} --dialect service`, "/register Zoe orange", `/join ${conversation.chat}`, `/chat ${conversation.chat}`, "Hello from a terminal!"] },
    { title: "See frames by any WebSocket client", lines: [`python -m websockets ${url}/ws/pipe`] },
    tcp ? { title: "Plain TCP", lines: [`nc ${location.hostname} ${tcp.tcp_port}`] }
      : { title: "Plain TCP, after a restart with", lines: ["dragoman up --tcp-port 54088"] },
  ];
}

/** What the page says about itself, at most every few seconds, for screen readers. */
function announce() {
  let seen = 0;
  setInterval(() => {
    const { sent, received, due, lost } = conversation.counts();
    if (sent === seen) return;
    const { latest } = conversation;
    const text = sent - seen === 1 && latest ? `${latest.sender}: ${latest.text}` : `${sent - seen} new messages`;
    write(byId("announcer"), `${text}. Received ${received} of ${due}, lost ${lost}.`);
    seen = sent;
  }, ANNOUNCE_MS);
}

async function watch() {
  /** @type {import("./ledger.js").Entry|null} */
  let found = null;
  for (;;) {
    if (conversation.latest !== found) {
      found = conversation.latest;
      conversation.times = await wayOf(conversation.chat);
      conversation.changed();
    }
    const view = await describe();
    if (view) system = view;
    /** @type {any} */ (byId("processes")).update(view);
    showSystem(system);
    const open = conversation.people.filter((person) => person.state === "connected");
    const troubles = conversation.people.map((person) => trouble({
      answers: view !== null || open.length > 0,
      ready: system?.processes.find(({ name }) => name === person.edge.name)?.ready ?? true,
      unopened: person.unopened, othersConnected: open.length > 0, error: person.error, label: person.codec.label,
      edge: person.edge.name, url: person.edge.url,
    }));
    write(byId("trouble"), waiting || (troubles.find((text) => text) ?? ""));
    await sleep(WATCH_MS);
  }
}

async function start() {
  takeToken();
  system = await describe();
  edges = edgesOf(system);
  /** @type {any} */ (byId("processes")).show(talkAfterKill);
  /** @type {any} */ (byId("processes")).update(system);
  showSystem(system);
  await accounts(2);
  [0, 1].forEach(addPerson);
  /** @type {any} */ (byId("way")).show(conversation);
  /** @type {any} */ (byId("copy")).show(linesFor(system));
  for (const kind of ["click", "auxclick"]) byId("chat").addEventListener(kind, visit);
  byId("talk").addEventListener("click", talk);
  byId("third").addEventListener("click", async () => {
    byId("third").setAttribute("disabled", "");
    await accounts(3);
    addPerson(2);
    byId("compose-Cleo").focus();
  });
  announce();
  watch();
  await open();
}

start();
