/** Letters between the service worker and the pages about notifications. */

/** To a page: the user has clicked the notification of this message. */
export interface Clicked {
  kind: "clicked";
  /** Of the message, below the chat's own path. */
  path: string;
}
/** To the pages: the browser has replaced its subscription. */
export interface Replaced {
  kind: "replaced";
}
/** To the pages: a notification is shown, perhaps of a message that is read by now. */
export interface Appeared {
  kind: "shown";
}
export type Letter = Clicked | Replaced | Appeared;

/** Stays with a notification. */
export interface Kept {
  path: string;
  chat: number;
  index: number;
}
