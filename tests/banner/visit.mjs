// One visit in a browser profile of its own, and what it cost.

import { setTimeout as sleep } from "node:timers/promises";

import { probe } from "./probe.mjs";

/** How the visitor reaches the page. Latency is added to each request, not to connecting: that is how Chromium emulates it. */
export const conditions = {
  plain: { title: "plain" },
  slow: { title: "slow (CPU 4x, 1.6/0.75 Mbit/s, 150 ms)", cpu: 4, down: 1.6e6, up: 750e3, latency: 150 },
};

// A banner's own afterthoughts come within this (ours fetches its core 300 ms after it has been shown).
const quiet = 700;
// For so long after `load` each frame of the page is looked at, also for a banner that ought not to come.
const watched = 400;
const patience = 30_000;

/** `first`: nothing chosen yet. `returning`: *Accept all* was pressed, nothing is cached. `again`: that visitor's next page view. */
export const visits = {
  first: "First visit",
  returning: "Returning visit, cold cache",
  again: "Next page view of a returning visit, within max-age",
};

/** What the page asks for on its own account, banner or not. */
const own = /^\/(first|returning|page)\//;

async function within(limit, what, promise) {
  const late = new AbortController();
  try {
    return await Promise.race([
      promise,
      sleep(limit, undefined, { signal: late.signal }).then(() => {
        throw Error(`not within ${limit} ms: ${what}`);
      }),
    ]);
  } finally {
    late.abort();
  }
}

/** A fresh profile and an open page, watched; `use` does the rest. */
async function enter(browser, site, { key, variant, kind, condition, state }, use) {
  const returning = kind !== "first";
  const { cpu, down, up, latency } = conditions[condition];
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, storageState: state });
  try {
    context.setDefaultTimeout(patience);
    const complaints = [];
    context.on("weberror", (error) => complaints.push(String(error.error())));
    const page = await context.newPage();
    const asks = Boolean(variant.gate) && !returning;
    await page.addInitScript(probe, { limit: watched, asks });
    const cdp = await context.newCDPSession(page);

    const requests = new Map();
    let last = performance.now();
    const open = new Set();
    // From when on files may come from a cache.
    let warm = false;
    cdp.on("Network.requestWillBeSent", ({ requestId, request }) => {
      const { pathname } = new URL(request.url);
      requests.set(requestId, { path: pathname, method: request.method, body: 0, wire: 0 });
      open.add(requestId);
      last = performance.now();
    });
    cdp.on("Network.responseReceived", ({ requestId, response }) => {
      const request = requests.get(requestId);
      const { status, mimeType, encodedDataLength: heads, fromDiskCache } = response;
      if (request) Object.assign(request, { status, type: mimeType, heads, cached: request.cached || fromDiskCache });
    });
    // The renderer's own memory; told before the response is.
    cdp.on("Network.requestServedFromCache", ({ requestId }) => {
      const request = requests.get(requestId);
      if (request) Object.assign(request, { cached: true, memory: true });
    });
    const ended = ({ requestId, encodedDataLength, errorText }) => {
      const request = requests.get(requestId);
      open.delete(requestId);
      last = performance.now();
      if (!request) return;
      if (errorText) complaints.push(`${request.path}: ${errorText}`);
      else if (!(request.status < 400)) complaints.push(`${request.path} answered ${request.status}`);
      else if (request.cached) warm || complaints.push(`${request.path} came from a cache`);
      else Object.assign(request, { wire: encodedDataLength, body: encodedDataLength - request.heads });
    };
    cdp.on("Network.loadingFinished", ended);
    cdp.on("Network.loadingFailed", ended);

    // What the page tells, once each; told already or not.
    let told = {};
    const telling = (what) => {
      const telling = (told[what] ??= {});
      telling.promise ??= new Promise((resolve) => (telling.resolve = resolve));
      return telling;
    };
    cdp.on("Runtime.bindingCalled", ({ name, payload }) => name === "benchTold" && telling(payload).resolve());

    await Promise.all([
      cdp.send("Network.enable"),
      // What others do on this machine is in no one's processor time.
      cdp.send("Performance.enable", { timeDomain: "threadTicks" }),
      cdp.send("Runtime.enable"),
      cdp.send("Runtime.addBinding", { name: "benchTold" }),
    ]);
    // The visitor's conditions begin with the view that is counted.
    const emulate = () =>
      Promise.all([
        cpu && cdp.send("Emulation.setCPUThrottlingRate", { rate: cpu }),
        latency && cdp.send("Network.emulateNetworkConditions", { offline: false, latency, downloadThroughput: down / 8, uploadThroughput: up / 8 }),
      ]);
    const metrics = async () => Object.fromEntries((await cdp.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));
    // The process, and so what it has spent, is the same for both views of `again`.
    let before = { ScriptDuration: 0, TaskDuration: 0 };
    const visit = {
      context,
      page,
      cdp,
      asks,
      requests: () => [...requests.values()],
      hear: (what) => within(patience, `${key}: ${what}`, telling(what).promise),
      async metrics() {
        const now = await metrics();
        for (const [name, spent] of Object.entries(before)) {
          if (now[name] < spent) throw Error(`${key}: ${name} began anew, the second view had another process`);
          now[name] -= spent;
        }
        return now;
      },
      async calm() {
        const end = performance.now() + patience;
        while (open.size || performance.now() - last < quiet) {
          if (performance.now() > end) throw Error(`${key}: these never ended: ${[...open].map((id) => requests.get(id).path).join(", ")}`);
          await sleep(25);
        }
      },
      /** With the mouse, and until the layer is gone and the service has it on record. */
      async press(choice) {
        const decided = variant.decides && site.decision();
        const point = await page.evaluate((choice) => window.bench.aim(choice), choice);
        if (!point) throw Error(`${key}: nothing to press for "${choice}", or something lies on it`);
        await page.mouse.click(point.x, point.y);
        await visit.hear("gone");
        if (decided) await within(patience, `${key}: the service confirms the choice`, decided);
        if (!(await context.cookies()).some(({ name }) => name === variant.cookie)) throw Error(`${key}: the choice is in no cookie`);
      },
    };
    const address = `${site.origin}/${returning ? "returning" : "first"}/${key}.html`;
    if (kind === "again") {
      await page.goto(address, { waitUntil: "load" });
      await visit.hear("watched");
      await visit.calm();
      requests.clear();
      told = {};
      warm = true;
      const { ScriptDuration, TaskDuration } = await metrics();
      before = { ScriptDuration, TaskDuration };
    }
    await emulate();
    // A next page: the same address could be taken for a reload.
    await page.goto(address + (warm ? "?next" : ""), { waitUntil: "load" });
    const result = await use(visit);
    if (complaints.length) throw Error(`${key}: ${complaints.join("; ")}`);
    return result;
  } finally {
    await context.close();
    // The end of this visitor's processes is not to be the beginning of the next one's page.
    await sleep(150);
  }
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** Everything about one visit; for a first one to a page with a banner, with a press on Reject at its end. */
export function measure(browser, site, { key, variant, kind, condition, state }) {
  const returning = kind !== "first";
  return enter(browser, site, { key, variant, kind, condition, state: returning ? state : undefined }, async (visit) => {
    await visit.hear("watched");
    await visit.calm();

    const { ScriptDuration, TaskDuration } = await visit.metrics();
    const seen = await visit.page.evaluate(() => window.bench.collect());
    await visit.cdp.send("HeapProfiler.collectGarbage");
    const { JSHeapUsedSize } = await visit.metrics();
    const requests = visit.requests();
    for (const name of ["drawn", "fcp", "lcp"]) if (!(seen[name] > 0)) throw Error(`${key}: the page has no ${name}`);
    if (returning && !(seen.inline > 0 && seen.file > 0)) throw Error(`${key}: the analytics did not run`);
    if (!returning && (seen.inline || seen.file)) throw Error(`${key}: the analytics ran without consent`);
    // Two round trips come before the first frame, the page and its style; the style may be kept.
    const { latency = 0 } = conditions[condition];
    if (seen.drawn < (kind === "again" ? 1 : 2) * latency) throw Error(`the network was not slow: drawn after ${seen.drawn} ms`);

    // The page's own files may be kept for a year: if even they came over the network, there was no cache.
    const again = requests.find(({ path, cached }) => /^\/page\/.*\.(css|js)$/.test(path) && !cached);
    if (kind === "again" && again) throw Error(`${key}: the cache was not used, ${again.path} came over the network`);

    const files = requests.filter(({ path }) => !own.test(path));
    const cached = files.filter((file) => file.cached);
    const result = {
      ...seen,
      script: ScriptDuration * 1000,
      main: TaskDuration * 1000,
      heap: JSHeapUsedSize / 1024,
      files,
      requests: files.length,
      network: files.length - cached.length,
      cached: cached.length,
      memory: cached.filter(({ memory }) => memory).length,
      wire: sum(files.map(({ wire }) => wire)),
      wasm: files.filter(({ path, type }) => path.endsWith(".wasm") || type === "application/wasm").length,
      page: requests.find(({ path }) => path.startsWith(returning ? "/returning/" : "/first/")),
    };
    if (visit.asks) {
      await visit.press("reject");
      // Event Timing tells only after the frame, and in its own time.
      await sleep(300);
      const after = await visit.page.evaluate(() => window.bench.collect());
      if (after.inline || after.file) throw Error(`${key}: Reject started the analytics`);
      // What took less than 16 ms has no entry.
      Object.assign(result, { gone: after.gone, tap: Math.max(16, ...after.taps) });
      result.later = visit.requests().filter((request) => !requests.includes(request) && !own.test(request.path));
    }
    return result;
  });
}

/** What the browser of somebody who has pressed Accept all keeps. */
export async function consented(browser, site, { key, variant }) {
  // Something in local storage, for everybody: Playwright opens a page to put it there, which must not be the case for one banner only.
  const origins = [{ origin: site.origin, localStorage: [{ name: "bench", value: "1" }] }];
  if (!variant.gate) return { cookies: [], origins };
  return enter(browser, site, { key, variant, kind: "first", condition: "plain" }, async (visit) => {
    await visit.hear("watched");
    await visit.calm();
    await visit.press("accept");
    await visit.calm();
    const seen = await visit.page.evaluate(() => window.bench.collect());
    if (!(seen.inline > 0 && seen.file > 0)) throw Error(`${key}: Accept all did not start the analytics`);
    const state = await visit.context.storageState();
    const kept = state.origins.flatMap(({ localStorage }) => localStorage);
    return { cookies: state.cookies, origins: [{ origin: site.origin, localStorage: [...origins[0].localStorage, ...kept] }] };
  });
}
