// From here on it runs.

// What the core may use of the page; the loader's parts that it would otherwise have to carry again.
const page = { config, address, signals, el, host, button, note, hold, say, emit, act, once, showLayer, hideLayer, showReopen, reopen: () => reopen };

new MutationObserver((changes) => {
  if (changes.some((change) => change.addedNodes.length)) scan();
}).observe(document, { childList: true, subtree: true });
document.addEventListener("DOMContentLoaded", scan);

const doubtful = !framed && (cookies.length || pending);
const known = doubtful && remembered();

if (known) hold("valid", known.ids, expand(known.ids, known.version));
// Denied: for good if nobody has decided, and else until the core has judged, and if it cannot be had.
else hold("none", [], expand([]));

if (known || !doubtful) {
  if (known) showReopen();
  else if (!framed) showLayer();
  announce();
} else
  load()
    .then((core) => core.resume())
    .catch((error) => {
      console.warn(error);
      showReopen();
    })
    .then(announce);
