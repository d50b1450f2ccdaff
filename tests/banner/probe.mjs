// Runs inside the page, before anything else there. The same for every page, also for the one without a banner.

/** `limit`: for how long after `load` each frame is looked at; `asks`: and until the banner, which there must be, can be used. */
export function probe({ limit, asks }) {
  if (window !== top) return;
  const bench = (window.bench ??= {});
  Object.assign(bench, { shift: 0, blocking: 0, taps: [] });
  // A call into the browser's protocol, so that nobody has to ask the page again and again and cost it time.
  const tell = (what) => window.benchTold?.(what);

  const selectors = {
    accept: '[data-consent-action="accept"], #cc-main .cm__btn[data-role="all"]',
    reject: '[data-consent-action="reject"], #cc-main .cm__btn[data-role="necessary"]',
  };
  // In the page itself, and in the open shadow roots where a banner may have one: going through all nodes in every frame would be the
  // larger part of what is measured.
  const search = (selector) => {
    const found = document.querySelector(selector);
    if (found) return found;
    for (const { shadowRoot } of document.querySelectorAll("html > *, body > *, [data-consent]")) {
      const inner = shadowRoot?.querySelector(selector);
      if (inner) return inner;
    }
  };

  // A box in the window, of a size, and neither hidden nor wholly transparent.
  const visible = (node) => {
    if (!node?.isConnected || !node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false;
    const { top, right, bottom, left, width, height } = node.getBoundingClientRect();
    return width > 0 && height > 0 && bottom > 0 && right > 0 && top < innerHeight && left < innerWidth;
  };
  const opaque = (node) => {
    for (let at = node; at; at = at.assignedSlot ?? at.parentElement ?? at.getRootNode().host) {
      if (getComputedStyle(at).opacity < 0.99) return false;
    }
    return true;
  };
  const middle = (node) => {
    const { top, left, width, height } = node.getBoundingClientRect();
    return { x: left + width / 2, y: top + height / 2 };
  };
  // What a pointer there would meet.
  const meets = (node) => {
    const { x, y } = middle(node);
    let met = document.elementFromPoint(x, y);
    for (let inner; met?.shadowRoot && (inner = met.shadowRoot.elementFromPoint(x, y)) && inner !== met; ) met = inner;
    return node.contains(met);
  };
  // The other banner attaches its handlers before it puts its buttons into the page. Ours may be in the page before its script has come:
  // then its buttons are those of a form, and a press is taken by the service.
  const handled = (node) => Boolean(node.closest("#cc-main") || node.form || window.consent);

  let loaded = Infinity;
  addEventListener("load", () => (loaded = performance.now()));
  const look = () => {
    // After the layout that the questions force: the frame with this in it cannot be drawn sooner.
    const note = (name) => (bench[name] ??= performance.now());
    if (!bench.drawn && visible(document.querySelector("main h1"))) note("drawn");
    const accept = search(selectors.accept);
    if (visible(accept)) {
      note("visible");
      if (opaque(accept)) note("opaque");
      if (!bench.usable && handled(accept) && meets(accept)) note("usable");
    }
    const done = !asks || (bench.usable && bench.opaque);
    // For as long in a page that has nothing to show or has shown it: looking takes time as well, and so takes the same of everybody.
    if (done && performance.now() > loaded + limit) tell("watched");
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);

  const observe = (type, each, more) => {
    const observer = new PerformanceObserver((list) => list.getEntries().forEach(each));
    observer.observe({ type, buffered: true, ...more });
    observers.push([observer, each]);
  };
  const observers = [];
  observe("longtask", ({ duration }) => (bench.blocking += duration - 50));
  observe("layout-shift", ({ value, hadRecentInput }) => (bench.shift += hadRecentInput ? 0 : value));
  observe("largest-contentful-paint", ({ startTime, element }) => {
    // An element in a shadow root is not named here, and the page itself has none.
    const own = element?.closest("main, .top, .foot, .skip");
    Object.assign(bench, { lcp: startTime, lcpIn: own ? "page" : "banner", lcpTag: element?.localName ?? "in a shadow root" });
  });
  observe("event", ({ duration, interactionId }) => interactionId && bench.taps.push(duration), { durationThreshold: 16 });

  bench.collect = () => {
    for (const [observer, each] of observers) observer.takeRecords().forEach(each);
    bench.fcp = performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
    // What was seen; the functions stay here.
    return JSON.parse(JSON.stringify(bench));
  };

  /** Where to press, and from then on the time from the press to the first frame without the layer is taken. */
  bench.aim = (choice) => {
    const node = search(selectors[choice]);
    addEventListener(
      "click",
      ({ isTrusted, timeStamp }) => {
        if (!isTrusted) return;
        const gone = () => {
          if (visible(node)) return requestAnimationFrame(gone);
          bench.gone = performance.now() - timeStamp;
          tell("gone");
        };
        requestAnimationFrame(gone);
      },
      { capture: true, once: true },
    );
    return visible(node) && meets(node) ? middle(node) : undefined;
  };
}
