// The module's one export.

// The loader has found a cookie or a queue that it does not judge itself.
const resume = async () => {
  if (!cookieNames().includes(page.config.name)) {
    // Who has deleted the cookie has taken back what it granted, sent or not.
    const store = recall();
    drop(store, ({ granted, layer }) => granted.length && layer !== "placeholder");
    keep(store);
  }
  const now = ask();
  if (now.damaged) writeCookie(now);
  publish(now);
  if (now.show === "reopen") page.showReopen();
  // Why it asks again is said in the notice; that it asks does not wait for ever for the words.
  else page.showLayer(now.show === "again" && (await fetchNotice().catch(() => 0))?.texts?.outdated);
  await heed(now);
  drain();
};

export const start = async (response, loader) => {
  page = loader;
  // Instead of wasm-bindgen's own initialiser: the module imports nothing, so this is all there is to do.
  wasm = (await WebAssembly.instantiateStreaming(response)).instance.exports;
  return { resume, decide, open };
};
