// The module's one export.

// Why it asks again is said by the notice; that it asks does not wait for ever for the words.
let box;
const again = async () => {
  try {
    const { t, changes } = await fetchNotice();
    if (box) return box;
    box = host("changes", settingsSheet);
    box.shadowRoot.append(el(["p", { class: "note" }, t.outdated]));
    if (changes) box.shadowRoot.append(el(changes));
    return box;
  } catch {}
};

const show = async (now) => {
  if (now.show === "reopen") {
    hideLayer();
    showReopen();
  } else showLayer(now.show === "again" && (await again()));
};

// The loader has found a cookie or a queue that it does not judge itself.
const resume = async () => {
  if (!read().length) {
    // Who has deleted the cookie has taken back what it granted, sent or not.
    const store = recall();
    drop(store, ({ granted, layer }) => granted.length && layer !== "placeholder");
    keep(store);
  }
  const now = await ask();
  if (now.damaged) writeCookie(now);
  publish(now);
  await show(now);
  await heed(now);
  drain();
};

// Something was decided elsewhere: in another tab, or while this page was asleep.
const follow = async () => {
  const now = await ask();
  publish(now);
  return show(now);
};

export const start = async (response, loader) => {
  [config, address, signals, signalled, framed, read, expand, el, host, hold, say, emit, pressed, act, once, showLayer, hideLayer, showReopen, reopen] = loader;
  // Instead of wasm-bindgen's own initialiser: the module imports nothing, so this is all there is to do.
  try {
    wasm = (await WebAssembly.instantiateStreaming(response)).instance.exports;
  } catch {
    judging = judgeThere;
  }
  return { resume, follow, decide, open, declare };
};
