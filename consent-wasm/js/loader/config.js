// Facts of this page and of this site. Read once, before anything else runs.

// Twice on a page (a template and a tag manager, say) is once: two gates would start the same scripts twice.
if (window.consent?.ready) return;

// The server puts the site's configuration here when it serves the file; see ARCHITECTURE.md, "What the server tells the widget".
const config = __CONSENT_CONFIG__;

// The script's own address says where the service is; the page's address does not. Imported (below), it is told its address.
const script = document.currentScript?.src || consentFrom;
const address = (path) => new URL(path, script);

// Platforms that are told what holds. The first thing they hear is that nothing does.
const adapters = config.a?.map(([start, map, options]) => start(map, options));

// The page is in another of the notice's languages than the browser's: then this file in that language takes over. By import(),
// because Trusted Types forbid to set the address of a script.
const { documentElement } = document;
const [language] = documentElement.lang.split("-");
if (config.langs?.includes(language)) {
  window.consentFrom = script;
  import(address("?lang=" + language));
  return;
}

// In a frame of another site nothing can be granted: a page could lay it, transparent, under somebody's clicks.
let framed = false;
try {
  top.location.href;
} catch {
  framed = true;
}

const signals = { gpc: navigator.globalPrivacyControl === true, dnt: navigator.doNotTrack === "1" };
const signalled = signals.gpc || signals.dnt;
