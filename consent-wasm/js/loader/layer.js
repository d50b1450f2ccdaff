// The first layer, the control that opens the settings again, and the words that confirm what was done.

// The page may carry the layer in its HTML (banner.html): then it is there already, and needs hands only.
let layer = document.querySelector("[data-consent=banner]");
let reopen;
const root = host("control");
const status = el(["p", { role: "status", class: "toast" }]);
root.shadowRoot.append(status);

// Inside another site, where the site has not asked for more.
const outside = framed && !config.frames;
// Nothing of ours is drawn: the page draws for itself, or is shown inside another site.
const mute = config.headless || outside;
if (!mute) documentElement.append(root);

// The live region is there before its words, or they are not read out.
const say = (text) => {
  status.textContent = text;
  if (text) setTimeout(say, 6e3, "");
};

// A press on a control among others: marks it as busy until the core has answered. `tell` says what went wrong.
const pressed = (work, tell = say) => async (event) => {
  const node = event.target;
  const control = node.dataset.consentAction;
  if (!control) return;
  // A layer that came in the page's HTML is a form, for as long as there was no script.
  event.preventDefault();
  node.ariaBusy = "true";
  try {
    await work(control, node);
  } catch (error) {
    // In a frame of another site: why it cannot be done there.
    tell((framed && config.frames) || config.error);
    console.warn(error);
  }
  node.ariaBusy = null;
};

// A press on the first layer, or on the control that opens the settings: what has no method opens them. The layer goes at once and
// comes back only if the choice could not be taken.
const choose = pressed((control, node) => {
  const method = node.value;
  if (!method) return settings(node);
  const done = act(method, "first", control === "accept" ? optional() : [], control, signalled);
  hideLayer();
  return done.catch((error) => {
    if (!layer) showLayer(asksAgain);
    throw error;
  });
});

// What the keyboard reaches is not left under the layer or the control, the end of the page neither (WCAG 2.4.11).
const clear = new CSSStyleSheet();
document.adoptedStyleSheets.push(clear);
const keepClear = (height) => clear.replaceSync(`@media screen{html{padding-bottom:${height}px;scroll-padding-bottom:${height}px}}`);

const hideLayer = () => {
  if (layer) {
    const focused = layer.contains(document.activeElement);
    layer.remove();
    layer = null;
    showReopen();
    // What had the focus is gone: the control that undoes the choice is where a keyboard would look next.
    if (focused) reopen.focus();
  }
};

let asksAgain;
// `again` says why a person is asked again.
const showLayer = (again) => {
  asksAgain = again;
  if (mute) return;
  reopen?.remove();
  if (!layer?.shadowRoot) {
    layer?.remove();
    layer = host("banner");
    layer.shadowRoot.append(el(["slot", 0]), el(["slot", { name: "a" }]));
    layer.append(...config.l.map((part) => el(part)));
  }
  layer.ariaLabel = layer.children[0].textContent;
  layer.onclick = choose;
  // After heading and text: that the browser's signal was heard.
  layer.children[2].hidden = !signalled;
  if (again) layer.children[0].after(again);
  // There is something to decide: the core comes behind what the page needs for its first paint. That it could not be had now is
  // seen when somebody decides.
  setTimeout(() => load().catch(() => {}), 300);
  // First in the order of the keyboard, without taking the focus. Beside the body, not in it: there it is drawn before the body has
  // begun, and stays when an application draws its body anew. One that came in the page's HTML goes there too, unless somebody is in it.
  if (!layer.contains(document.activeElement)) documentElement.prepend(layer);
  new ResizeObserver(() => layer && keepClear(layer.offsetHeight + 32)).observe(layer);
  emit("shown");
};

const showReopen = () => {
  if (!layer && !mute) {
    reopen ||= el(["button", { "data-consent-action": "open", class: "reopen" }, config.reopen]);
    reopen.onclick = choose;
    // A node that is put where it is loses the focus all the same.
    if (!reopen.isConnected) root.shadowRoot.append(reopen);
    keepClear(70);
  }
};
