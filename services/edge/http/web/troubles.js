/** What is wrong, in sentences that say what to do. Pure. */

/** After so many connections in a row that were never opened, something is wrong beside a restart. */
export const UNOPENED = 4;

/**
 * @param {{answers: boolean, ready: boolean, unopened: number, othersConnected: boolean, error: string, label: string,
 *   edge: string, url: string}} state  `answers`: the system answers by HTTP; `ready`: the user's edge does.
 * @returns {string}  Empty if nothing is wrong.
 */
export function trouble({ answers, ready, unopened, othersConnected, error, label, edge, url }) {
  if (!answers) return "The system does not answer. Start it again with `dragoman up`: this page reconnects by itself.";
  if (error) return `${edge} rejects the login over ${label}: ${error}. Choose another dialect, or reload the page for new accounts.`;
  if (unopened < UNOPENED) return "";
  if (!ready) return `${edge} does not run just now. Its supervisor starts it again: this page reconnects by itself.`;
  if (othersConnected) return `${edge} accepts no connection over ${label}. Choose another dialect for this user.`;
  return `The browser cannot open a WebSocket to ${url}, although the system answers. An extension, a proxy or a policy ` +
    "blocks it: allow WebSockets to this address, then reload the page.";
}

/** Why no account could be made. @param {Error & {opened?: boolean}} error @param {number} seconds  Until the next try. */
export function registrationTrouble(error, seconds) {
  const again = `This page tries again in ${seconds} s.`;
  if (error.opened === false) {
    return "The browser cannot open a WebSocket. If the system runs, an extension, a proxy or a policy blocks it: allow " +
      `WebSockets to this address. ${again}`;
  }
  return `An account could not be registered: ${error.message}. From one address five a minute are allowed ` +
    `(limits.registrations_per_minute), and other visitors may have used them. ${again}`;
}
