// The gate: scripts, frames and images that wait for consent, on pages of the tests' own under a strict policy.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Demo, Visitor, close, eventually, sleep, subjectText } from "./harness.mjs";

const demo = await Demo.start({ preset: "choice" });
after(async () => {
  await close();
  await demo.stop();
});

const strict =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' 'nonce-x'; style-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'";

// Under Trusted Types a browser runs no inline script that was cloned or made by script, gated or not.
const untyped = strict.replace(/require-trusted-types-for.*/, "");

const page = (body, head = "") => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page of the test</title>
<script nonce="x">window.ran = [];</script>${head}
<script async src="/v1/sites/demo/consent.js"></script></head><body><main><h1>A page</h1>${body}</main></body></html>`;

const picture = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><rect width="40" height="40" fill="teal"/></svg>';

/** `files` maps /t/ paths to scripts, or to [milliseconds to wait, script]; `late` holds consent.js back that long. */
async function arrive(t, body, { granted, files = {}, head, csp = strict, late = 0 } = {}) {
  const visitor = await Visitor.arrive(t, demo);
  if (granted !== undefined) {
    const value = `1.1.${Math.floor(Date.now() / 1000)}.${subjectText()}.${granted}.`;
    await visitor.context.addCookies([{ name: "consent", value, url: demo.origin }]);
  }
  await visitor.context.route("**/t/**", async (route) => {
    const name = new URL(route.request().url()).pathname;
    if (name.endsWith(".svg")) return route.fulfill({ body: picture, contentType: "image/svg+xml" });
    if (name.endsWith(".html")) return route.fulfill({ body: "<!doctype html><title>Inner</title><p>Inner page", contentType: "text/html" });
    const file = files[name] ?? `window.ran.push(${JSON.stringify(name.split("/").pop())})`;
    const [delay, text] = Array.isArray(file) ? file : [0, file];
    await sleep(delay);
    await route.fulfill({ body: text, contentType: "text/javascript" }).catch(() => {});
  });
  await visitor.serve("/test-gate.html", page(body, head), { csp });
  // The page is drawn before a slow consent.js is there.
  if (late) {
    await visitor.context.route("**/consent.js", async (route) => {
      await sleep(late);
      await route.continue();
    });
  }
  await visitor.page.goto(`${demo.origin}/test-gate.html`);
  await visitor.settled();
  return visitor;
}

const ran = (visitor) => visitor.page.evaluate(() => window.ran);
const push = (name) => `ran.push("${name}")`;

async function clean(visitor) {
  assert.deepEqual(await visitor.violations(), []);
  assert.deepEqual(visitor.complaints(), []);
}

// Both ways to come to a grant: known when the page loads, and given while it is open.
const ways = [
  ["granted before the page loads", { granted: "statistics" }, async () => {}],
  [
    "granted while the page is open",
    {},
    async (visitor) => {
      await sleep(200);
      assert.deepEqual(await ran(visitor), [], "nothing before the grant");
      await visitor.grantStatistics();
    },
  ],
];

for (const [when, options, grant] of ways) {
  describe(when, () => {
    test("an inline script runs once", async (t) => {
      const visitor = await arrive(t, `<script nonce="x" type="text/plain" data-category="statistics">${push("inline")}</script>`, options);
      await grant(visitor);
      await eventually("it ran", async () => (await ran(visitor)).length);
      await sleep(200);
      assert.deepEqual(await ran(visitor), ["inline"]);
      await clean(visitor);
    });

    test("a script with src runs once", async (t) => {
      const visitor = await arrive(t, '<script type="text/plain" data-category="statistics" src="/t/a.js"></script>', options);
      await grant(visitor);
      await eventually("it ran", async () => (await ran(visitor)).length);
      await sleep(200);
      assert.deepEqual(await ran(visitor), ["a.js"]);
      assert.equal(visitor.paths().filter((path) => path === "/t/a.js").length, 1);
      await clean(visitor);
    });

    test("a module runs as a module, inline and by src", async (t) => {
      const visitor = await arrive(
        t,
        `<script nonce="x" type="text/plain" data-type="module" data-category="statistics">ran.push("inline " + typeof import.meta.url)</script>
         <script type="text/plain" data-type="module" data-category="statistics" src="/t/module.js"></script>`,
        { ...options, files: { "/t/module.js": 'window.ran.push("src " + import.meta.url.split("/").pop())' } },
      );
      await grant(visitor);
      await eventually("both ran", async () => (await ran(visitor)).length === 2);
      assert.deepEqual((await ran(visitor)).sort(), ["inline string", "src module.js"]);
      await clean(visitor);
    });

    test("scripts keep their order: external, inline that needs it, external", async (t) => {
      const visitor = await arrive(
        t,
        `<script type="text/plain" data-category="statistics" src="/t/library.js"></script>
         <script nonce="x" type="text/plain" data-category="statistics">ran.push("inline uses " + window.library)</script>
         <script type="text/plain" data-category="statistics" src="/t/last.js"></script>`,
        { ...options, files: { "/t/library.js": [400, 'window.library = "library"; ran.push("library")'] } },
      );
      await grant(visitor);
      await eventually("all ran", async () => (await ran(visitor)).length === 3);
      assert.deepEqual(await ran(visitor), ["library", "inline uses library", "last.js"]);
      await clean(visitor);
    });

    test("two external scripts keep their order even if the second one arrives first", async (t) => {
      const visitor = await arrive(
        t,
        `<script type="text/plain" data-category="statistics" src="/t/slow.js"></script>
         <script type="text/plain" data-category="statistics" src="/t/fast.js"></script>`,
        { ...options, files: { "/t/slow.js": [400, push("slow")] } },
      );
      await grant(visitor);
      await eventually("both ran", async () => (await ran(visitor)).length === 2);
      assert.deepEqual(await ran(visitor), ["slow", "fast.js"]);
    });

    test("an async script does not wait for the others", async (t) => {
      const visitor = await arrive(
        t,
        `<script type="text/plain" data-category="statistics" src="/t/slow.js"></script>
         <script async type="text/plain" data-category="statistics" src="/t/fast.js"></script>`,
        { ...options, files: { "/t/slow.js": [600, push("slow")] } },
      );
      await grant(visitor);
      await eventually("both ran", async () => (await ran(visitor)).length === 2);
      assert.deepEqual(await ran(visitor), ["fast.js", "slow"]);
    });

    test("a script that fails to load does not hold up those behind it", async (t) => {
      const visitor = await arrive(
        t,
        `<script type="text/plain" data-category="statistics" src="/t/broken.js"></script>
         <script nonce="x" type="text/plain" data-category="statistics">${push("inline")}</script>`,
        { ...options },
      );
      await visitor.context.route("**/t/broken.js", (route) => route.abort());
      await grant(visitor);
      await eventually("it ran", async () => (await ran(visitor)).includes("inline"));
    });

    test("a service is run by its own mark", async (t) => {
      const visitor = await arrive(
        t,
        `<script nonce="x" type="text/plain" data-category="statistics" data-service="page-counter">${push("counter")}</script>
         <script nonce="x" type="text/plain" data-category="marketing">${push("marketing")}</script>`,
        options,
      );
      await grant(visitor);
      await eventually("it ran", async () => (await ran(visitor)).length);
      await sleep(200);
      assert.deepEqual(await ran(visitor), ["counter"]);
      await clean(visitor);
    });
  });
}

test("attributes, nonce and place are kept", async (t) => {
  const visitor = await arrive(
    t,
    `<p id="before"></p><script id="it" nonce="x" class="a b" data-own="1" crossorigin="anonymous" referrerpolicy="no-referrer"
      type="text/plain" data-category="statistics" src="/t/a.js"></script><p id="after"></p>`,
    { granted: "statistics" },
  );
  await eventually("it ran", async () => (await ran(visitor)).length);
  const found = await visitor.page.evaluate(() => {
    const node = document.getElementById("it");
    return {
      nonce: node.nonce,
      className: node.className,
      own: node.dataset.own,
      crossOrigin: node.crossOrigin,
      referrerPolicy: node.referrerPolicy,
      type: node.getAttribute("type"),
      before: node.previousElementSibling.id,
      after: node.nextElementSibling.id,
    };
  });
  assert.deepEqual(found, {
    nonce: "x",
    className: "a b",
    own: "1",
    crossOrigin: "anonymous",
    referrerPolicy: "no-referrer",
    type: "",
    before: "before",
    after: "after",
  });
  await clean(visitor);
});

test("document.currentScript is the script itself", async (t) => {
  const visitor = await arrive(
    t,
    '<script id="it" nonce="x" type="text/plain" data-category="statistics">ran.push(document.currentScript?.id)</script>',
    { granted: "statistics" },
  );
  await eventually("it ran", async () => (await ran(visitor)).length);
  assert.deepEqual(await ran(visitor), ["it"]);
});

test("an inline script without the page's nonce stays blocked by the policy: the gate is no way round it", async (t) => {
  const visitor = await arrive(t, `<script type="text/plain" data-category="statistics">${push("inline")}</script>`, { granted: "statistics" });
  await sleep(400);
  assert.deepEqual(await ran(visitor), []);
  assert.equal((await visitor.violations()).length, 1);
});

test("a long inline script that arrives in pieces runs whole", async (t) => {
  const visitor = await arrive(
    t,
    `<script nonce="x" type="text/plain" data-category="statistics">/* ${"x".repeat(300000)} */ ${push("whole")}</script>`,
    { granted: "statistics" },
  );
  await eventually("it ran", async () => (await ran(visitor)).length);
  assert.deepEqual(await ran(visitor), ["whole"]);
  await clean(visitor);
});

test("scripts that are added later run too, with or without a wrapper around them", async (t) => {
  const visitor = await arrive(
    t,
    `<template id="one"><script type="text/plain" data-category="statistics" src="/t/one.js"></script></template>
     <template id="two"><div><div><script nonce="x" type="text/plain" data-category="statistics">${push("two")}</script></div></div></template>
     <template id="three"><script nonce="x" type="text/plain" data-category="marketing">${push("three")}</script></template>`,
    { granted: "statistics", csp: untyped },
  );
  await visitor.page.evaluate(() => {
    for (const id of ["one", "two", "three"]) document.body.append(document.getElementById(id).content.cloneNode(true));
  });
  await eventually("both ran", async () => (await ran(visitor)).length === 2);
  await sleep(100);
  assert.deepEqual((await ran(visitor)).sort(), ["one.js", "two"]);
  await clean(visitor);
});

test("scripts that are added later wait for consent", async (t) => {
  const visitor = await arrive(t, '<template id="one"><script type="text/plain" data-category="statistics" src="/t/one.js"></script></template>');
  await visitor.page.evaluate(() => document.body.append(document.getElementById("one").content.cloneNode(true)));
  await sleep(300);
  assert.deepEqual(await ran(visitor), []);
  await visitor.grantStatistics();
  await eventually("it ran", async () => (await ran(visitor)).length);
  await clean(visitor);
});

test("a category that the notice does not know never runs", async (t) => {
  const visitor = await arrive(
    t,
    `<script nonce="x" type="text/plain" data-category="unknown">${push("unknown")}</script>
     <script nonce="x" type="text/plain" data-category="unknown">${push("unknown again")}</script>
     <script nonce="x" type="text/plain" data-category="statistics" data-service="unknown">${push("unknown service")}</script>
     <script nonce="x" type="text/plain" data-category="">${push("empty")}</script>`,
  );
  await visitor.button("Accept all", visitor.layer).click();
  await eventually("the cookie", () => visitor.cookie());
  await visitor.sent();
  await visitor.reload();
  await sleep(300);
  assert.deepEqual(await ran(visitor), []);
  assert.equal(await visitor.page.locator("script > *").count(), 0, "nothing was put into them either");
});

test("one service can be granted without its category", async (t) => {
  const visitor = await arrive(
    t,
    `<script nonce="x" type="text/plain" data-category="statistics" data-service="page-counter">${push("counter")}</script>
     <script nonce="x" type="text/plain" data-category="statistics">${push("category")}</script>
     <iframe title="Numbers" data-category="statistics" data-service="visitor-numbers" data-src="/t/inner.html" width="300" height="100"></iframe>`,
    { granted: "statistics:page-counter" },
  );
  await eventually("it ran", async () => (await ran(visitor)).length);
  await sleep(300);
  assert.deepEqual(await ran(visitor), ["counter"]);
  assert.ok(!visitor.paths().includes("/t/inner.html"));
  await visitor.reopen.click();
  assert.equal(await visitor.toggle().evaluate((node) => node.indeterminate), true, "the switch says that some are on");
  await clean(visitor);
});

const embeds = `<iframe id="frame" title="Inner" data-category="statistics" data-service="visitor-numbers" data-src="/t/inner.html" width="400" height="160"></iframe>
  <img id="image" alt="A picture" data-category="statistics" data-src="/t/picture.svg" width="400" height="160">
  <script nonce="x" type="text/plain" data-category="statistics">${push("script")}</script>`;
const holders = (visitor) => visitor.page.locator('[data-consent="placeholder"] .placeholder');
const loaded = (visitor, id) => visitor.page.locator(`#${id}`).getAttribute("src");

describe("frames and images", () => {
  test("load nothing before consent, and a placeholder says why and offers both ways", async (t) => {
    const visitor = await arrive(t, embeds);
    await sleep(200);
    assert.equal(await holders(visitor).count(), 2);
    for (const i of [0, 1]) {
      const holder = holders(visitor).nth(i);
      assert.ok((await holder.locator("p").first().innerText()).startsWith("This content is not loaded"));
      assert.deepEqual(await holder.getByRole("button").allInnerTexts(), ["Show once", "Switch “Website statistics” on"]);
    }
    for (const path of ["/t/inner.html", "/t/picture.svg"]) assert.ok(!visitor.paths().includes(path), path);
    assert.ok(!(await visitor.page.locator("#frame").isVisible()));
    await clean(visitor);
  });

  for (const i of [0, 1]) {
    test(`have placeholders at least as tall as what they stand for (${["a frame", "an image with a height"][i]})`, async (t) => {
      const visitor = await arrive(t, embeds);
      const { height } = await holders(visitor).nth(i).boundingBox();
      assert.ok(height >= 160, `${height} px for 160`);
    });
  }

  test("load at once where consent is known, without a placeholder", async (t) => {
    const visitor = await arrive(t, embeds, { granted: "statistics" });
    assert.match(await visitor.page.frameLocator("#frame").locator("p").innerText(), /Inner page/);
    assert.equal(await visitor.page.locator("#image").evaluate((node) => node.decode().then(() => node.naturalWidth)), 40);
    assert.equal(await holders(visitor).count(), 0);
    await clean(visitor);
  });

  test("Show once shows this one thing for this page view: recorded, not in the cookie", async (t) => {
    const visitor = await arrive(t, embeds);
    const known = (await demo.decisions()).length;
    await holders(visitor).first().getByRole("button", { name: "Show once" }).click();
    assert.match(await visitor.page.frameLocator("#frame").locator("p").innerText(), /Inner page/);
    await visitor.sent();
    const records = (await demo.decisions()).slice(known);
    assert.deepEqual(
      records.map(({ method, layer, granted, effect }) => ({ method, layer, granted, effect })),
      [{ method: "save", layer: "placeholder", granted: ["statistics:visitor-numbers"], effect: "once" }],
    );
    assert.deepEqual(await visitor.cookies(), {});
    assert.deepEqual((await visitor.kept()).local, {});
    // Only this one thing.
    assert.equal(await loaded(visitor, "image"), null);
    assert.deepEqual(await ran(visitor), []);
    assert.equal(await visitor.page.evaluate(() => consent.granted("statistics:visitor-numbers")), false);
    assert.ok(await visitor.layer.isVisible(), "the first layer still asks");
    await clean(visitor);
    await visitor.reload();
    await sleep(200);
    assert.equal(await holders(visitor).count(), 2, "gone with the page view");
  });

  test("Show once keeps the answer of somebody who has refused", async (t) => {
    const visitor = await arrive(t, embeds);
    await visitor.button("Reject all", visitor.layer).click();
    await eventually("the cookie", () => visitor.cookie());
    await visitor.sent();
    const { value } = await visitor.cookie();
    await holders(visitor).first().getByRole("button", { name: "Show once" }).click();
    await eventually("the frame", () => loaded(visitor, "frame"));
    await visitor.sent();
    assert.equal((await visitor.cookie()).value, value);
  });

  test("Show once works for an image", async (t) => {
    const visitor = await arrive(t, embeds);
    await holders(visitor).nth(1).getByRole("button", { name: "Show once" }).click();
    await eventually("the picture", () => loaded(visitor, "image"));
    assert.equal(await loaded(visitor, "frame"), null);
  });

  test("Switch the category on grants it: all of it loads, and it is kept", async (t) => {
    const visitor = await arrive(t, embeds);
    const known = (await demo.decisions()).length;
    await holders(visitor).first().getByRole("button", { name: "Switch “Website statistics” on" }).click();
    await eventually("the frame and the picture", async () => (await loaded(visitor, "frame")) && (await loaded(visitor, "image")));
    await eventually("the script", async () => (await ran(visitor)).length);
    await visitor.sent();
    assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.[\w-]{22}\.statistics\.$/);
    const [record] = (await demo.decisions()).slice(known);
    assert.deepEqual([record.method, record.granted], ["save", ["statistics"]]);
    assert.equal((await demo.check(await visitor.subject())).allowed, true);
    await visitor.reload();
    await eventually("the frame again", () => loaded(visitor, "frame"));
    assert.equal(await holders(visitor).count(), 0);
    await clean(visitor);
  });

  test("Switch the category on keeps what was granted before", async (t) => {
    const visitor = await arrive(t, embeds);
    await visitor.button("Settings", visitor.layer).click();
    await visitor.toggle("Marketing").check();
    await visitor.button("Save", visitor.dialog).click();
    await visitor.dialog.waitFor({ state: "detached" });
    await visitor.sent();
    await holders(visitor).first().getByRole("button", { name: "Switch “Website statistics” on" }).click();
    await eventually("the grant", async () => (await visitor.cookie()).granted === "marketing~statistics");
  });

  test("are emptied when consent is withdrawn, and the placeholder is back", async (t) => {
    const visitor = await arrive(t, embeds);
    await visitor.grantStatistics();
    await eventually("the frame", () => loaded(visitor, "frame"));
    await visitor.refuseStatistics();
    assert.equal(await loaded(visitor, "frame"), null);
    assert.equal(await loaded(visitor, "image"), null);
    assert.equal(await holders(visitor).count(), 2);
    assert.equal(visitor.page.frames()[1]?.url() ?? "about:blank", "about:blank");
    await clean(visitor);
  });

  test("shown once are emptied by Forget my settings", async (t) => {
    const visitor = await arrive(t, embeds);
    await holders(visitor).first().getByRole("button", { name: "Show once" }).click();
    await eventually("the frame", () => loaded(visitor, "frame"));
    await visitor.button("Settings", visitor.layer).click();
    await visitor.button("Forget my settings", visitor.dialog).click();
    await visitor.dialog.getByText("Deleted!").waitFor();
    assert.equal(await loaded(visitor, "frame"), null);
  });

  test("that are added later wait behind a placeholder", async (t) => {
    const visitor = await arrive(t, "");
    await visitor.page.evaluate(() => {
      const frame = document.createElement("iframe");
      Object.assign(frame.dataset, { category: "statistics", src: "/t/inner.html" });
      document.body.append(frame);
    });
    await holders(visitor).waitFor();
    assert.ok(!visitor.paths().includes("/t/inner.html"));
  });

  // As embed codes are pasted: inline, in a block of the page's own.
  test("do not shift the layout when a placeholder takes their room", async (t) => {
    const visitor = await arrive(
      t,
      `<div><iframe title="Inner" data-category="statistics" data-src="/t/inner.html" width="400" height="160"></iframe></div><p>Text below</p>`,
      { late: 600 },
    );
    await sleep(200);
    const shifts = await visitor.page.evaluate(
      () =>
        new Promise((resolve) => {
          const values = [];
          new PerformanceObserver((list) => values.push(...list.getEntries().map(({ value }) => value))).observe({ type: "layout-shift", buffered: true });
          setTimeout(resolve, 200, values);
        }),
    );
    assert.deepEqual(shifts, []);
  });
});

test("the whole path breaks no rule of the strict policy: layer, settings, details, grant, forget", async (t) => {
  const visitor = await arrive(t, embeds);
  await visitor.button("Settings", visitor.layer).click();
  for (const details of await visitor.button("View details", visitor.dialog).all()) await details.click().catch(() => {});
  await visitor.toggle().check();
  await visitor.button("Save", visitor.dialog).click();
  await visitor.dialog.waitFor({ state: "detached" });
  await visitor.sent();
  await visitor.reopen.click();
  await visitor.button("Forget my settings", visitor.dialog).click();
  await visitor.dialog.getByText("Deleted!").waitFor();
  await clean(visitor);
});

test("a page that throws in its gated script still has its banner and its other scripts", async (t) => {
  const visitor = await arrive(
    t,
    `<script nonce="x" type="text/plain" data-category="statistics">throw Error("the site's own")</script>
     <script nonce="x" type="text/plain" data-category="statistics">${push("next")}</script>`,
    { granted: "statistics" },
  );
  await eventually("it ran", async () => (await ran(visitor)).length);
  assert.ok(await visitor.reopen.isVisible());
});
