// The settings dialog: drawn by the server, brought to life here.

const settingsSheet = new CSSStyleSheet();
settingsSheet.replaceSync(__SETTINGS_CSS__);

let dialog;

const open = async (opener) => {
  const notice = await fetchNotice();
  // A second press, while the texts were on their way or over an open dialog.
  if (dialog?.isConnected) return;
  const holder = host("settings", settingsSheet);
  dialog = el(notice.dialog);
  nameCountries(dialog);
  await enliven(notice);
  dialog.onclose = () => {
    holder.remove();
    dialog = 0;
    (opener?.isConnected ? opener : reopen())?.focus();
  };
  holder.shadowRoot.append(dialog);
  document.documentElement.append(holder);
  dialog.showModal();
  emit("shown");
};

const enliven = async ({ t, changes }) => {
  const { granted, status: stands } = await ask();
  const find = (selector) => dialog.querySelector(selector);
  const control = (action) => find(`[data-consent-action=${action}]`);
  const status = find("[role=status]");
  const switches = [...dialog.querySelectorAll("input")].map((input) => toggle(input, t, granted));

  find(".signal").hidden = !signalled;
  if (stands === "outdated") {
    const outdated = find(".note");
    outdated.hidden = false;
    if (changes) outdated.after(el(changes));
  }
  const receive = control("receipt");
  await tell(find("[data-identity]"), receive, t);

  const tellHere = (text) => (status.textContent = text);
  const acts = {
    close: () => dialog.close(),
    receipt: download,
    details: (more) => {
      const details = more.nextSibling;
      details.hidden = !details.hidden;
      more.ariaExpanded = !details.hidden;
      more.textContent = details.hidden ? t.details : t.hide_details;
    },
    save: async () => {
      const ids = switches.flatMap(({ chosen }) => chosen());
      await act("save", "settings", ids, "save", signalled);
      dialog.close();
      say(t.saved);
    },
    forget: async () => {
      await act("forget", "settings", [], "forget");
      for (const { clear } of switches) clear();
      // There is nothing left to cancel.
      control("close").textContent = t.close;
      receipt = 0;
      await tell(find("[data-identity]"), receive, t);
      tellHere(t.forgotten);
    },
  };
  dialog.onclick = pressed((control, node) => {
    // What was said stays while somebody only reads on.
    if (control !== "details") tellHere("");
    return acts[control](node);
  }, tellHere);
};

// Which ID the choice is kept under, since when, and whether there is a receipt to be had for it.
const tell = async (identity, receive, t) => {
  const { cookie, subject } = await ask();
  const pair = (term, description) => el(["div", {}, ["dt", {}, term], ["dd", {}, description]]);
  // Who has only refused carries no ID; the one of the record just made is shown this once.
  const id = subject || receipt?.subject;
  const format = new Intl.DateTimeFormat(config.lang, { dateStyle: "long", timeStyle: "short" });
  identity.replaceChildren(
    pair(t.consent_id, id ? ["code", {}, id] : t.no_consent_id),
    // The date is in the cookie, in seconds.
    ...(cookie ? [pair(t.chosen_on, format.format(cookie.split(".")[2] * 1e3))] : []),
  );
  receive.hidden = !id;
};

// The proof of the last record, as a file.
const download = async () => {
  const subject = (await ask()).subject || receipt.subject;
  const record = (receipt?.subject === subject && receipt.id) || (await lastRecord(subject));
  const response = await request(`records/${record}/receipt`, { headers: { "consent-subject": subject } });
  if (!response.ok) throw response;
  const href = URL.createObjectURL(await response.blob());
  el(["a", { href, download: `consent-${record}.tlog-proof` }]).click();
  URL.revokeObjectURL(href);
};

// The switch of one category.
const toggle = (input, t, granted) => {
  const { value: id, disabled: necessary } = input;
  const parts = granted.filter((held) => held.startsWith(id + ":"));
  const show = () => (input.previousSibling.textContent = necessary ? t.always_on : input.checked ? t.on : t.off);
  input.checked = necessary || granted.includes(id);
  // Some services of it are granted: neither on nor off, and kept so unless it is touched.
  input.indeterminate = parts.length > 0;
  input.onchange = show;
  show();
  const chosen = () => (necessary ? [] : input.indeterminate ? parts : input.checked ? [id] : []);
  const clear = () => {
    input.checked = necessary;
    input.indeterminate = false;
    show();
  };
  return { clear, chosen };
};
