// The same page without a banner and with each of them: what a site would write into its page.

const ours = '<script async src="/v1/sites/demo/consent.js"></script>';
const gate = 'type="text/plain" data-category="statistics" data-service="page-counter"';

// As "Getting started" of vanilla-cookieconsent says for plain HTML; from the site's own host, not from a content delivery network.
const peer = {
  head: '<link rel="stylesheet" href="/peer/cookieconsent.css">',
  last: '<script type="module" src="/peer/cookieconsent-config.js"></script>',
  gate: 'type="text/plain" data-category="analytics"',
  cookie: "cc_cookie",
};

/**
 * `gate` marks the analytics, `head`, `first` and `last` go into the page's head and to the body's two ends, `cookie` is where the
 * choice is kept, `decides` says that a choice is answered by our service.
 */
export const variants = {
  empty: { title: "empty" },
  ours: { title: "ours", head: ours, gate, cookie: "consent", decides: true },
  // What the service answers for banner.html, as the site's templates would put it there: it is empty for who has chosen.
  page: { title: "ours, in the page", head: ours, fragment: true, gate, cookie: "consent", decides: true },
  vanilla: { title: "vanilla-cookieconsent", ...peer },
  // The form for pages where a tag adapter must speak before every tag. It costs the first view; what it gains the next ones is asked here.
  blocking: { title: "ours, blocking", extra: true, head: ours.replace("async ", ""), gate, cookie: "consent", decides: true },
  // Not in the documentation, so left out unless --with=tuned: the round trip from the module to what it imports is saved.
  tuned: {
    title: "vanilla-cookieconsent, preloaded",
    extra: true,
    ...peer,
    head: `${peer.head}<link rel="modulepreload" href="/peer/cookieconsent-config.js"><link rel="modulepreload" href="/peer/cookieconsent.umd.js">`,
  },
};
