/**
 * The consent of whoever uses this page, as `consent.js` offers it to the page's own scripts.
 *
 * `consent.js` loads asynchronously: until it has, `window.consent` is undefined. Wait for the event `consent:ready` on `document`,
 * or put your script behind the gate (`type="text/plain" data-category="…"`) and let it be started.
 */

/** How the consent stands. `outdated`: something changed since the last choice, and what changed is denied until it is asked again. */
export type ConsentStatus = "none" | "valid" | "expired" | "outdated" | "forgotten";

/** A category such as `statistics`, or one service of it such as `statistics:page-counter`. */
export type ConsentId = string;

/** What holds now: the detail of every event. */
export interface ConsentState {
  readonly status: ConsentStatus;
  /** The optional ids that are granted: a category, or services where only some of a category are. Necessary ones are not listed. */
  readonly granted: readonly ConsentId[];
}

export interface ConsentEvents {
  /** What holds is known. Fired once on each page view. */
  "consent:ready": CustomEvent<ConsentState>;
  /** A layer that asks, or the settings, came into view. */
  "consent:shown": CustomEvent<ConsentState>;
  /**
   * What holds has changed. After a refusal this is the moment to stop: a script that has run cannot be unloaded by anyone but
   * itself. Cookies and storage that the notice names for the refused categories are deleted right after.
   */
  "consent:change": CustomEvent<ConsentState>;
}

export type ConsentEventName = "ready" | "shown" | "change" | keyof ConsentEvents;

export interface ConsentApi {
  /** Resolves once what holds is known. Never rejects: where that cannot be found out, everything optional is denied. */
  readonly ready: Promise<ConsentState>;

  status(): ConsentStatus;

  /** Whether a category or service may be used now. Necessary ones: yes. Unknown ones: no. */
  granted(id: ConsentId): boolean;

  /** Opens the settings. Does nothing in a frame of another site. */
  open(): Promise<void>;

  /**
   * Grants every optional category.
   *
   * Rejects with an `Error`, and records nothing, unless it is called from a person's own act (a click, a key: it needs transient
   * user activation) on a page that is not in a frame of another site.
   */
  acceptAll(): Promise<ConsentState>;

  /** Refuses every optional category. Always works. */
  rejectAll(): Promise<ConsentState>;

  /**
   * Grants exactly these optional ids and refuses all others.
   *
   * With an id to grant it needs a person's own act, as {@link acceptAll} does; without one it always works. Rejects with an
   * `Error`, and records nothing, if the notice does not know an id.
   */
  save(ids: Iterable<ConsentId>): Promise<ConsentState>;

  /** Revokes everything and deletes the stored choice; the next choice gets a new consent ID. Always works. */
  forget(): Promise<ConsentState>;

  /** Listens; returns a function that stops. A listener for `ready` is called even if that has happened already. */
  on(event: ConsentEventName, listener: (state: ConsentState) => void): () => void;
}

declare global {
  interface Window {
    readonly consent?: ConsentApi;
  }
  interface DocumentEventMap extends ConsentEvents {}
}
