// Building nodes without markup in strings: works under require-trusted-types-for and without inline styles.

const el = (tag, attributes, ...children) => {
  const node = document.createElement(tag);
  for (const name in attributes) {
    const value = attributes[name];
    if (name in node) node[name] = value;
    else if (value) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child));
  return node;
};

const sheet = new CSSStyleSheet();
sheet.replaceSync(__BANNER_CSS__);

// A host of our own with an open shadow root: the page's styles stay out, assistive clients get in.
const host = (name, ...sheets) => {
  const node = el("div", { "data-consent": name, lang: config.lang });
  node.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet, ...sheets];
  return node;
};

const button = (text, action, onclick, more) => el("button", { "data-consent-action": action, onclick, ...more }, text);
const note = (text) => el("p", { class: "note" }, text);

// Where the body has not begun yet, directly in the document; it is drawn all the same.
const place = () => document.body || document.documentElement;
