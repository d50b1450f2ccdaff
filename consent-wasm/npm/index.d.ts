import type { ConsentApi } from "./consent.js";

export * from "./consent.js";

export interface LoadOptions {
  /** A language tag. Without it the page's language decides, then the browser's. */
  lang?: string;
  /** Draw nothing: the page draws for itself and has `window.consent` only. */
  headless?: boolean;
}

/**
 * Loads the banner once, and resolves with `window.consent` when it is known what holds.
 *
 * `src` is the address of the site's `consent.js`, absolute or relative to the page. A page has one banner: while one is there or on
 * its way, a later call gets that one, whatever it asks for. Rejects with an `Error` if the script could not be loaded (nothing is
 * granted then; a later call tries again), and where there is no page, as on a server.
 *
 * There is no nonce to pass: the script is imported, and an import carries the nonce of the script that calls this.
 */
export function load(src: string | URL, options?: LoadOptions): Promise<ConsentApi>;
