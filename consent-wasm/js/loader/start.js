// From here on it runs.

// What the core may use of the page; js/core/judge.js takes it apart in the same order.
const page = [config, address, signals, signalled, framed, read, expand, el, host, hold, say, emit, pressed, act, once, showLayer, hideLayer, showReopen, () => reopen];

new MutationObserver(scan).observe(document, { childList: true, subtree: true });
document.addEventListener("DOMContentLoaded", scan);

const doubtful = (!framed || config.frames) && (cookies.length || pending);
const known = doubtful && remembered();

if (known) hold("valid", known.ids, expand(known.ids, known.version));
// Denied: for good if nobody has decided, and else until the core has judged, and if it cannot be had.
else hold("none", [], expand([]));

if (known || !doubtful) {
  if (known) {
    hideLayer();
    showReopen();
  } else showLayer();
  announce();
} else
  load()
    .then((core) => core.resume())
    .catch((error) => {
      console.warn(error);
      showReopen();
    })
    .then(announce);
