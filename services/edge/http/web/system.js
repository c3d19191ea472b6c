/**
 * The processes behind the page, as their supervisor describes them.
 *
 * @typedef {{name: string, ready: boolean, starts: number, ops: number, port: number, tcp_port: number}} Process
 * @typedef {{edge: string, supervised: boolean, processes: Process[], ready_seconds: number, error: string,
 *   dashboard: number}} SystemView
 * @typedef {{index: number, trace: string, accepted_by: string, accepted: number, committed: number, acknowledged: number,
 *   arrivals: [string, number][], confirmed: number, recipients: number}} MessageTimes  Unix milliseconds, 0: not known.
 */

const TOKEN = "dragoman.token";

/** Null if the system does not answer. @returns {Promise<SystemView|null>} */
export async function describe() {
  try {
    const response = await fetch("/web/api/system");
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/** Returns the error, a sentence; empty if the process was killed. @param {string} name @param {string} token */
export async function kill(name, token) {
  try {
    const response = await fetch("/web/api/kill", { method: "POST", body: JSON.stringify({ kill: name, token }) });
    if (response.ok) return "";
    if (response.status === 503) return "The supervisor does not answer. Is `dragoman up` still running?";
    const isJson = response.headers.get("Content-Type") === "application/json";
    return isJson ? (await response.json()).error : await response.text();
  } catch {
    return "This edge does not answer just now. Try again in a moment.";
  }
}

/** The way of the chat's last message, by the clocks of its processes; null without the token, or if it is not known.
 * @param {number} chat @returns {Promise<MessageTimes|null>} */
export async function wayOf(chat) {
  if (!token()) return null;
  try {
    const response = await fetch("/web/api/way", { method: "POST", body: JSON.stringify({ chat, token: token() }) });
    return response.ok ? (await response.json()).way : null;
  } catch {
    return null;
  }
}

/** The token of the address that `dragoman up` prints, which leaves the address bar at once. */
export function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("kill");
  if (found) {
    sessionStorage.setItem(TOKEN, found);
    history.replaceState(null, "", location.pathname);
  }
}

export const token = () => sessionStorage.getItem(TOKEN) ?? "";

/** @param {string} value */
export const setToken = (value) => sessionStorage.setItem(TOKEN, value);

/** The page of the whole system, on this machine. Empty without one. @param {SystemView|null} view */
export const dashboardOf = (view) => (view?.dashboard ? `http://${location.hostname}:${view.dashboard}/` : "");

/** The addresses of the edges. Without a supervisor, that of the page. @param {SystemView|null} view */
export function edgesOf(view) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const found = (view?.processes ?? []).filter(({ port }) => port)
    .map(({ name, port }) => ({ name, url: `${scheme}://${location.hostname}:${port}` }));
  return found.length ? found : [{ name: view?.edge ?? "edge", url: `${scheme}://${location.host}` }];
}
