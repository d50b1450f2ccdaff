// What a site's owner relies on beyond the plain banner: the gate's corners, themes, pages that draw themselves, several tabs and
// hosts, frames, browsers without scripts, printing, and what the policy page lists.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Demo, Visitor, browserPath, chromium, close, eventually, front, included, sleep, subjectText, uuid } from "./harness.mjs";

const demo = await Demo.start({ preset: "choice" });
after(async () => {
  await close();
  await demo.stop();
});

const drafts = new URL("../../consent-server/notices/", import.meta.url);
const draft = (preset = "choice") => readFileSync(new URL(`demo-${preset}.toml`, drafts), "utf8");

/** A demo that shows a notice of the test's own: `change` makes it of the demo's. */
async function own(t, change, preset = "choice") {
  const demo = await Demo.start({ preset });
  t.after(() => demo.stop());
  await demo.publish(change(draft(preset)), "--material", "statistics", ...(preset === "choice" ? ["--material", "marketing"] : []));
  return demo;
}

const line = '<script async src="/v1/sites/demo/consent.js"></script>';
const page = (body = "", head = line) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>A page of the test</title><link rel="icon" href="data:,">
<script>window.ran = [];</script>${head}</head><body><main><h1>A page</h1>${body}</main></body></html>`;

const cookieValue = (granted, notice = 1) => `1.${notice}.${Math.floor(Date.now() / 1000)}.${granted === undefined ? "-" : subjectText()}.${granted ?? ""}.`;

/** A visitor on a page of the test's own at /t.html; other files under /t/ are scripts that tell that they ran. */
async function arrive(t, body, { head, at = demo, granted, files = {}, address = "/t.html", ...options } = {}) {
  const visitor = await Visitor.arrive(t, at, options);
  if (granted !== undefined) await visitor.context.addCookies([{ name: "consent", value: cookieValue(granted), url: at.origin }]);
  await visitor.context.route("**/t/**", async (route) => {
    const name = new URL(route.request().url()).pathname;
    if (name.endsWith(".html")) return route.fulfill({ body: "<!doctype html><title>Inner</title><p>Inner page", contentType: "text/html" });
    const file = files[name] ?? `window.ran.push(${JSON.stringify(name.split("/").pop())})`;
    const [delay, text] = Array.isArray(file) ? file : [0, file];
    await sleep(delay);
    await route.fulfill({ body: text, contentType: "text/javascript" }).catch(() => {});
  });
  await visitor.serve("/t.html", page(body, head));
  await visitor.visit(address);
  return visitor;
}

const ran = (visitor) => visitor.page.evaluate(() => window.ran);
const press = async (visitor, name) => {
  await visitor.button(name, visitor.layer).click();
  await eventually("the cookie", () => visitor.cookie());
  await visitor.sent();
};
const since = async (known, at = demo) => (await at.decisions()).slice(known);

describe("the gate", () => {
  test("one service that the page's own control grants runs alone, and stops alone", async (t) => {
    const known = (await demo.decisions()).length;
    const visitor = await arrive(
      t,
      `<script type="text/plain" data-category="statistics" data-service="page-counter">ran.push("counter")</script>
       <script type="text/plain" data-category="statistics" data-service="visitor-numbers">ran.push("numbers")</script>
       <script type="text/plain" data-category="statistics">ran.push("category")</script>
       <iframe id="one" title="One" data-category="statistics" data-service="page-counter" data-src="/t/one.html" width="300" height="100"></iframe>
       <iframe id="two" title="Two" data-category="statistics" data-src="/t/two.html" width="300" height="100"></iframe>
       <button id="own" onclick="consent.save(['statistics:page-counter'])">The counter only</button>`,
    );
    await visitor.page.locator("#own").click();
    await eventually("the counter ran", async () => (await ran(visitor)).length);
    await visitor.sent();
    await sleep(200);
    assert.deepEqual(await ran(visitor), ["counter"]);
    assert.equal(await visitor.page.locator("#one").getAttribute("src"), "/t/one.html");
    assert.equal(await visitor.page.locator("#two").getAttribute("src"), null);
    assert.equal((await visitor.cookie()).granted, "statistics:page-counter");
    assert.equal((await since(known))[0].granted.join(), "statistics:page-counter");
    assert.equal((await demo.check(await visitor.subject())).allowed, false, "the category as a whole is not granted");
    // On the next page the loader says so by itself.
    await visitor.reload();
    await eventually("the counter ran again", async () => (await ran(visitor)).length);
    assert.deepEqual(await ran(visitor), ["counter"]);
    await visitor.page.evaluate(() => consent.rejectAll());
    await visitor.sent();
    assert.equal(await visitor.page.locator("#one").getAttribute("src"), null);
    assert.equal(await visitor.page.evaluate(() => consent.granted("statistics:page-counter")), false);
  });

  for (const [when, granted] of [["granted before", "statistics"], ["granted now", undefined]]) {
    test(`deferred scripts and modules run in the order in which they are written (${when})`, async (t) => {
      const visitor = await arrive(
        t,
        `<script type="text/plain" data-category="statistics" defer src="/t/1.js"></script>
         <script type="text/plain" data-type="module" data-category="statistics" src="/t/2.js"></script>
         <script type="text/plain" data-category="statistics" defer src="/t/3.js"></script>
         <script type="text/plain" data-type="module" data-category="statistics" src="/t/4.js"></script>`,
        { granted, files: { "/t/1.js": [300, "ran.push(1)"], "/t/2.js": [200, "ran.push(2)"], "/t/3.js": [0, "ran.push(3)"], "/t/4.js": [0, "ran.push(4)"] } },
      );
      if (granted === undefined) await press(visitor, "Accept all");
      await eventually("all ran", async () => (await ran(visitor)).length === 4);
      assert.deepEqual(await ran(visitor), [1, 2, 3, 4]);
    });

    // As without a gate: an inline module is deferred behind the modules before it.
    test(`an inline module runs after the module before it (${when})`, async (t) => {
      const visitor = await arrive(
        t,
        `<script type="text/plain" data-type="module" data-category="statistics" src="/t/1.js"></script>
         <script type="text/plain" data-type="module" data-category="statistics">window.ran.push(2)</script>`,
        { granted, files: { "/t/1.js": [300, "window.ran.push(1)"] } },
      );
      if (granted === undefined) await press(visitor, "Accept all");
      await eventually("both ran", async () => (await ran(visitor)).length === 2);
      assert.deepEqual(await ran(visitor), [1, 2]);
    });
  }
});

describe("what a category has stored", () => {
  const stored = (draft) =>
    draft.replace(
      '{ name = "demo_visits", storage = "cookie", lifetime = "30 days"',
      ["local", "session", "indexeddb", "cookie"]
        .flatMap((storage) => [`own_${storage}`, `pre_${storage}_*`].map((name) => `{ name = "${name}", storage = "${storage}", lifetime = "LIFE", purpose = { en = "Counts.", de = "Zählt." } },`))
        .join("\n    ")
        .replaceAll("LIFE", "30 days") + '\n    { name = "demo_visits", storage = "cookie", lifetime = "30 days"',
    );
  let at;
  before(async () => {
    at = await Demo.start({ preset: "choice" });
    const text = stored(draft()).replaceAll(/storage = "(session)", lifetime = "30 days"/g, 'storage = "$1", lifetime = "session"');
    await at.publish(text, "--material", "statistics", "--material", "marketing");
  });
  after(() => at.stop());

  const fill = (visitor) =>
    visitor.page.evaluate(async () => {
      for (const [area, kind] of [[localStorage, "local"], [sessionStorage, "session"]])
        for (const key of [`own_${kind}`, `pre_${kind}_`, `pre_${kind}_1`, `pre_${kind}_two`, `not_own_${kind}`, `pre_${kind}`, `own_${kind}2`]) area.setItem(key, "1");
      for (const name of ["own_indexeddb", "pre_indexeddb_1", "not_own_indexeddb"])
        await new Promise((resolve, reject) => {
          const request = indexedDB.open(name);
          request.onsuccess = () => {
            request.result.close();
            resolve();
          };
          request.onerror = reject;
        });
    });
  const left = ["not_own_KIND", "own_KIND2", "pre_KIND"];
  const names = (kind) => left.map((name) => name.replace("KIND", kind));

  for (const [how, revoke] of [
    ["Save with the switch off", (visitor) => visitor.refuseStatistics()],
    ["consent.rejectAll()", (visitor) => visitor.page.evaluate(() => consent.rejectAll())],
    ["consent.forget()", (visitor) => visitor.page.evaluate(() => consent.forget())],
  ]) {
    test(`in local storage, session storage and IndexedDB goes by name and by pattern, and nothing else does: ${how}`, async (t) => {
      const visitor = await arrive(t, "", { at });
      await visitor.grantStatistics();
      await fill(visitor);
      await revoke(visitor);
      await visitor.sent();
      await eventually("the databases are gone", async () => (await visitor.kept()).databases.length === 1);
      const kept = await visitor.kept();
      delete kept.local.consent;
      assert.deepEqual(Object.keys(kept.local).sort(), names("local"));
      assert.deepEqual(Object.keys(kept.session).sort(), names("session"));
      assert.deepEqual(kept.databases, ["not_own_indexeddb"]);
    });
  }

  test("in cookies goes with every Domain and Path above the page", async (t) => {
    // Two labels and a half: a.shop.localhost may set cookies for itself and for shop.localhost.
    const host = "a.shop.localhost";
    const origin = `http://${host}:${at.port}`;
    await at.configure([origin]);
    const visitor = await Visitor.arrive(t, at);
    await visitor.serve("/deep/er/t.html", page());
    await visitor.page.goto(`${origin}/deep/er/t.html`);
    await visitor.settled();
    await visitor.button("Accept all", visitor.layer).click();
    await visitor.sent();
    await visitor.page.evaluate(() => {
      for (const domain of ["", "; Domain=shop.localhost", "; Domain=a.shop.localhost"])
        for (const path of ["/", "/deep", "/deep/", "/deep/er", "/deep/er/", "/deep/er/t.html"]) {
          document.cookie = `own_cookie=1; Path=${path}${domain}`;
          document.cookie = `pre_cookie_x=1; Path=${path}${domain}`;
        }
      document.cookie = "kept=1; Path=/deep";
    });
    const found = async () => (await visitor.context.cookies(`${origin}/deep/er/t.html`)).map(({ name }) => name).filter((name) => name !== "consent");
    // A page's write is done when the page says so; that the browser knows of it elsewhere takes a moment more.
    await eventually("the browser took them", async () => (await found()).length > 25);
    await visitor.page.evaluate(() => consent.rejectAll());
    await visitor.sent();
    await eventually("they are gone", async () => (await found()).join() === "kept");
  });
});

describe("a theme", () => {
  const themed = (theme) => (draft) => `${draft}\n[theme]\n${theme}\n`;
  const look = (visitor) =>
    visitor.page.evaluate(() => {
      const banner = document.querySelector("[data-consent=banner]");
      const box = banner.getBoundingClientRect();
      const style = getComputedStyle(banner);
      const button = getComputedStyle(banner.querySelector("button"));
      return {
        top: box.top,
        bottom: innerHeight - box.bottom,
        left: box.left,
        right: document.documentElement.clientWidth - box.right,
        width: box.width,
        surface: style.backgroundColor,
        text: style.color,
        radius: style.borderTopLeftRadius,
        font: style.fontFamily,
        accent: button.color,
        border: button.borderTopColor,
        buttonFont: button.fontFamily,
      };
    });
  const near = (got, want, what) => assert.ok(Math.abs(got - want) <= 1.5, `${what}: ${got}, not ${want}`);

  for (const [position, holds] of [
    ["top", (box) => (near(box.top, 12, "top"), near(box.left, box.right, "in the middle"))],
    ["bottom", (box) => (near(box.bottom, 12, "bottom"), near(box.left, box.right, "in the middle"))],
    ["bottom-start", (box) => (near(box.bottom, 12, "bottom"), near(box.left, 12, "left"), assert.ok(box.width <= 27 * 16 + 1, `${box.width}`))],
    ["bottom-end", (box) => (near(box.bottom, 12, "bottom"), near(box.right, 12, "right"), assert.ok(box.width <= 27 * 16 + 1, `${box.width}`))],
  ]) {
    test(`puts the first layer at ${position}, and at no width outside the window`, async (t) => {
      const at = await own(t, themed(`radius = 14\nposition = "${position}"`));
      const visitor = await arrive(t, "<p>Text</p>".repeat(50), { at });
      holds(await look(visitor));
      await visitor.page.setViewportSize({ width: 320, height: 568 });
      await visitor.reload();
      const box = await look(visitor);
      for (const side of ["top", "bottom", "left", "right"]) assert.ok(box[side] >= 0, `${side} at 320 px: ${box[side]}`);
      if (position === "top") near(box.top, 12, "top at 320 px");
      else near(box.bottom, 12, "bottom at 320 px");
      if (position !== "top") assert.equal(await endHidden(visitor), false, "the end of the page cannot be scrolled out from under the layer");
    });
  }

  const endHidden = (visitor) =>
    visitor.page.evaluate(() => {
      scrollTo(0, document.documentElement.scrollHeight);
      const layer = document.querySelector("[data-consent=banner]").getBoundingClientRect();
      const text = document.querySelector("main p:last-of-type").getBoundingClientRect();
      return text.top < layer.bottom && text.bottom > layer.top;
    });

  // Turned, zoomed, or made narrower: the layer becomes taller.
  test("leaves the end of the page to be read when the window becomes narrower under the layer", async (t) => {
    const visitor = await arrive(t, "<p>Text</p>".repeat(50));
    await visitor.page.setViewportSize({ width: 320, height: 568 });
    await sleep(300);
    assert.equal(await endHidden(visitor), false, "the end of the page cannot be scrolled out from under the layer");
  });

  test("chooses colours, corners and font, in the settings too", async (t) => {
    const at = await own(t, themed('radius = 3\nfont = "Georgia, serif"\n[theme.light]\nsurface = "#fffbe6"\ntext = "#222222"\naccent = "#003366"'));
    const visitor = await arrive(t, "", { at, colorScheme: "light" });
    const { surface, text, radius, font, accent, border, buttonFont } = await look(visitor);
    assert.deepEqual(
      { surface, text, radius, font, accent, border, buttonFont },
      { surface: "rgb(255, 251, 230)", text: "rgb(34, 34, 34)", radius: "3px", font: "Georgia, serif", accent: "rgb(0, 51, 102)", border: "rgb(0, 51, 102)", buttonFont: "Georgia, serif" },
    );
    await visitor.button("Settings", visitor.layer).click();
    const dialog = await visitor.dialog.evaluate((node) => {
      const style = getComputedStyle(node);
      return [style.backgroundColor, style.color, style.borderTopLeftRadius, style.fontFamily];
    });
    assert.deepEqual(dialog, ["rgb(255, 251, 230)", "rgb(34, 34, 34)", "3px", "Georgia, serif"]);
  });

  test("is dark where it says so, whatever the visitor's system is", async (t) => {
    const at = await own(t, themed('scheme = "dark"'));
    const visitor = await arrive(t, "", { at, colorScheme: "light" });
    const { surface, text } = await look(visitor);
    assert.deepEqual([surface, text], ["rgb(26, 32, 38)", "rgb(231, 236, 240)"]);
  });

  test("gives way to the variables of the page's own style sheet, on every control alike", async (t) => {
    const at = await own(t, themed('[theme.light]\naccent = "#003366"'));
    const visitor = await arrive(t, "", { at, colorScheme: "light", head: `<style>[data-consent] { --consent-accent: rgb(120, 0, 60); --consent-surface: rgb(250, 250, 200) }</style>${line}` });
    const { accent, surface } = await look(visitor);
    assert.deepEqual([accent, surface], ["rgb(120, 0, 60)", "rgb(250, 250, 200)"]);
    const colours = await visitor.layer.getByRole("button").evaluateAll((nodes) => nodes.map((node) => getComputedStyle(node).color));
    assert.equal(new Set(colours).size, 1, colours.join());
    await visitor.button("Settings", visitor.layer).click();
    assert.equal(await visitor.button("Save", visitor.dialog).evaluate((node) => getComputedStyle(node).color), "rgb(120, 0, 60)");
  });
});

describe("headless", () => {
  const head = line.replace("consent.js", "consent.js?headless");

  test("draws nothing, and window.consent works: open, Save, acceptAll and rejectAll in a click", async (t) => {
    const known = (await demo.decisions()).length;
    const visitor = await arrive(
      t,
      `<button id="yes" onclick="consent.acceptAll()">Yes</button><button id="no" onclick="consent.rejectAll()">No</button>
       <button id="more" onclick="consent.open()">More</button>
       <script type="text/plain" data-category="statistics">ran.push("statistics")</script>`,
      { head },
    );
    await sleep(500);
    assert.equal(await visitor.page.locator("[data-consent]").count(), 0, "nothing of ours is there");
    assert.deepEqual(await visitor.page.evaluate(() => consent.status()), "none");
    await visitor.page.locator("#more").click();
    await visitor.dialog.waitFor();
    await visitor.page.keyboard.press("Escape");
    await visitor.dialog.waitFor({ state: "detached" });
    assert.equal((await visitor.focused()).id, "more");
    assert.equal((await since(known)).length, 0);
    await visitor.page.locator("#yes").click();
    await eventually("the script ran", async () => (await ran(visitor)).length);
    await visitor.sent();
    assert.equal((await visitor.cookie()).granted, "marketing~statistics");
    assert.equal((await demo.check(await visitor.subject())).allowed, true);
    await visitor.page.locator("#more").click();
    await visitor.toggle().uncheck();
    await visitor.button("Save", visitor.dialog).click();
    await visitor.dialog.waitFor({ state: "detached" });
    await visitor.sent();
    assert.equal((await visitor.cookie()).granted, "marketing");
    await visitor.page.locator("#no").click();
    await visitor.sent();
    assert.equal((await visitor.cookie()).granted, "");
    assert.deepEqual(
      (await since(known)).map(({ method, layer, control }) => [method, layer, control]),
      [["accept-all", "none", "script"], ["save", "settings", "save"], ["reject-all", "none", "script"]],
    );
    assert.equal(await visitor.page.locator("[data-consent]").count(), 0);
    assert.deepEqual(visitor.complaints(), []);
  });

  test("draws nothing for somebody who has chosen either", async (t) => {
    const visitor = await arrive(t, "", { head, granted: "statistics" });
    await sleep(300);
    assert.equal(await visitor.page.locator("[data-consent]").count(), 0);
    assert.equal((await visitor.holds()).statistics, true);
  });
});

describe("one cookie for several hosts of a site", () => {
  // Two hosts with pages, and the service on a third one, as an owner's would be.
  async function hosts(t) {
    const at = await Demo.start({ preset: "choice" });
    t.after(() => at.stop());
    const body = '<script type="text/plain" data-category="statistics">ran.push("statistics")</script>';
    const script = `<script async src="http://consent.shop.localhost:${at.port}/v1/sites/demo/consent.js"></script>`;
    const { port } = await front(t, at, { "/t.html": page(body, script) });
    const [a, b] = ["a", "b"].map((name) => `http://${name}.shop.localhost:${port}`);
    await at.configure([a, b], "--cookie-domain", "shop.localhost");
    const visitor = await Visitor.arrive(t, at);
    const there = async (host) => {
      await visitor.page.goto(`${host}/t.html`);
      await visitor.settled();
    };
    const kept = async () => (await visitor.context.cookies([a, b])).filter(({ name }) => name === "consent").map(({ domain, path, value }) => [domain, path, value.split(".")[4]]);
    return { at, a, b, visitor, there, kept };
  }

  test("a choice on one holds on the other, both ways, and Forget clears both", async (t) => {
    const { at, a, b, visitor, there, kept } = await hosts(t);
    const known = (await at.decisions()).length;
    await there(a);
    await visitor.button("Accept all", visitor.layer).click();
    await eventually("the record", async () => (await since(known, at)).length === 1);
    await visitor.sent();
    assert.deepEqual(await kept(), [[".shop.localhost", "/", "marketing~statistics"]]);
    const [{ value }] = (await visitor.context.cookies(a)).filter(({ name }) => name === "consent");
    await there(b);
    await eventually("the script ran", async () => (await ran(visitor)).length);
    assert.equal(await visitor.layer.count(), 0);
    await visitor.refuseStatistics();
    assert.deepEqual(await kept(), [[".shop.localhost", "/", "marketing"]]);
    const subject = uuid(value.split(".")[3]);
    assert.equal((await at.check(subject)).allowed, false);
    await there(a);
    assert.equal((await visitor.holds()).statistics, false);
    // The first host's last decision is not the latest any more: it asks before it grants.
    await visitor.grantStatistics();
    await visitor.sent();
    assert.equal((await at.decisions()).at(-1).effect, "applied");
    assert.equal((await at.check(subject)).allowed, true);
    await there(b);
    assert.equal((await visitor.holds()).statistics, true);
    await visitor.reopen.click();
    await visitor.button("Forget my settings", visitor.dialog).click();
    await visitor.dialog.getByText("Deleted!").waitFor();
    await visitor.sent();
    assert.deepEqual(await kept(), []);
    assert.equal((await at.check(subject)).status, "forgotten");
    await there(a);
    assert.ok(await visitor.layer.isVisible());
    assert.deepEqual(visitor.complaints(), []);
  });

  test("a cookie that one host has kept for itself before is no second answer", async (t) => {
    const { a, visitor, there, kept } = await hosts(t);
    await visitor.context.addCookies([{ name: "consent", value: cookieValue("statistics"), url: a }]);
    await there(a);
    assert.equal((await visitor.holds()).statistics, true);
    await visitor.page.evaluate(() => consent.rejectAll());
    await visitor.sent();
    assert.deepEqual(await kept(), [[".shop.localhost", "/", ""]]);
    await there(a);
    assert.equal((await visitor.holds()).statistics, false);
    assert.equal(await visitor.layer.count(), 0, "asked once");
  });
});

describe("a second tab", () => {
  const body = '<script type="text/plain" data-category="statistics">ran.push("statistics")</script><iframe id="frame" title="Inner" data-category="statistics" data-src="/t/inner.html"></iframe>';
  const head = `<script>window.heard = []; document.addEventListener("consent:change", (event) => heard.push(event.detail.status + ":" + event.detail.granted))</script>${line}`;
  const assets = (visitor, tab) => tab.evaluate(() => performance.getEntriesByType("resource").filter(({ name }) => name.includes("/assets/")).length);
  const layerIn = (tab) => tab.getByRole("region", { name: "Privacy on this site" });

  async function tabs(t, granted) {
    const visitor = await arrive(t, body, { head, granted });
    const second = await visitor.context.newPage();
    await visitor.visit("/t.html", second);
    return [visitor, second];
  }

  test("follows Accept all: its layer goes, its scripts run, change fires", async (t) => {
    const [visitor, second] = await tabs(t);
    assert.ok(await layerIn(second).isVisible());
    await press(visitor, "Accept all");
    await eventually("the script ran there", () => second.evaluate(() => window.ran.length));
    await layerIn(second).waitFor({ state: "detached" });
    assert.equal(await second.evaluate(() => consent.granted("statistics")), true);
    await visitor.sent();
    assert.deepEqual(await second.evaluate(() => heard), ["valid:marketing,statistics"]);
    assert.deepEqual(await second.evaluate(() => ran), ["statistics"]);
  });

  test("follows Reject all: its layer goes and nothing runs", async (t) => {
    const [visitor, second] = await tabs(t);
    await press(visitor, "Reject all");
    await layerIn(second).waitFor({ state: "detached" });
    assert.deepEqual(await second.evaluate(() => ran), []);
    assert.equal(await second.evaluate(() => consent.status()), "valid");
  });

  test("follows a withdrawal: granted() says no, change fires, frames are emptied", async (t) => {
    const [visitor, second] = await tabs(t, "statistics");
    await second.waitForFunction(() => document.getElementById("frame").hasAttribute("src"));
    await visitor.page.bringToFront();
    await visitor.refuseStatistics();
    await eventually("it holds there", () => second.evaluate(() => !consent.granted("statistics")));
    assert.deepEqual(await second.evaluate(() => heard), ["valid:"]);
    assert.equal(await second.evaluate(() => document.getElementById("frame").hasAttribute("src")), false);
  });

  test("follows Forget my settings: it asks again", async (t) => {
    const [visitor, second] = await tabs(t, "statistics");
    await visitor.page.bringToFront();
    await visitor.reopen.click();
    await visitor.button("Forget my settings", visitor.dialog).click();
    await visitor.dialog.getByText("Deleted!").waitFor();
    await eventually("it holds there", () => second.evaluate(() => !consent.granted("statistics")));
    await layerIn(second).waitFor();
    assert.equal(await second.evaluate(() => consent.status()), "none");
  });

  test("fetches no core where nothing has changed", async (t) => {
    const [visitor, second] = await tabs(t, "statistics");
    await visitor.page.evaluate(() => {
      localStorage.setItem("of the page", "1");
      localStorage.removeItem("of the page");
    });
    await visitor.reload();
    await sleep(500);
    assert.equal(await assets(visitor, second), 0);
    assert.equal(await assets(visitor, visitor.page), 0);
  });

  test("an answer in each of two layers that were both open is two answers of one person", async (t) => {
    const [visitor, second] = await tabs(t);
    // Both before either has heard of the other.
    await visitor.context.setOffline(true);
    await visitor.context.setOffline(false);
    await press(visitor, "Accept all");
    await eventually("it holds there", () => second.evaluate(() => consent.granted("statistics")));
    const subject = await visitor.subject();
    await second.bringToFront();
    await second.evaluate(() => consent.rejectAll());
    await visitor.sent();
    await eventually("it holds here", () => visitor.page.evaluate(() => !consent.granted("statistics")));
    assert.equal((await demo.check(subject)).allowed, false);
  });
});

describe("a page that draws itself anew", () => {
  const empty = [
    ["body.innerHTML = ''", () => (document.body.innerHTML = "")],
    ["a new body", () => document.body.replaceWith(Object.assign(document.createElement("body"), { innerHTML: "<h1>Another route</h1>" }))],
  ];
  for (const [how, clear] of empty) {
    test(`keeps the first layer, and it works (${how})`, async (t) => {
      const visitor = await arrive(t, "<p>Text</p>");
      await visitor.page.evaluate(clear);
      await visitor.page.evaluate(() => document.documentElement.append(document.body ?? document.createElement("body")));
      await eventually("the layer", () => visitor.layer.isVisible(), 2000);
      await sleep(800);
      assert.equal(await visitor.layer.count(), 1);
      await press(visitor, "Reject all");
      assert.ok(await visitor.reopen.isVisible());
    });

    test(`keeps the control that opens the settings again, and it works (${how})`, async (t) => {
      const visitor = await arrive(t, "<p>Text</p>", { granted: "statistics" });
      await visitor.page.evaluate(clear);
      await visitor.page.evaluate(() => document.documentElement.append(document.body ?? document.createElement("body")));
      await eventually("the control", () => visitor.reopen.isVisible(), 2000);
      await visitor.refuseStatistics();
      assert.equal((await visitor.cookie()).granted, "");
    });
  }

  test("keeps a first layer that was in the page's HTML", async (t) => {
    const site = await front(t, demo, { "/": async (incoming) => page().replace("<main>", `${await included(demo, incoming)}<main>`) });
    const visitor = await Visitor.arrive(t, demo);
    await visitor.page.goto(site.origin);
    await visitor.settled();
    await visitor.page.evaluate(() => (document.body.innerHTML = "<h1>Another route</h1>"));
    await eventually("the layer", () => visitor.layer.isVisible(), 2000);
    assert.equal(await visitor.layer.count(), 1);
  });

  test("leaves the open settings open, and they open again", async (t) => {
    const visitor = await arrive(t, "<p>Text</p>", { granted: "statistics" });
    await visitor.reopen.click();
    await visitor.dialog.waitFor();
    await visitor.page.evaluate(() => (document.body.innerHTML = "<h1>Another route</h1>"));
    assert.ok(await visitor.dialog.isVisible());
    await visitor.page.keyboard.press("Escape");
    await visitor.dialog.waitFor({ state: "detached" });
    await visitor.reopen.click();
    await visitor.dialog.waitFor();
  });

  test("has the scripts of its next route gated", async (t) => {
    const visitor = await arrive(t, "<p>Text</p>");
    const route = () =>
      visitor.page.evaluate(() => {
        document.body.innerHTML = "";
        history.pushState({}, "", "/next");
        const script = document.createElement("script");
        Object.assign(script, { type: "text/plain", textContent: "ran.push('route')" });
        script.dataset.category = "statistics";
        document.body.append(script);
      });
    await route();
    await sleep(300);
    assert.deepEqual(await ran(visitor), []);
    await eventually("the layer", () => visitor.layer.isVisible(), 2000);
    await press(visitor, "Accept all");
    await eventually("it ran", async () => (await ran(visitor)).length);
    await route();
    await eventually("the next one ran too", async () => (await ran(visitor)).length === 2);
  });
});

describe("the back/forward cache", () => {
  // Playwright switches it off.
  let browser;
  before(async () => {
    browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"], ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  });
  after(() => browser.close());

  const body = '<script type="text/plain" data-category="statistics">ran.push("statistics")</script>';
  const head = `<script>addEventListener("pageshow", (event) => (window.persisted = event.persisted)); window.heard = []; document.addEventListener("consent:change", (event) => heard.push(event.detail.granted.join()))</script>${line}`;

  /** First page, second page, `act` there, and back. */
  async function back(t, granted, act) {
    const site = await front(t, demo, { "/first": page(body, head), "/second": page("", head) });
    await demo.configure([site.origin, `http://localhost:${demo.port}`]);
    const visitor = await Visitor.arrive(t, demo, { browser });
    if (granted !== undefined) await visitor.context.addCookies([{ name: "consent", value: cookieValue(granted), url: demo.origin }]);
    await visitor.page.goto(`${site.origin}/first`);
    await visitor.settled();
    await sleep(500);
    await visitor.quietly("window.mark = 1");
    await visitor.page.goto(`${site.origin}/second`);
    await visitor.settled();
    await act(visitor);
    await visitor.sent();
    await visitor.quietly("setTimeout(() => history.back(), 100); 1");
    await eventually("the first page as it was", async () => (await visitor.quietly("location.pathname + window.mark + window.persisted")) === "/first1true");
    return visitor;
  }
  const layers = "document.querySelectorAll('[data-consent=banner]').length";

  test("restores a page that follows what was granted elsewhere meanwhile", async (t) => {
    const visitor = await back(t, undefined, (visitor) => visitor.button("Accept all", visitor.layer).click());
    await eventually("the script ran", async () => (await visitor.quietly("ran.length")) === 1);
    assert.equal(await visitor.quietly("consent.granted('statistics')"), true);
    assert.equal(await visitor.quietly(layers), 0);
    assert.deepEqual(await visitor.quietly("heard"), ["marketing,statistics"]);
  });

  test("restores a page that follows what was withdrawn elsewhere meanwhile", async (t) => {
    const visitor = await back(t, "statistics", (visitor) => visitor.page.evaluate(() => consent.rejectAll()));
    await eventually("it holds", () => visitor.quietly("!consent.granted('statistics')"));
    assert.deepEqual(await visitor.quietly("heard"), [""]);
  });

  test("restores a page that asks again after Forget elsewhere", async (t) => {
    const visitor = await back(t, "statistics", (visitor) => visitor.page.evaluate(() => consent.forget()));
    await eventually("it asks", async () => (await visitor.quietly(layers)) === 1);
    assert.equal(await visitor.quietly("consent.granted('statistics')"), false);
  });

  test("restores a page without fetching the core where nothing was chosen", async (t) => {
    const visitor = await back(t, "statistics", async () => {});
    await sleep(500);
    assert.equal(await visitor.quietly("performance.getEntriesByType('resource').filter(({ name }) => name.includes('/assets/')).length"), 0);
    assert.equal(await visitor.quietly("consent.granted('statistics')"), true);
  });
});

test("nothing of ours is printed: layer, control, placeholder, settings", async (t) => {
  const frame = '<iframe title="Inner" data-category="statistics" data-src="/t/inner.html" width="300" height="100"></iframe>';
  const printed = (visitor) =>
    visitor.page.evaluate(() =>
      [...document.querySelectorAll("[data-consent]")]
        .flatMap((host) => [host, ...host.children, ...host.shadowRoot.querySelectorAll("*")])
        .filter((node) => node.checkVisibility() && node.getClientRects().length)
        .map((node) => `${node.localName} ${node.textContent.slice(0, 20)}`),
    );
  const visitor = await arrive(t, frame);
  assert.ok((await printed(visitor)).length > 5, "the probe sees what is on the screen");
  await visitor.page.emulateMedia({ media: "print" });
  assert.deepEqual(await printed(visitor), [], "the first layer");
  await visitor.page.emulateMedia({ media: "screen" });
  await visitor.button("Settings", visitor.layer).click();
  await visitor.dialog.waitFor();
  await visitor.page.emulateMedia({ media: "print" });
  assert.deepEqual(await printed(visitor), [], "the settings");
  await visitor.page.emulateMedia({ media: "screen" });
  await visitor.page.keyboard.press("Escape");
  await press(visitor, "Reject all");
  await visitor.page.emulateMedia({ media: "print" });
  assert.deepEqual(await printed(visitor), [], "the control and the placeholder");
});

describe("the first layer in the page's HTML", () => {
  /** A site that includes the layer: without scripts, or with consent.js held back `late` ms. */
  async function site(t, { script = "", at = demo, query = "", headers, body = "<p>Text</p>" } = {}) {
    const html = async (incoming) => page(body, script).replace("<main>", `${await included(at, incoming, query)}<main>`);
    const made = await front(t, at, { "/": html, "/article": html, "/static": page(body, script).replace("<main>", `${await (await fetch(at.api("banner.html"))).text()}<main>`) }, headers);
    await at.configure([made.origin, `http://localhost:${at.port}`]);
    return made;
  }
  const plain = (t, options) => Visitor.arrive(t, demo, { javaScriptEnabled: false, ...options });

  describe("without scripts", () => {
    for (const [name, want, granted] of [
      ["Reject all", { method: "reject-all", layer: "first", granted: [], denied: ["marketing", "statistics"] }, ""],
      ["Accept all", { method: "accept-all", layer: "first", granted: ["marketing", "statistics"], denied: [] }, "marketing~statistics"],
    ]) {
      test(`${name} is recorded, kept, and leads back to the page, which asks no more`, async (t) => {
        const { origin } = await site(t);
        const known = (await demo.decisions()).length;
        const visitor = await plain(t);
        await visitor.page.goto(`${origin}/article?x=1`);
        assert.ok(await visitor.layer.isVisible(), "drawn by declarative shadow DOM");
        const box = await visitor.layer.boundingBox();
        assert.ok(box.y > 300 && box.y + box.height <= 800, `at the end of the window: ${JSON.stringify(box)}`);
        assert.deepEqual(await visitor.layer.getByRole("button").allInnerTexts(), ["Accept all", "Reject all", "Settings"]);
        await visitor.button(name, visitor.layer).click();
        await eventually("it leads back", () => visitor.page.url() === `${origin}/article?x=1`);
        const [record] = await since(known);
        const { method, layer, granted: given, denied } = record;
        assert.deepEqual({ method, layer, granted: given, denied }, want);
        assert.equal((await visitor.cookie()).granted, granted);
        assert.equal((await visitor.cookie()).subject === "-", granted === "");
        assert.equal(await visitor.layer.count(), 0);
        const [cookie] = await visitor.context.cookies();
        assert.deepEqual([cookie.path, cookie.sameSite, Math.round((cookie.expires - Date.now() / 1000) / 86400)], ["/", "Lax", 180]);
        await visitor.page.goto(`${origin}/`);
        assert.equal(await visitor.layer.count(), 0, "nor on another page");
      });
    }

    test("Close (preset notice) is recorded as close on the first layer", async (t) => {
      const at = await Demo.start({ preset: "notice" });
      t.after(() => at.stop());
      const { origin } = await site(t, { at });
      const visitor = await Visitor.arrive(t, at, { javaScriptEnabled: false });
      await visitor.page.goto(`${origin}/article`);
      await visitor.closeButton.click();
      await eventually("it leads back", async () => visitor.page.url() === `${origin}/article` && (await at.decisions()).length === 1);
      const [{ method, layer, granted, denied }] = await at.decisions();
      assert.deepEqual({ method, layer, granted, denied }, { method: "close", layer: "first", granted: [], denied: ["statistics"] });
      assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.-\.\.$/);
      assert.equal(await visitor.layer.count(), 0);
    });

    test("Settings leads to a page where switches, Save and Forget work and lead back", async (t) => {
      const { origin } = await site(t);
      const known = (await demo.decisions()).length;
      const visitor = await plain(t);
      const page = visitor.page;
      await page.goto(`${origin}/article`);
      await visitor.button("Settings", visitor.layer).click();
      await page.waitForURL(/settings\.html/);
      const toggle = (name) => page.getByRole("switch", { name, exact: true });
      assert.equal(await toggle("Website statistics").isChecked(), false);
      assert.equal(await toggle("Functional cookies").isDisabled(), true);
      await toggle("Website statistics").check();
      await visitor.button("Save").click();
      await page.waitForURL(`${origin}/article`);
      const [save] = await since(known);
      assert.deepEqual([save.method, save.layer, save.granted, save.denied], ["save", "settings", ["statistics"], ["marketing"]]);
      const subject = await visitor.subject();
      assert.equal((await demo.check(subject)).allowed, true);
      assert.equal(await visitor.layer.count(), 0);
      // A link of the page's own leads there again.
      await page.goto(`${demo.origin}/v1/sites/demo/settings.html`, { referer: `${origin}/article` });
      assert.equal(await toggle("Website statistics").isChecked(), true);
      assert.ok((await page.getByText(subject).innerText()).includes(subject), "the consent ID");
      await toggle("Website statistics").uncheck();
      await visitor.button("Save").click();
      await page.waitForURL(`${origin}/article`);
      assert.equal((await demo.check(subject)).allowed, false);
      await page.goto(`${demo.origin}/v1/sites/demo/settings.html`, { referer: `${origin}/article` });
      await visitor.button("Forget my settings").click();
      await page.waitForURL(`${origin}/article`);
      assert.equal((await demo.check(subject)).status, "forgotten");
      assert.equal((await visitor.cookies()).consent, undefined);
      assert.ok(await visitor.layer.isVisible(), "it asks again");
      assert.deepEqual((await since(known)).map(({ method, effect }) => [method, effect]), [["save", "applied"], ["save", "applied"], ["forget", "applied"]]);
    });

    test("with GPC the signal is said, and the record says that it was", async (t) => {
      const { origin } = await site(t);
      const known = (await demo.decisions()).length;
      const visitor = await plain(t);
      await visitor.context.setExtraHTTPHeaders({ "Sec-GPC": "1" });
      await visitor.page.goto(`${origin}/article`);
      assert.ok(await visitor.layer.getByText("Your browser asks us not to track you").isVisible());
      await visitor.button("Accept all", visitor.layer).click();
      await eventually("the record", async () => (await since(known)).length);
      const [{ signals, method }] = await since(known);
      assert.deepEqual([method, signals], ["accept-all", { gpc: true, dnt: false, said: true }]);
      assert.equal((await visitor.cookie()).flags, "s");
      await visitor.page.goto(`${demo.origin}/v1/sites/demo/settings.html`);
      assert.ok(await visitor.page.getByText("Your browser asks us not to track you").isVisible());
      assert.equal(await visitor.page.getByRole("switch", { name: "Marketing" }).isChecked(), true);
    });

    test("without GPC no signal is spoken of", async (t) => {
      const { origin } = await site(t);
      const visitor = await plain(t);
      await visitor.page.goto(`${origin}/article`);
      assert.equal(await visitor.layer.getByText("Your browser asks us not to track you").isVisible(), false);
    });

    // As many sites are set: then the browser tells nobody where a form was sent from.
    test("from a page with Referrer-Policy: no-referrer a choice is recorded too, and what follows leads back to the site", async (t) => {
      const { origin } = await site(t, { headers: { "referrer-policy": "no-referrer" } });
      const known = (await demo.decisions()).length;
      const visitor = await plain(t);
      await visitor.page.goto(`${origin}/article`);
      await visitor.button("Reject all", visitor.layer).click();
      await eventually("the record", async () => (await since(known)).length, 5000);
      const ways = async () => [visitor.page.url(), ...(await visitor.page.locator("a").evaluateAll((nodes) => nodes.map((node) => node.href)))];
      await eventually("a way back", async () => (await ways()).some((way) => /^http.*\/$/.test(way) && !way.includes("/v1/")), 3000);
    });

    test("under style-src 'self' the layer is drawn by ?style=link, and by a nonce with ?nonce", async (t) => {
      for (const [query, policy] of [["?style=link", "default-src 'self'"], ["?nonce=abc", "default-src 'self'; style-src 'nonce-abc'"]]) {
        const { origin } = await site(t, { query, headers: { "content-security-policy": policy } });
        const visitor = await plain(t);
        await visitor.page.goto(`${origin}/article`);
        await eventually(`placed by ${query}`, async () => (await visitor.layer.evaluate((node) => getComputedStyle(node).position)) === "fixed");
        assert.equal((await visitor.layer.getByRole("button").first().evaluate((node) => getComputedStyle(node).borderRadius)), "12px");
      }
    });
  });

  describe("with consent.js", () => {
    const shifts = (visitor) =>
      visitor.page.evaluate(
        () =>
          new Promise((resolve) => {
            const values = [];
            new PerformanceObserver((list) => values.push(...list.getEntries().map(({ value }) => value))).observe({ type: "layout-shift", buffered: true });
            setTimeout(resolve, 300, values);
          }),
      );

    for (const late of [0, 700]) {
      test(`is one banner that does not move, and whose buttons need no navigation (script ${late} ms late)`, async (t) => {
        const { origin } = await site(t, { script: line, body: "<p>Text</p>".repeat(60) });
        const known = (await demo.decisions()).length;
        const visitor = await Visitor.arrive(t, demo);
        await visitor.context.route("**/consent.js", async (route) => {
          await sleep(late);
          await route.continue();
        });
        await visitor.page.goto(`${origin}/article`, { waitUntil: "commit" });
        await visitor.layer.waitFor();
        const before = await visitor.layer.boundingBox();
        await visitor.settled();
        await sleep(200);
        assert.equal(await visitor.page.locator("[data-consent=banner]").count(), 1);
        assert.deepEqual(await visitor.layer.boundingBox(), before, "it is where it was");
        assert.deepEqual(await shifts(visitor), []);
        await visitor.page.evaluate(() => (window.mark = 1));
        await visitor.button("Settings", visitor.layer).click();
        await visitor.dialog.waitFor();
        await visitor.page.keyboard.press("Escape");
        await visitor.dialog.waitFor({ state: "detached" });
        await press(visitor, "Reject all");
        assert.equal(await visitor.page.evaluate(() => window.mark), 1, "no navigation");
        assert.equal(await visitor.page.locator("[data-consent=banner]").count(), 0);
        assert.ok(await visitor.reopen.isVisible());
        const [record] = await since(known);
        assert.deepEqual([record.method, record.layer, record.control], ["reject-all", "first", "reject"]);
        assert.deepEqual(visitor.complaints(), []);
      });
    }

    test("Enter on a button of it, by keyboard, needs no navigation either", async (t) => {
      const { origin } = await site(t, { script: line });
      const visitor = await Visitor.arrive(t, demo);
      await visitor.page.goto(`${origin}/article`);
      await visitor.settled();
      await visitor.page.evaluate(() => (window.mark = 1));
      await visitor.tabTo((focus) => focus.action === "accept", { most: 4 });
      await visitor.page.keyboard.press("Enter");
      await eventually("the cookie", () => visitor.cookie());
      assert.equal(await visitor.page.evaluate(() => window.mark), 1);
      assert.equal((await visitor.cookie()).granted, "marketing~statistics");
    });

    test("is removed for a visitor who has chosen, where the page was kept for all (a static include)", async (t) => {
      const { origin } = await site(t, { script: line });
      const visitor = await Visitor.arrive(t, demo);
      await visitor.context.addCookies([{ name: "consent", value: cookieValue("statistics"), url: demo.origin }]);
      await visitor.page.goto(`${origin}/static`);
      await visitor.settled();
      assert.equal(await visitor.page.locator("[data-consent=banner]").count(), 0);
      assert.ok(await visitor.reopen.isVisible());
      assert.equal((await visitor.holds()).statistics, true);
    });

    test("works in a static include for a visitor with a signal: it is said", async (t) => {
      const { origin } = await site(t, { script: line });
      const visitor = await Visitor.arrive(t, demo, { gpc: true });
      await visitor.page.goto(`${origin}/static`);
      await visitor.settled();
      assert.ok(await visitor.layer.getByText("Your browser asks us not to track you").isVisible());
      const known = (await demo.decisions()).length;
      await press(visitor, "Accept all");
      assert.equal((await since(known))[0].signals.said, true);
      assert.equal((await visitor.cookie()).flags, "s");
    });
  });
});

describe("in a frame of another site", () => {
  // 127.0.0.1 and localhost are two sites.
  const outer = (port) => `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Another site</title><h1>Another site</h1><iframe title="Framed" width="1000" height="650" src="http://localhost:${port}/t.html"></iframe>`;
  const body = '<script type="text/plain" data-category="statistics">ran.push("statistics")</script><button id="own" onclick="consent.acceptAll().then(() => (window.done = \'worked\'), (error) => (window.done = String(error)))">Yes</button>';

  async function framed(t, ...flags) {
    const at = await Demo.start({ preset: "choice" });
    t.after(() => at.stop());
    const inner = await front(t, at, { "/t.html": page(body) });
    const around = await front(t, at, { "/": outer(inner.port) });
    await at.configure([`http://localhost:${inner.port}`], ...flags);
    const visitor = await Visitor.arrive(t, at);
    const visit = async () => {
      await visitor.page.goto(around.origin);
      const frame = await eventually("the frame", () => visitor.page.frames()[1]);
      await frame.waitForFunction(() => window.consent?.ready.then(() => true));
      return frame;
    };
    const within = visitor.page.frameLocator("iframe");
    return { at, visitor, visit, within, inner: `http://localhost:${inner.port}`, layer: within.getByRole("region", { name: "Privacy on this site" }) };
  }

  test("nothing is drawn, everything optional is denied, acceptAll() in a click rejects, nothing is kept or sent", async (t) => {
    const { at, visitor, visit, within } = await framed(t);
    const frame = await visit();
    await sleep(300);
    assert.equal(await within.locator("[data-consent]").count(), 0);
    await within.locator("#own").click();
    assert.match(await eventually("the answer", () => frame.evaluate(() => window.done)), /^Error/);
    assert.deepEqual(await frame.evaluate(() => [consent.status(), consent.granted("statistics"), consent.granted("functional"), ran.length]), ["none", false, true, 0]);
    assert.deepEqual(await visitor.context.cookies(), []);
    assert.deepEqual(await at.decisions(), []);
    assert.equal(visitor.context.pages().length, 1);
  });

  test("with --frames the layer is there, Reject all works and is kept in a partitioned cookie, and is recorded", async (t) => {
    const { at, visitor, visit, within, layer, inner } = await framed(t, "--frames");
    let frame = await visit();
    assert.ok(await layer.isVisible());
    await layer.getByRole("button", { name: "Reject all" }).click();
    await layer.waitFor({ state: "detached" });
    // On http://localhost, too, Chromium takes Secure and Partitioned.
    const kept = await eventually("the cookie", async () => (await visitor.context.cookies()).length && (await visitor.context.cookies()));
    assert.deepEqual(kept.map(({ name, domain, sameSite, secure, partitionKey }) => ({ name, domain, sameSite, secure, partitionKey })), [
      { name: "consent", domain: "localhost", sameSite: "None", secure: true, partitionKey: "http://127.0.0.1" },
    ]);
    frame = await visit();
    assert.equal(await layer.count(), 0, "asked once");
    assert.equal(await frame.evaluate(() => consent.status()), "valid");
    // It is an answer there, not on the site itself.
    await visitor.page.goto(`${inner}/t.html`);
    await visitor.settled();
    assert.ok(await visitor.layer.isVisible());
    await eventually("the record", async () => (await at.decisions()).length === 1, 5000);
    const [{ method, granted }] = await at.decisions();
    assert.deepEqual([method, granted], ["reject-all", []]);
  });

  test("with --frames Accept all grants nothing there, and opens the page in a tab of its own, where it works", async (t) => {
    const { at, visitor, visit, within, layer, inner } = await framed(t, "--frames");
    const frame = await visit();
    const opened = visitor.context.waitForEvent("page");
    await layer.getByRole("button", { name: "Accept all" }).click();
    const tab = await opened;
    await visitor.settled(tab);
    assert.equal(tab.url(), `${inner}/t.html`);
    await within.getByText("To switch something on, open it in a tab of its own.").waitFor();
    assert.ok(await layer.isVisible(), "it still asks");
    assert.deepEqual(await frame.evaluate(() => [consent.status(), consent.granted("statistics"), ran.length]), ["none", false, 0]);
    assert.deepEqual(await at.decisions(), []);
    await tab.getByRole("button", { name: "Accept all" }).click();
    await eventually("the record", async () => (await at.decisions()).length === 1);
    assert.equal(await tab.evaluate(() => consent.granted("statistics")), true);
    assert.deepEqual((await at.decisions())[0].granted, ["marketing", "statistics"]);
  });

  test("with --frames Settings opens there; Save with nothing on refuses, and Privacy settings opens them again", async (t) => {
    const { visitor, visit, within, layer } = await framed(t, "--frames");
    await visit();
    const dialog = within.getByRole("dialog", { name: "GDPR Consent Settings" });
    await layer.getByRole("button", { name: "Settings" }).click();
    await dialog.waitFor({ timeout: 4000 });
    await dialog.getByRole("button", { name: "Save" }).click();
    await layer.waitFor({ state: "detached" });
    await within.getByRole("button", { name: "Privacy settings" }).click();
    await dialog.waitFor({ timeout: 4000 });
    assert.equal((await visitor.context.cookies()).length, 1);
  });
});

describe("the declaration", () => {
  const wanted = {
    en: ["Website statistics", "Count page views, to see which articles are read.", "Page counter", "demo_visits", "30 days", "Example Gardens Ltd only. The counting runs on our own server.", "Marketing", "demo_offer", "7 days", "Functional cookies", "consent", "180 days", "Example Gardens Ltd"],
    de: ["Website-Statistik", "Seitenaufrufe zählen, um zu sehen, welche Artikel gelesen werden.", "Seitenzähler", "demo_visits", "30 Tage", "Nur Example Gardens Ltd. Gezählt wird auf unserem eigenen Server.", "demo_offer", "7 Tage", "180 Tage"],
  };
  const norm = (text) => text.replace(/\s+/g, " ");
  const holds = (text, language, where) => {
    for (const words of wanted[language]) assert.ok(norm(text).includes(words), `${where} (${language}) says "${words}"`);
  };

  for (const language of ["en", "de"]) {
    test(`is put into the policy page in the page's language, and says what declaration.html says (${language})`, async (t) => {
      const visitor = await Visitor.arrive(t, demo);
      await visitor.serve("/t.html", page("<div data-consent-declaration></div>").replace('lang="en"', `lang="${language}"`));
      await visitor.page.goto(`${demo.origin}/t.html`);
      await visitor.settled();
      const section = visitor.page.locator("[data-consent-declaration] > section");
      await section.waitFor();
      const text = await section.innerText();
      holds(text, language, "the page");
      assert.equal(await section.getAttribute("lang"), language);
      assert.equal(await section.count(), 1);
      assert.deepEqual(await section.locator("> section").evaluateAll((nodes) => nodes.map((node) => node.dataset.consentCategory)), ["functional", "statistics", "marketing"]);
      assert.deepEqual(visitor.complaints(), []);
      const whole = await visitor.context.newPage();
      await whole.goto(`${demo.api("declaration.html")}?lang=${language}`);
      holds(await whole.locator("main").innerText(), language, "declaration.html");
      assert.equal(await whole.locator("html").getAttribute("lang"), language);
      assert.ok(await whole.title());
      const fragment = await (await fetch(`${demo.api("declaration.html")}?lang=${language}&fragment`)).text();
      assert.ok(fragment.startsWith("<section") && !fragment.includes("<html"));
      // Countries by name are the browser's doing; without scripts they are codes.
      const name = new Intl.DisplayNames(language, { type: "region" }).of("IE");
      const words = async (node) => norm(await node.evaluate((node) => node.textContent));
      await whole.setContent(fragment);
      assert.equal(await words(section), (await words(whole.locator("section").first())).replaceAll("· IE", `· ${name}`));
    });
  }

  test("is there for somebody who has chosen, too, and when its place is added later; it is filled once", async (t) => {
    const visitor = await arrive(t, "", { granted: "statistics" });
    await visitor.page.evaluate(() => document.body.append(Object.assign(document.createElement("div"), { id: "late" })));
    await visitor.page.evaluate(() => {
      const place = document.createElement("div");
      place.dataset.consentDeclaration = "";
      document.body.append(place);
    });
    const section = visitor.page.locator("[data-consent-declaration] > section");
    await section.waitFor();
    await visitor.page.evaluate(() => document.body.append(document.createElement("hr")));
    await sleep(300);
    assert.equal(await section.count(), 1);
  });

  test("is there when the server comes back, where it was away", async (t) => {
    const visitor = await Visitor.arrive(t, demo);
    let away = true;
    await visitor.context.route("**/declaration?*", (route) => (away ? route.abort() : route.continue()));
    await visitor.serve("/t.html", page("<div data-consent-declaration></div>"));
    await visitor.visit("/t.html");
    await sleep(400);
    away = false;
    await visitor.page.evaluate(() => document.body.append(document.createElement("hr")));
    await visitor.page.locator("[data-consent-declaration] > section").waitFor({ timeout: 4000 });
  });
});

test("a notice whose texts look like HTML is shown as text, in every place", async (t) => {
  const evil = '<script>window.hacked=1</script><img src=x onerror=window.hacked=1>\\"\'&amp;';
  const text = '<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"\'&amp;';
  const at = await own(t, (draft) =>
    draft
      .replace('purpose = "Count page views, to see which articles are read."', `purpose = "${evil}"`)
      .replace('name = "Website statistics"', `name = "Statistics ${evil}"`)
      .replace('en = "Page counter"', `en = "${evil}"`)
      .replace("[controller]", `[texts.en]\ntitle = "T ${evil}"\n\n[controller]`),
  );
  const site = await front(t, at, { "/": async (incoming) => page("<div data-consent-declaration></div>").replace("<main>", `${await included(at, incoming)}<main>`) });
  await at.configure([site.origin]);
  for (const options of [{}, { javaScriptEnabled: false }]) {
    const visitor = await Visitor.arrive(t, at, options);
    const looks = async (what) => {
      assert.equal(await visitor.page.evaluate(() => window.hacked), undefined, what);
      assert.equal(await visitor.page.locator("img").count(), 0, what);
      assert.ok(!visitor.paths().some((path) => path.endsWith("/x")), what);
    };
    await visitor.page.goto(site.origin);
    const layer = visitor.page.locator("[data-consent=banner]");
    await layer.waitFor();
    assert.equal(await layer.locator("h2").innerText(), `T ${text}`);
    assert.equal(await layer.getAttribute("aria-label"), `T ${text}`);
    await looks("banner.html");
    if (!options.javaScriptEnabled && options.javaScriptEnabled !== undefined) {
      await layer.getByRole("button", { name: "Settings" }).click();
      await visitor.page.waitForURL(/settings\.html/);
    } else {
      await visitor.settled();
      await visitor.page.locator("[data-consent-declaration] > section").waitFor();
      await looks("the declaration in a page");
      await layer.getByRole("button", { name: "Settings" }).click();
      await visitor.dialog.waitFor();
    }
    await visitor.page.getByText(text).first().waitFor();
    assert.equal(await visitor.page.locator("label", { hasText: "Statistics" }).innerText(), `Statistics ${text}`);
    await looks("the settings");
    for (const name of ["declaration.html", "settings.html"]) {
      await visitor.page.goto(at.api(name));
      await visitor.page.getByText(text).first().waitFor();
      await looks(name);
    }
  }
  // consent.js pasted into a page must not end its script element.
  const script = await (await fetch(at.api("consent.js"))).text();
  assert.ok(!script.includes("</script"));
});

test("/.well-known/gpc.json says that the signal is honoured, since which day", async () => {
  const response = await fetch(`${demo.origin}/.well-known/gpc.json`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^application\/json/);
  const { gpc, lastUpdate } = await response.json();
  assert.equal(gpc, true);
  assert.match(lastUpdate, /^\d{4}-\d\d-\d\d$/);
});
