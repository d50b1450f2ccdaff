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
async function enter(browser, site, { key, variant, returning, condition, state }, use) {
  const { cpu, down, up, latency } = conditions[condition];
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-US", storageState: state });
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
    cdp.on("Network.requestWillBeSent", ({ requestId, request }) => {
      const { pathname } = new URL(request.url);
      requests.set(requestId, { path: pathname, method: request.method, body: 0, wire: 0 });
      open.add(requestId);
      last = performance.now();
    });
    cdp.on("Network.responseReceived", ({ requestId, response }) => {
      const request = requests.get(requestId);
      const { status, mimeType, encodedDataLength: heads, fromDiskCache } = response;
      if (request) Object.assign(request, { status, type: mimeType, heads, cached: fromDiskCache });
    });
    const ended = ({ requestId, encodedDataLength, errorText }) => {
      const request = requests.get(requestId);
      open.delete(requestId);
      last = performance.now();
      if (!request) return;
      if (errorText) complaints.push(`${request.path}: ${errorText}`);
      else if (!(request.status < 400)) complaints.push(`${request.path} answered ${request.status}`);
      else if (request.cached) complaints.push(`${request.path} came from a cache`);
      else Object.assign(request, { wire: encodedDataLength, body: encodedDataLength - request.heads });
    };
    cdp.on("Network.loadingFinished", ended);
    cdp.on("Network.loadingFailed", ended);

    // What the page tells, once each; told already or not.
    const told = {};
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
      cpu && cdp.send("Emulation.setCPUThrottlingRate", { rate: cpu }),
      latency && cdp.send("Network.emulateNetworkConditions", { offline: false, latency, downloadThroughput: down / 8, uploadThroughput: up / 8 }),
    ]);
    const visit = {
      context,
      page,
      cdp,
      asks,
      requests: () => [...requests.values()],
      hear: (what) => within(patience, `${key}: ${what}`, telling(what).promise),
      metrics: async () => Object.fromEntries((await cdp.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value])),
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
    await page.goto(`${site.origin}/${returning ? "returning" : "first"}/${key}.html`, { waitUntil: "load" });
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
export function measure(browser, site, { key, variant, returning, condition, state }) {
  return enter(browser, site, { key, variant, returning, condition, state }, async (visit) => {
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
    // Two round trips come before the first frame, the page and its style.
    const { latency = 0 } = conditions[condition];
    if (seen.drawn < 2 * latency) throw Error(`the network was not slow: drawn after ${seen.drawn} ms`);

    const files = requests.filter(({ path }) => !own.test(path));
    const result = {
      ...seen,
      script: ScriptDuration * 1000,
      main: TaskDuration * 1000,
      heap: JSHeapUsedSize / 1024,
      files,
      requests: files.length,
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
  return enter(browser, site, { key, variant, condition: "plain" }, async (visit) => {
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
