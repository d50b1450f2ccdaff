// Before anybody has chosen anything.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Demo, Visitor, close, sleep } from "./harness.mjs";

const demo = await Demo.start();
after(async () => {
  await close();
  await demo.stop();
});

describe("somebody who has just arrived and does nothing", () => {
  let visitor;
  before(async () => {
    visitor = await Visitor.arrive(null, demo);
    await visitor.visit();
    // site.js adds a gated script a moment after loading; it is part of what must not run.
    await visitor.page.locator('script[src="/later.js"]').waitFor({ state: "attached" });
    await sleep(300);
  });
  after(() => visitor.context.close());

  test("has no cookie", async () => {
    assert.deepEqual(await visitor.context.cookies(), []);
  });

  test("has nothing in local storage, session storage, IndexedDB or caches", async () => {
    assert.deepEqual(await visitor.kept(), { local: {}, session: {}, databases: [], caches: [] });
  });

  test("has run no gated script and loaded no gated frame", async () => {
    const paths = visitor.paths();
    for (const gated of ["/statistics.js", "/later.js", "/visitors.html"]) assert.ok(!paths.includes(gated), gated);
    assert.equal(visitor.page.frames().length, 2, "the page and its one frame, which is empty");
    assert.match(visitor.page.frames()[1].url(), /^(about:blank)?$/);
  });

  test("reads on the page that nothing optional ran", async () => {
    const ledger = await visitor.ledger();
    for (const line of ["Your choice", "statistics.js", "later.js", "visitors.html"]) assert.equal(ledger[line], "off", line);
  });

  test("has sent no request to another host", async () => {
    const others = visitor.requests.map((request) => request.url()).filter((url) => new URL(url).origin !== demo.origin);
    assert.deepEqual(others, []);
  });

  test("has sent nothing but GET", async () => {
    assert.deepEqual(visitor.requests.filter((request) => request.method() !== "GET"), []);
  });

  test("has fetched nothing for the choice to come but the core, behind the first layer", async () => {
    const assets = visitor.paths().filter((path) => path.startsWith("/assets/"));
    assert.deepEqual(assets.map((path) => path.replace(/[0-9a-f]{8}/, "")).sort(), ["/assets/core-.js", "/assets/core-.wasm"]);
  });

  test("finds no warning and no error in the console", async () => {
    assert.deepEqual(visitor.complaints(), []);
  });

  test("has broken no rule of the page's strict content security policy", async () => {
    assert.deepEqual(await visitor.violations(), []);
  });

  test("sees the first layer with Privacy policy, Close and Settings, in this order", async () => {
    assert.ok(await visitor.layer.isVisible());
    assert.deepEqual(await visitor.layer.locator("a, button").allInnerTexts(), ["Privacy policy", "Close", "Settings"]);
  });

  test("hears that Close switches nothing optional on", async () => {
    assert.equal(await visitor.closeButton.getAttribute("aria-label"), "Close; nothing optional is switched on");
  });

  test("reads in the first layer who is responsible and how the choice is kept", async () => {
    const text = await visitor.layer.innerText();
    for (const fact of ["Example Gardens Ltd", "“consent”", "180 days", "Website statistics"]) assert.ok(text.includes(fact), fact);
  });

  test("keeps the focus where it was", async () => {
    assert.equal((await visitor.focused()).tag, "body");
  });

  test("sees a layout that does not shift", async () => {
    assert.deepEqual(await shifts(visitor.page), []);
  });

  test("has decided nothing by it", async () => {
    assert.deepEqual(await demo.decisions(), []);
  });
});

const shifts = (page) =>
  page.evaluate(
    () =>
      new Promise((resolve) => {
        const found = [];
        const note = (list) =>
          found.push(
            ...list.getEntries().map((entry) => ({
              value: entry.value,
              nodes: entry.sources.map(({ node }) => node?.outerHTML?.slice(0, 80) ?? String(node)),
            })),
          );
        new PerformanceObserver(note).observe({ type: "layout-shift", buffered: true });
        setTimeout(resolve, 200, found);
      }),
  );

for (const width of [320, 1280]) {
  test(`the layout does not shift while the page loads, ${width} px wide`, async (t) => {
    const visitor = await Visitor.arrive(t, demo, { viewport: { width, height: 640 } });
    await visitor.visit();
    await visitor.page.locator('script[src="/later.js"]').waitFor({ state: "attached" });
    await sleep(400);
    assert.deepEqual(await shifts(visitor.page), []);
  });
}

test("the page can be scrolled while the first layer is there", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  await visitor.page.mouse.move(640, 200);
  await visitor.page.mouse.wheel(0, 600);
  await visitor.page.waitForFunction(() => scrollY > 300);
  const locks = await visitor.page.evaluate(() =>
    [document.documentElement, document.body].map((node) => [getComputedStyle(node).overflow, getComputedStyle(node).position]),
  );
  assert.deepEqual(locks, [["visible", "static"], ["visible", "static"]]);
});

test("the page beneath the first layer can be used by mouse", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  await visitor.button("Larger text").click();
  assert.deepEqual(await visitor.cookies(), { demo_text_size: "large" });
});

test("Tab reaches the first layer first, leaves it for the page, and comes round", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  const stops = [];
  for (let i = 0; i < 30; i++) {
    await visitor.page.keyboard.press("Tab");
    const focus = await visitor.focused();
    stops.push(focus.text);
    if (focus.tag !== "body") assert.ok(focus.ring, `the focus is visible on ${focus.text}`);
  }
  assert.deepEqual(stops.slice(0, 4), ["Privacy policy", "Close", "Settings", "Skip to the text"]);
  assert.ok(stops.includes("Cookie settings"), "the end of the page is reached");
  assert.ok(stops.filter((stop) => stop === "Close").length > 1, `and after it the first layer again: ${stops}`);
});

for (const height of [800, 500]) {
  test(`what Tab reaches is not left under the first layer, in a window ${height} px high`, async (t) => {
    const visitor = await Visitor.arrive(t, demo, { viewport: { width: 1280, height } });
    await visitor.visit();
    for (let i = 0; i < 26; i++) {
      await visitor.page.keyboard.press("Tab");
      await visitor.page.waitForTimeout(30);
      const covered = await visitor.page.evaluate(() => {
        const node = document.activeElement;
        if (node === document.body || node.dataset.consent) return false;
        const { left, top, width, height } = node.getBoundingClientRect();
        const spots = [[0.5, 0.5], [0.1, 0.1], [0.9, 0.9]].map(([x, y]) => document.elementFromPoint(left + width * x, top + height * y));
        return spots.every((spot) => spot?.dataset.consent === "banner") && node.outerHTML;
      });
      assert.equal(covered, false);
    }
  });
}

test("Escape and scrolling decide nothing on the first layer", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  const before = (await demo.decisions()).length;
  await visitor.page.keyboard.press("Tab");
  await visitor.page.keyboard.press("Escape");
  await visitor.page.mouse.move(640, 200);
  await visitor.page.mouse.wheel(0, 2000);
  await sleep(500);
  assert.ok(await visitor.layer.isVisible());
  assert.deepEqual(visitor.posts(), []);
  assert.deepEqual(await visitor.cookies(), {});
  assert.equal((await demo.decisions()).length, before);
});

test("Privacy policy leads to the policy and decides nothing", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  await visitor.layer.getByRole("link", { name: "Privacy policy" }).click();
  await visitor.page.waitForURL("**/privacy");
  await visitor.settled();
  assert.ok(await visitor.layer.isVisible());
  assert.deepEqual(await visitor.cookies(), {});
  assert.deepEqual(visitor.posts(), []);
});

for (const address of ["/", "/pruning.html", "/soil.html", "/seeds.html", "/privacy"]) {
  test(`${address} shows the first layer and complains about nothing`, async (t) => {
    const visitor = await Visitor.arrive(t, demo);
    await visitor.visit(address);
    await visitor.page.locator('script[src="/later.js"]').waitFor({ state: "attached" });
    assert.ok(await visitor.layer.isVisible());
    assert.deepEqual(visitor.complaints(), []);
    assert.deepEqual(await visitor.violations(), []);
    assert.deepEqual(await visitor.cookies(), {});
  });
}

test("the text comes in the browser's language where the page does not say its own", async (t) => {
  const visitor = await Visitor.arrive(t, demo, { locale: "de-DE", pageLang: "" });
  await visitor.visit();
  const layer = visitor.page.getByRole("region", { name: "Datenschutz auf dieser Website" });
  assert.deepEqual(await layer.locator("a, button").allInnerTexts(), ["Datenschutzerklärung", "Schließen", "Einstellungen"]);
  assert.equal(await visitor.page.locator('[data-consent="banner"]').getAttribute("lang"), "de");
});

for (const [page, browser, want] of [
  ["de", "en-US", "de"],
  ["de-AT", "en-US", "de"],
  ["en", "de-DE", "en"],
  ["fr", "de-DE", "de"],
]) {
  test(`on a page in ${page} a browser in ${browser} gets ${want}`, async (t) => {
    const visitor = await Visitor.arrive(t, demo, { locale: browser, pageLang: page });
    await visitor.visit();
    assert.equal(await visitor.page.locator('[data-consent="banner"]').getAttribute("lang"), want);
    assert.equal(await visitor.page.locator('[data-consent="banner"]').count(), 1);
    assert.deepEqual(visitor.complaints(), []);
    assert.deepEqual(await visitor.violations(), []);
  });
}
