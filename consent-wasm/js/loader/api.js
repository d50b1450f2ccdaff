// window.consent and the events: what the page's own scripts may know and ask for. Typed in consent.d.ts.

let state;

const emit = (name) => document.dispatchEvent(new CustomEvent("consent:" + name, { detail: state }));

const granted = (id) => allowed.includes(id);

// What holds from now on. `ids` are the optional ids that are granted, `all` every id that may be used.
const hold = (status, ids, all) => {
  const changed = state && state.status + state.granted + allowed !== status + ids + all;
  state = { status, granted: ids };
  allowed = all;
  // Before the gate, so that what it starts finds its platform told. A first visit adds nothing to what was said at the start.
  if (changed ?? known) adapters?.map((update) => update(granted));
  scan();
  if (changed) emit("change");
};

let settle;
const ready = new Promise((resolve) => (settle = resolve));
const announce = () => {
  settle(state);
  emit("ready");
};

const call = async (method, ids = []) => {
  await act(method, "none", ids, "script");
  return state;
};

window.consent = {
  ready,
  status: () => state.status,
  granted,
  open: () => settings(document.activeElement),
  acceptAll: () => call("accept-all", optional()),
  rejectAll: () => call("reject-all"),
  save: (ids) => call("save", [...ids]),
  forget: () => call("forget"),
  on: (name, listener) => {
    const handle = (event) => listener(event.detail);
    const type = "consent:" + name.replace("consent:", "");
    // Who asks after it has happened is told at once.
    if (type === "consent:ready") ready.then(listener);
    else document.addEventListener(type, handle);
    return () => document.removeEventListener(type, handle);
  },
};
