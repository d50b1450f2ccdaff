// Building nodes without markup in strings: works under require-trusted-types-for and without inline styles.

// Makes nodes of a tree: [name, {attributes}, …children], where texts are texts. Most trees are drawn by the server. `name` is the
// category's, where a text has room for it.
const el = ([tag, attributes, ...children], name) => {
  const node = document.createElement(tag);
  // Not for-in: a page may have put something on Object.prototype.
  for (const key of Object.keys(attributes)) node.setAttribute(key, attributes[key]);
  node.append(...children.map((child) => (child.map ? el(child, name) : child.replace("{category}", name))));
  return node;
};

const sheet = new CSSStyleSheet();
sheet.replaceSync(__BANNER_CSS__ + (config.css || ""));

// A host of our own with an open shadow root: the page's styles stay out, assistive clients get in.
const host = (name, ...sheets) => {
  const node = el(["section", { "data-consent": name, lang: config.lang, dir: config.dir }]);
  node.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet, ...sheets];
  return node;
};
