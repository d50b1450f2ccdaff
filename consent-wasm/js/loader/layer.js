// The first layer, the control that opens the settings again, and the words that confirm what was done.

let layer;
let reopen;
const root = host("banner");
const status = el("p", { role: "status", class: "toast" });
root.shadowRoot.append(status);

let hush;
const say = (text) => {
  // The live region is there before its words, or they are not read out.
  status.textContent = text;
  clearTimeout(hush);
  if (text) hush = setTimeout(say, 6e3, "");
};

// A press that needs the core: marks the control as busy until the core has answered.
const press = (work, undo) => async (event) => {
  const node = event.currentTarget;
  node.ariaBusy = "true";
  try {
    await work(node);
  } catch (error) {
    undo?.();
    say(texts.error);
    console.warn(error);
  }
  node.ariaBusy = null;
};

const openSettings = press((node) => settings(node));

// A choice on the first layer. The layer goes at once and comes back only if the choice could not be taken.
const choice = (text, control, method, ids, more) =>
  button(
    text,
    control,
    press(
      () => {
        const done = act(method, "first", ids, control, signalled);
        hideLayer();
        return done;
      },
      () => showLayer(asksAgain),
    ),
    more,
  );

// What the keyboard reaches is not left under the layer, the end of the page neither (WCAG 2.4.11).
const keepClear = (height) => {
  const { style } = document.documentElement;
  style.scrollPaddingBottom = style.paddingBottom = height;
};

const hideLayer = () => {
  if (layer) {
    const focused = root.shadowRoot.activeElement;
    layer.remove();
    layer = null;
    keepClear("");
    showReopen();
    // What had the focus is gone: the control that undoes the choice is where a keyboard would look next.
    if (focused) reopen.focus();
  }
};

let asksAgain;
// `again` says why a person is asked again.
const showLayer = (again) => {
  asksAgain = again;
  reopen?.remove();
  layer?.remove();
  const policy = el("a", { href: config.policy, class: "link" }, texts.privacy_policy);
  const equal = config.preset === "choice";
  layer = el(
    "section",
    { class: "layer", "aria-labelledby": "title", dir: "auto" },
    el(
      "div",
      { class: "words" },
      el("h2", { id: "title" }, texts.title),
      again && note(again),
      el("p", {}, texts.intro),
      signalled && note(texts.signal_said),
      el("p", { class: "hint" }, texts.withdraw_hint, equal && " ", equal && policy),
    ),
    el(
      "div",
      { class: "actions" },
      ...(equal
        ? [choice(texts.accept, "accept", "accept-all", optional()), choice(texts.reject, "reject", "reject-all", [])]
        : [policy, choice(texts.close, "close", "close", [], { ariaLabel: texts.close_label })]),
      button(texts.settings, "settings", openSettings),
    ),
  );
  // There is something to decide: the core comes behind what the page needs for its first paint. That it could not be had now is
  // seen when somebody decides.
  setTimeout(() => load().catch(() => {}), 300);
  root.shadowRoot.append(layer);
  // First in the order of the keyboard, without taking the focus.
  place().prepend(root);
  keepClear(layer.offsetHeight + 32 + "px");
  emit("shown");
};

const showReopen = () => {
  if (!layer && !framed) {
    reopen ||= button(texts.reopen, "open", openSettings, { class: "reopen", dir: "auto" });
    // A node that is put where it is loses the focus all the same.
    if (!reopen.isConnected) {
      root.shadowRoot.append(reopen);
      place().append(root);
    }
  }
};
