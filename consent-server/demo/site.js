// The demo site's own script: text size, the list "What ran on this page, and why", and the blocks that depend on the notice.

const ledger = document.getElementById("ledger");
const rows = new Map();

// One line of the list: what it is, whether it runs, and why.
function note(what, state, why) {
  if (!ledger) return;
  let row = rows.get(what);
  if (!row) {
    row = document.createElement("li");
    row.append(document.createElement("strong"), document.createElement("span"));
    rows.set(what, row);
    ledger.append(row);
  }
  row.dataset.state = state;
  row.firstChild.textContent = what;
  row.lastChild.textContent = why;
}

const time = () => new Date().toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const ran = new Map();

// Called by the gated scripts when they run.
window.demoRan = (what, result) => {
  ran.set(what, `Ran at ${time()}: ${result}.`);
  describe();
};

const hasCookie = (name) => document.cookie.split("; ").some((pair) => pair.startsWith(name + "="));

function describe() {
  const { consent } = window;
  const status = consent ? consent.status() : "none";
  const granted = (category) => Boolean(consent?.granted(category));
  note("Your choice", status === "valid" ? "on" : "off", {
    none: "None yet. Everything optional is off.",
    valid: "Kept in the cookie “consent”. Optional and on: " + (["statistics", "marketing"].filter(granted).join(", ") || "nothing") + ".",
    expired: "Too old to hold. Everything optional is off until you choose again.",
    outdated: "Something changed since. What changed is off until you choose again.",
  }[status] || "");
  for (const what of ["statistics.js", "later.js"]) {
    if (ran.has(what)) {
      const stopped = granted("statistics") ? "" : " You have switched statistics off since: it does not run on the next page.";
      note(what, granted("statistics") ? "on" : "off", ran.get(what) + stopped);
    } else note(what, "off", "Has not run, because website statistics are off.");
  }
  frame("visitors.html", 'iframe[data-src="/visitors.html"]', "website statistics", granted("statistics"));
  frame("offer.html", 'iframe[data-src="/offer.html"]', "marketing", granted("marketing"));
  note(
    "demo_text_size",
    hasCookie("demo_text_size") ? "on" : "off",
    hasCookie("demo_text_size")
      ? "A functional cookie: keeps the text size you chose. It needs no consent, because you asked for it."
      : "A functional cookie. Not set: it is set only when you change the text size above.",
  );
}

function frame(what, selector, category, isGranted) {
  const node = document.querySelector(selector);
  if (!node) return;
  const loaded = node.hasAttribute("src");
  if (!loaded) note(what, "off", `Not loaded, because ${category} is off. A placeholder stands in its place.`);
  else if (isGranted) note(what, "on", `Loaded, because ${category} is on.`);
  else note(what, "on", "Loaded for this page view only, because you asked for it in its place.");
}

function textSize() {
  const buttons = [...document.querySelectorAll("[data-text-size]")].filter((node) => node.localName === "button");
  const apply = (size) => {
    document.documentElement.dataset.textSize = size;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.textSize === size));
  };
  const kept = document.cookie.match(/(?:^|; )demo_text_size=(small|normal|large)/);
  if (kept) apply(kept[1]);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      apply(button.dataset.textSize);
      document.cookie = `demo_text_size=${button.dataset.textSize}; Path=/; Max-Age=${30 * 86400}; SameSite=Lax`;
      describe();
    });
  }
}

// A gated script that comes later. Cloned, not made: works where Trusted Types are required.
function addLater() {
  document.body.append(document.getElementById("later").content.cloneNode(true));
}

// "marketing" exists only in the preset "choice". An element of a category that the notice does not know would stay blocked for
// good, so the block is made only where it is known.
async function offer() {
  const block = document.getElementById("offer");
  const answer = block && (await fetch("/v1/sites/demo/notice?lang=en").catch(() => undefined));
  const notice = answer?.ok && (await answer.json());
  if (!notice || !notice.categories.some((category) => category.id === "marketing")) return;
  const frame = document.createElement("iframe");
  frame.className = "embed";
  frame.title = "Newsletter";
  frame.width = "640";
  frame.height = "240";
  frame.dataset.category = "marketing";
  frame.dataset.service = "newsletter-panel";
  frame.dataset.src = "/offer.html";
  block.append(frame);
  block.hidden = false;
  describe();
}

for (const event of ["consent:ready", "consent:change"]) document.addEventListener(event, describe);
// Frames are filled by the gate after its event; the list follows the attribute.
new MutationObserver(describe).observe(document.body, { subtree: true, attributes: true, attributeFilter: ["src"] });
for (const button of document.querySelectorAll("[data-open-settings]")) {
  button.addEventListener("click", () => window.consent?.open());
}
textSize();
describe();
setTimeout(addLater, 600);
offer();
