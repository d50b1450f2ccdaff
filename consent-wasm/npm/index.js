// Puts a site's consent.js into the page. Importing this does nothing, so that it may be imported where there is no page.

let loading;
let failures = 0;

const start = async (src, { lang, headless }) => {
  if (typeof document === "undefined") throw Error("consent: there is no page here to load into");
  // The page may have the script's own line too: there is one banner, whoever comes first.
  if (window.consent?.ready) await window.consent.ready;
  else {
    const address = new URL(src, document.baseURI);
    if (lang) address.searchParams.set("lang", lang);
    if (headless) address.searchParams.set("headless", "");
    // A module that failed to load is remembered as failed under its address: another try needs another one.
    if (failures) address.hash = failures;
    const announced = new Promise((resolve) => document.addEventListener("consent:ready", resolve, { once: true }));
    // An imported script cannot see its own address. It is imported because Trusted Types forbid to set the address of a script
    // element, and because an import carries the nonce of the script that asks for it.
    window.consentFrom = address.href;
    await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ address.href).catch((cause) => {
      throw Error(`consent: could not load ${address.href}`, { cause });
    });
    await announced;
  }
  return window.consent;
};

export const load = (src, options = {}) =>
  (loading ??= start(src, options).catch((error) => {
    failures++;
    loading = undefined;
    throw error;
  }));
