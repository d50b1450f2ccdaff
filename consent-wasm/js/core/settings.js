// The settings dialog.

const settingsSheet = new CSSStyleSheet();
settingsSheet.replaceSync(__SETTINGS_CSS__);

let dialog;

const open = async (opener) => {
  const notice = await fetchNotice();
  // A second press, while the texts were on their way or over an open dialog.
  if (dialog) return;
  const holder = page.host("settings", settingsSheet);
  dialog = draw(notice);
  dialog.onclose = () => {
    holder.remove();
    dialog = 0;
    (opener?.isConnected ? opener : page.reopen())?.focus();
  };
  holder.shadowRoot.append(dialog);
  document.body.append(holder);
  dialog.showModal();
  page.emit("shown");
};

const draw = ({ texts, categories, controller, privacy_policy }) => {
  const { el, button, note } = page;
  const { granted, status: stands } = ask();
  const status = el("p", { role: "status" });
  const switches = categories.map((category) => toggle(category, texts, granted));
  const identity = el("dl");
  tell(identity, texts);

  const cancel = button(texts.cancel, "close", () => dialog.close());
  const press = (work) => async (event) => {
    const node = event.currentTarget;
    node.ariaBusy = "true";
    status.textContent = "";
    try {
      await work();
    } catch (error) {
      console.warn(error);
      status.textContent = texts.error;
    }
    node.ariaBusy = null;
  };
  const save = press(async () => {
    const ids = switches.flatMap(({ chosen }) => chosen());
    await page.act("save", "settings", ids, "save", signalled());
    dialog.close();
    page.say(texts.saved);
  });
  const forget = press(async () => {
    await page.act("forget", "settings", [], "forget");
    for (const { clear } of switches) clear();
    // There is nothing left to cancel.
    cancel.textContent = texts.close;
    receipt = 0;
    tell(identity, texts);
    status.textContent = texts.forgotten;
  });

  return el(
    "dialog",
    { "aria-labelledby": "settings", dir: "auto" },
    el("header", {}, el("h2", { id: "settings", tabIndex: -1, autofocus: true }, texts.settings_title)),
    el(
      "div",
      { class: "body" },
      el("p", {}, texts.settings_intro),
      stands === "outdated" && note(texts.outdated),
      signalled() && note(texts.signal_said),
      ...switches.map(({ node }) => node),
      el(
        "div",
        { class: "about" },
        identity,
        el("p", { id: "forgetting" }, texts.forget_hint),
        el("dl", {}, pair(texts.controller, ...["name", "address", "contact", "dpo"].map((line) => controller[line] && el("div", {}, controller[line])))),
        el("a", { class: "link", href: privacy_policy }, texts.privacy_policy),
      ),
    ),
    el(
      "footer",
      {},
      status,
      button(texts.forget, "forget", forget, { "aria-describedby": "forgetting" }),
      cancel,
      button(texts.save, "save", save),
    ),
  );
};

const pair = (term, ...description) => page.el("div", {}, page.el("dt", {}, term), page.el("dd", {}, ...description));

// Which ID the choice is kept under, and since when.
const tell = (identity, texts) => {
  const { cookie, subject } = ask();
  // Who has only refused carries no ID; the one of the record just made is shown this once.
  const id = subject || receipt?.subject;
  const format = new Intl.DateTimeFormat(page.config.lang, { dateStyle: "long", timeStyle: "short" });
  identity.replaceChildren(
    pair(texts.consent_id, id ? page.el("code", {}, id) : texts.no_consent_id),
    // The date is in the cookie, in seconds.
    cookie && pair(texts.chosen_on, format.format(cookie.split(".")[2] * 1e3)),
  );
};

// One category: its switch, what it is for, and the details behind a disclosure.
const toggle = (category, texts, granted) => {
  const { el, button } = page;
  const { id, necessary } = category;
  const parts = granted.filter((held) => held.startsWith(id + ":"));
  const state = el("span", { class: "state", ariaHidden: "true" });
  const show = () => (state.textContent = necessary ? texts.always_on : input.checked ? texts.on : texts.off);
  const input = el("input", {
    type: "checkbox",
    role: "switch",
    id: "switch-" + id,
    checked: necessary || granted.includes(id),
    disabled: necessary,
    // Some services of it are granted: neither on nor off, and kept so unless it is touched.
    indeterminate: parts.length > 0,
    "aria-describedby": "purpose-" + id,
    onchange: show,
  });
  show();

  const more = el("div", { class: "details", id: "details-" + id, hidden: true }, ...details(category, texts));
  const disclose = button(
    texts.details,
    "",
    () => {
      more.hidden = !more.hidden;
      disclose.ariaExpanded = !more.hidden;
      disclose.textContent = more.hidden ? texts.details : texts.hide_details;
    },
    { class: "more", ariaExpanded: "false", "aria-controls": more.id, "aria-describedby": "name-" + id },
  );
  const node = el(
    "section",
    { class: "category", "aria-labelledby": "name-" + id },
    el("div", { class: "head" }, el("label", { htmlFor: input.id, id: "name-" + id }, category.name), state, input),
    el("p", { id: "purpose-" + id }, category.purpose),
    disclose,
    more,
  );
  const chosen = () => (necessary ? [] : input.indeterminate ? parts : input.checked ? [id] : []);
  const clear = () => {
    input.checked = necessary;
    input.indeterminate = false;
    show();
  };
  return { node, clear, chosen };
};

const details = (category, texts) => {
  const { el, config } = page;
  const regions = new Intl.DisplayNames(config.lang, { type: "region" });
  return [
    el("dl", {}, ...["data", "recipients", "retention", "transfers"].map((fact) => category[fact] && pair(texts[fact], category[fact]))),
    el("h3", {}, texts.services),
    ...category.services.map(({ name, provider, country, transfer, cookies }) =>
      el(
        "div",
        { class: "service" },
        el("b", {}, name),
        el("p", { class: "provider" }, provider + " · " + regions.of(country), transfer && " · " + transfer.replace("-", " ")),
        cookies.length &&
          el(
            "table",
            { ariaLabel: texts.cookies },
            row("th", texts.cookie_name, texts.cookie_lifetime, texts.cookie_purpose),
            ...cookies.map((cookie) => row("td", el("code", {}, cookie.name), cookie.lifetime, cookie.purpose)),
          ),
      ),
    ),
  ];
};

const row = (tag, ...cells) => page.el("tr", {}, ...cells.map((cell) => page.el(tag, tag === "th" && { scope: "col" }, cell)));
