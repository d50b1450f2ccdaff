// Development mode, `consent.js?debug`: warns on the console of what runs before a choice, and of marks that do nothing.
//
// Served in the place of an adapter, to nobody who has not asked for it. It looks and says; it changes nothing on the page. Who holds
// no grant sees most: what a granted script puts into the page cannot be told from what the page itself had.
(ids) => {
  /** Where an address leads to; what is none leads to this page. */
  const parse = (address) => {
    try {
      return new URL(address || "", document.baseURI);
    } catch {
      return location;
    }
  };
  // The site that a host belongs to, roughly: a browser has the list of public suffixes and does not tell.
  const site = (host) =>
    /^[\d.]+$|:/.test(host) ? host : host.split(".").slice(/(^|\.)(ac|com?|edu|gouv|gov|gv|ne|net|nhs|or|org)\.\w\w$/.test(host) ? -3 : -2).join(".");
  const own = [site(location.hostname), site(parse(document.currentScript?.src).hostname)];
  /** The host of somebody else that an address leads to. */
  const stranger = (address) => {
    const { protocol, hostname } = parse(address);
    return /^http/.test(protocol) && !own.includes(site(hostname)) && hostname;
  };

  const read = new Promise((resolve) => {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve);
    else resolve();
  });
  const warn = (words, node) => {
    // Its tag as it is now: the gate may change it before it is said. A copy of the node would load what it names.
    const tag = node && `<${node.localName}${[...node.attributes].map(({ name, value }) => ` ${name}="${value}"`).join("")}>`;
    read.then(() => (node ? console.warn(`consent: ${words}\n${tag}`, node) : console.warn("consent: " + words)));
  };

  // When something was granted for the first time on this page view, by the clock of performance entries.
  let granted = Infinity;
  let changed = 0;
  const note = ({ detail }) => {
    if (detail.granted.length) granted = Math.min(granted, changed);
  };
  document.addEventListener("consent:ready", note);
  document.addEventListener("consent:change", note);

  // Addresses that were said already, or that wait for a choice (or were shown once, as somebody asked).
  const named = new Set();
  const name = (address) => named.add(parse(address).href);
  const runs = /^(module|(text|application)\/(x-)?(java|ecma|j|live)script(1\.\d)?)?$/;

  const check = (node) => {
    const { localName: what, dataset } = node;
    const { category, service, src: later } = dataset;
    const src = node.getAttribute("src");
    const script = what === "script";
    const type = (node.getAttribute("type") || "").trim().toLowerCase();
    const frame = what === "iframe" || what === "img";
    const waits = script ? type === "text/plain" : later !== undefined;
    if (later) name(later);
    if (category === undefined) {
      if (service !== undefined && (script || frame || waits)) warn("data-service without data-category: the gate does not see it", node);
      const host = (script ? runs.test(type) : frame) && granted === Infinity && src && stranger(src);
      if (host) {
        name(src);
        const how = script ? 'type="text/plain" data-category="…"' : 'data-category="…", and data-src instead of src';
        warn(`loads from ${host} before a choice. To make it wait: ${how}`, node);
      }
      return;
    }
    if (src) name(src);
    const id = service ? category + ":" + service : category;
    if ((script || what === "iframe" || waits) && !ids.includes(id))
      warn(`"${id}" is not in the notice, so it is never started. The notice knows ${ids.join(", ")}`, node);
    if (script && runs.test(type)) warn('marked, and runs all the same: only type="text/plain" keeps it from running', node);
    else if (script && waits && later && !src) warn("a marked script needs src, not data-src", node);
    // The gate puts data-src there itself.
    else if (frame && src && src !== later && (waits || ids.includes(id) || stranger(src)))
      warn("marked, and loads all the same: it has a src. The gate needs data-src alone", node);
  };

  const seen = new WeakSet();
  const look = (root) => {
    const all = "script,iframe,img,[data-category],[data-service]";
    for (const node of [root, ...root.querySelectorAll(all)]) {
      if (!node.matches?.(all) || seen.has(node)) continue;
      seen.add(node);
      check(node);
    }
  };
  const added = (changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) if (node.querySelectorAll) look(node);
  };
  // Made before the gate's own, so that everything is seen as it was written.
  const observer = new MutationObserver(added);
  observer.observe(document, { childList: true, subtree: true });
  look(document);

  const hosts = new Set();
  const loaded = (entries) => {
    added(observer.takeRecords());
    for (const { name: address, initiatorType, startTime } of entries) {
      const host = startTime < granted && !named.has(address) && stranger(address);
      if (!host || hosts.has(host + initiatorType)) continue;
      hosts.add(host + initiatorType);
      warn(`${address} was loaded before a choice (by ${initiatorType})`);
    }
  };
  // While a page is being read, a browser loads ahead of the elements that name what it loads.
  new PerformanceObserver((list) => read.then(() => loaded(list.getEntries()))).observe({ type: "resource", buffered: true });

  const cookies = () => document.cookie.split("; ").filter((pair) => pair && !/=1\.\d+\.\d+\.[^.]*\.[^.]*\.s?$/.test(pair)).map((pair) => pair.split("=")[0]);
  // Who has chosen before may have cookies that are left from then.
  const before = /=1\.\d+\.\d+\./.test(document.cookie) ? cookies() : [];
  const compare = () => {
    if (granted < Infinity) return;
    for (const cookie of new Set(cookies()))
      if (!before.includes(cookie)) warn(`the cookie "${cookie}" was set before a choice. Only what is strictly necessary may be; what sets it has to wait otherwise`);
  };
  if (document.readyState === "complete") setTimeout(compare);
  else addEventListener("load", compare);

  console.info("consent: debug mode is on. Without a choice, or after a refusal, it sees most. Take debug out of the address of consent.js to turn it off.");
  return () => {
    added(observer.takeRecords());
    changed = performance.now();
  };
};
