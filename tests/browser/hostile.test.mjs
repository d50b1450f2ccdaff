// Pages, servers, clocks and browsers that are not as they should be: the banner stays what it is, and nothing is granted that
// nobody has granted.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import { Demo, Visitor, close, eventually, front, sleep, subjectText } from "./harness.mjs";

const demo = await Demo.start({ preset: "choice" });
after(async () => {
  await close();
  await demo.stop();
});

const line = '<script async src="/v1/sites/demo/consent.js"></script>';
const gated = '<script type="text/plain" data-category="statistics">ran.push("statistics")</script>';
const page = (body = gated, head = line) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page of the test</title><link rel="icon" href="data:,">
<script nonce="x">window.ran = [];</script>${head}</head><body><main><h1>A page</h1>${body}</main>
<button id="own">The page's own</button>
<script nonce="x">document.getElementById("own").addEventListener("click", (event) => (event.target.textContent = "Used"));</script></body></html>`;

const cookieValue = (granted, { at = Date.now(), notice = 1 } = {}) => `1.${notice}.${Math.floor(at / 1000)}.${granted === undefined ? "-" : subjectText()}.${granted ?? ""}.`;

/** A visitor who is on no page yet. `hostile` is what the page does before anything of ours runs. */
async function arrive(t, { at = demo, body, head, csp, granted, hostile, ...options } = {}) {
  const visitor = await Visitor.arrive(t, at, options);
  if (hostile) await visitor.context.addInitScript(hostile);
  if (granted !== undefined) await visitor.context.addCookies([{ name: "consent", value: cookieValue(granted), url: at.origin }]);
  await visitor.serve("/t.html", page(body, head), { csp });
  return visitor;
}

async function visit(t, options) {
  const visitor = await arrive(t, options);
  await visitor.visit("/t.html");
  return visitor;
}

const ran = (visitor) => visitor.page.evaluate(() => window.ran);
const since = async (known, at = demo) => (await at.decisions()).slice(known);
const recorded = (known, at = demo, count = 1) => eventually("the record", async () => (await since(known, at)).length >= count && since(known, at));
const denied = async (visitor) => {
  assert.equal(await visitor.page.evaluate(() => consent.granted("statistics")), false);
  assert.deepEqual(await ran(visitor), []);
};
const errors = (visitor) => visitor.console.filter((line) => /^(error|pageerror)/.test(line));
const usable = async (visitor) => {
  await visitor.page.locator("#own").click({ timeout: 4000 });
  assert.equal(await visitor.page.locator("#own").innerText(), "Used");
};

/** A control can be seen and pressed: large enough, in the window, and nothing lies over it. */
async function pressable(locator, least = 24) {
  await locator.waitFor({ timeout: 4000 });
  const box = await locator.boundingBox();
  assert.ok(box && box.width >= least && box.height >= least, JSON.stringify(box));
  assert.ok(box.x >= 0 && box.y >= 0 && box.x + box.width <= 1280 && box.y + box.height <= 800, JSON.stringify(box));
  await locator.click({ trial: true, timeout: 3000 });
}

/** The looks that the design gives, in a light scheme. */
async function asDesigned(locator, border = "rgb(23, 89, 74)") {
  const style = await locator.evaluate((node) => {
    const { color, fontSize, opacity, visibility, borderTopColor, fontWeight } = getComputedStyle(node);
    return { color, fontSize, opacity, visibility, borderTopColor, fontWeight };
  });
  assert.deepEqual(style, { color: "rgb(23, 89, 74)", fontSize: "16px", opacity: "1", visibility: "visible", borderTopColor: border, fontWeight: "600" });
}

async function wholeWay(visitor, { looks = true } = {}) {
  const known = (await demo.decisions()).length;
  for (const name of ["Accept all", "Reject all", "Settings"]) {
    await pressable(visitor.button(name, visitor.layer));
    if (looks) await asDesigned(visitor.button(name, visitor.layer));
  }
  const box = await visitor.layer.boundingBox();
  assert.ok(box.width > 400 && box.height > 100 && box.height < 640 && box.y > 300, JSON.stringify(box));
  await visitor.button("Settings", visitor.layer).click();
  await visitor.dialog.waitFor();
  await pressable(visitor.toggle());
  for (const name of ["Forget my settings", "Cancel", "Save"]) {
    await pressable(visitor.button(name, visitor.dialog));
    if (looks) await asDesigned(visitor.button(name, visitor.dialog));
  }
  await visitor.toggle().check();
  await visitor.button("Save", visitor.dialog).click();
  await visitor.dialog.waitFor({ state: "detached" });
  await pressable(visitor.reopen);
  if (looks) await asDesigned(visitor.reopen, "rgb(216, 223, 229)");
  assert.deepEqual((await recorded(known))[0].granted, ["statistics"]);
}

describe("a page whose style sheet", () => {
  for (const [name, css] of [
    ["resets and hides everything", "html * { all: initial !important; display: none !important }"],
    ["makes everything invisible, static and tiny", "html * { visibility: hidden !important; opacity: 0 !important; position: static !important; font-size: 1px !important; transform: scale(0) !important; clip-path: inset(50%) !important; pointer-events: none !important; width: 1px !important; height: 1px !important; z-index: -1 !important; filter: opacity(0) !important }"],
    ["styles sections, headings, buttons, links and dialogs", "section, h2, p, a, button, dialog, slot { all: unset !important; display: none !important; color: red !important }"],
    ["is drawn above by much", "main { position: fixed; inset: 0; z-index: 2147483645; background: #fff }"],
    ["aims at us", "[data-consent], [data-consent] * { display: none !important; visibility: hidden !important; left: -9999px !important; max-height: 0 !important; overflow: hidden !important }"],
  ]) {
    test(`${name} leaves the layer, its buttons, the settings and the control as designed`, async (t) => {
      const visitor = await visit(t, { head: `<style>${css}</style>${line}`, colorScheme: "light" });
      await wholeWay(visitor);
    });
  }

  // Many a site makes 1rem 10 px.
  for (const size of ["62.5%", "1px"]) {
    test(`sets the root's font to ${size} leaves our words legible`, async (t) => {
      const visitor = await visit(t, { head: `<style>html { font-size: ${size} } body { font-size: 16px }</style>${line}` });
      const sizes = await visitor.layer.evaluate((node) => [...node.children].filter((child) => child.checkVisibility()).map((child) => parseFloat(getComputedStyle(child).fontSize)));
      assert.ok(Math.min(...sizes) >= 12, `${sizes} px`);
    });
  }

  test("has a modal dialog of its own open does not keep the layer's answer from being given afterwards", async (t) => {
    const visitor = await visit(t, { body: `<dialog id="mine"><button onclick="this.parentNode.close()">Shut it</button></dialog><script>document.getElementById("mine").showModal()</script>` });
    await visitor.button("Shut it").click();
    const known = (await demo.decisions()).length;
    await visitor.button("Reject all", visitor.layer).click();
    await recorded(known);
  });
});

describe("a page whose policy forbids WebAssembly", () => {
  const csp = "default-src 'self'; script-src 'self' 'nonce-x'; style-src 'self'; img-src data:; require-trusted-types-for 'script'; trusted-types 'none'";
  const body = '<script nonce="x" type="text/plain" data-category="statistics">ran.push("statistics")</script>';
  const judged = (visitor) => visitor.requests.filter((request) => new URL(request.url()).pathname.endsWith("/judge"));
  const sent = (visitor) => eventually("the queue is empty", async () => !(await visitor.queue()).length);

  test("has every act: reject, save, forget, accept; recorded, kept, and valid on the next page", async (t) => {
    const known = (await demo.decisions()).length;
    const visitor = await visit(t, { csp, body });
    await visitor.page.evaluate(() => (document.cookie = "session=secret; Path=/"));
    await visitor.button("Reject all", visitor.layer).click();
    await recorded(known);
    await sent(visitor);
    assert.equal((await visitor.cookie()).subject, "-");
    await visitor.reload();
    assert.equal(await visitor.layer.count(), 0);
    await visitor.grantStatistics();
    await eventually("it ran", async () => (await ran(visitor)).length);
    assert.equal((await demo.check(await visitor.subject())).allowed, true);
    await visitor.reload();
    assert.equal((await visitor.holds()).statistics, true);
    await eventually("it ran at once", async () => (await ran(visitor)).length);
    const subject = await visitor.subject();
    await visitor.reopen.click();
    assert.ok(await visitor.toggle().isChecked());
    await visitor.button("Forget my settings", visitor.dialog).click();
    await visitor.dialog.getByText("Deleted!").waitFor();
    await sent(visitor);
    assert.equal((await demo.check(subject)).status, "forgotten");
    assert.equal((await visitor.cookies()).consent, undefined);
    await visitor.reload();
    await visitor.button("Accept all", visitor.layer).click();
    await eventually("the cookie", () => visitor.cookie());
    await sent(visitor);
    assert.deepEqual((await since(known)).map(({ method, effect }) => [method, effect]), [["reject-all", "applied"], ["save", "applied"], ["forget", "applied"], ["accept-all", "applied"]]);
    assert.ok(judged(visitor).length > 4);
    for (const request of judged(visitor)) {
      assert.ok(!request.postData().includes("secret") && !request.postData().includes("session"), request.postData());
      assert.equal(new URL(request.url()).origin, demo.origin);
    }
    // That WebAssembly was tried is the only thing the policy had to refuse.
    assert.deepEqual((await visitor.violations()).filter((line) => !line.includes("wasm-eval")), []);
    assert.deepEqual(visitor.console.filter((line) => line.startsWith("pageerror")), []);
  });

  test("is told what has changed and asks again", async (t) => {
    const at = await Demo.start({ preset: "choice" });
    t.after(() => at.stop());
    const draft = readFileSync(new URL("../../consent-server/notices/demo-choice.toml", import.meta.url), "utf8");
    await at.publish(draft.replace("Count page views, to see which articles are read.", "Count page views, and sell them."), "--material", "statistics");
    const visitor = await arrive(t, { at, csp, body });
    await visitor.context.addCookies([{ name: "consent", value: cookieValue("marketing~statistics"), url: at.origin }]);
    await visitor.visit("/t.html");
    await visitor.layer.waitFor();
    assert.deepEqual(await visitor.page.evaluate(() => [consent.status(), consent.granted("statistics"), consent.granted("marketing")]), ["outdated", false, true]);
    assert.ok(await visitor.layer.getByText("and sell them").isVisible());
    await visitor.button("Accept all", visitor.layer).click();
    await recorded(0, at);
    assert.equal((await visitor.cookie()).notice, 2);
  });

  test("refuses without the server, too: nothing is granted any more", async (t) => {
    const visitor = await visit(t, { csp, body });
    await visitor.grantStatistics();
    await visitor.context.route("**/v1/sites/demo/judge", (route) => route.abort());
    await visitor.context.route("**/v1/sites/demo/decisions", (route) => route.abort());
    await visitor.page.evaluate(() => consent.rejectAll().catch(() => {}));
    assert.equal(await visitor.page.evaluate(() => consent.granted("statistics")), false);
    assert.ok(!(await visitor.cookie())?.granted);
    await visitor.reload();
    assert.equal(await visitor.page.evaluate(() => consent.granted("statistics")), false);
    await denied(visitor);
  });

  test("grants nothing without the server, says so, and grants once it is back", async (t) => {
    const visitor = await visit(t, { csp, body });
    await visitor.context.route("**/v1/sites/demo/judge", (route) => route.abort());
    await visitor.button("Accept all", visitor.layer).click();
    await visitor.page.getByText("That did not work. Nothing has been switched on.").waitFor();
    assert.ok(await visitor.layer.isVisible());
    await denied(visitor);
    await visitor.context.unroute("**/v1/sites/demo/judge");
    await visitor.button("Accept all", visitor.layer).click();
    await eventually("it ran", async () => (await ran(visitor)).length);
  });

  for (const [name, answer] of [
    ["nonsense", { status: 200, contentType: "text/plain", body: "yes valid statistics statistics reopen" }],
    ["HTML", { status: 200, contentType: "text/html", body: "<!doctype html><title>Log in</title>" }],
    ["nothing", { status: 200, contentType: "text/plain", body: "" }],
    ["500", { status: 500, body: "no" }],
  ]) {
    test(`grants nothing by itself where the judge answers ${name}`, async (t) => {
      const visitor = await arrive(t, { csp, body });
      // Doubtful, so that the judge is asked.
      await visitor.context.addCookies([{ name: "consent", value: cookieValue("statistics", { notice: 7 }), url: demo.origin }]);
      await visitor.context.route("**/v1/sites/demo/judge", (route) => route.fulfill(answer));
      await visitor.visit("/t.html");
      await sleep(300);
      if (name !== "nonsense") await denied(visitor);
      await usable(visitor);
    });
  }
});

describe("strict policies", () => {
  const body = `<script nonce="x" type="text/plain" data-category="statistics">ran.push("inline " + document.currentScript.nonce)</script>
    <script nonce="x" type="text/plain" data-category="statistics" src="/t/src.js"></script>
    <script nonce="x" type="text/plain" data-type="module" data-category="statistics">window.ran.push("module " + typeof import.meta.url)</script>`;
  for (const [name, csp] of [
    ["a nonce and Trusted Types", "default-src 'none'; connect-src 'self'; script-src 'nonce-x' 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src data:; require-trusted-types-for 'script'; trusted-types 'none'"],
    ["'strict-dynamic' and Trusted Types", "default-src 'none'; connect-src 'self'; script-src 'nonce-x' 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self'; img-src data:; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"],
  ]) {
    test(`${name}: inline, src and module scripts run once, with their nonce, without a violation`, async (t) => {
      const visitor = await arrive(t, { csp, body, head: line.replace("async", 'async nonce="x"') });
      await visitor.context.route("**/t/src.js", (route) => route.fulfill({ body: 'ran.push("src")', contentType: "text/javascript" }));
      await visitor.visit("/t.html");
      await visitor.button("Settings", visitor.layer).click();
      await visitor.toggle().check();
      await visitor.button("Save", visitor.dialog).click();
      await eventually("all ran", async () => (await ran(visitor)).length === 3);
      await sleep(200);
      assert.deepEqual((await ran(visitor)).sort(), ["inline x", "module string", "src"]);
      await visitor.sent();
      await visitor.reload();
      await eventually("all ran again", async () => (await ran(visitor)).length === 3);
      assert.deepEqual(await visitor.violations(), []);
      assert.deepEqual(errors(visitor), []);
    });
  }
});

describe("a page that has tampered with the language", () => {
  for (const [name, hostile] of [
    ["enumerable keys on Object.prototype", () => Object.assign(Object.prototype, { evil: "1", each() {}, extend: {} })],
    ["enumerable keys on Object.prototype that are no names of attributes", () => (Object.prototype["not a name!"] = 1)],
    ["enumerable keys on Array.prototype", () => Object.assign(Array.prototype, { last() {}, remove() {}, 99: "x" })],
    [
      "setters on Object.prototype for our own words",
      () => {
        for (const name of ["status", "granted", "subject", "queue", "prev", "frames", "headless", "domain"])
          Object.defineProperty(Object.prototype, name, { configurable: true, get: () => undefined, set(value) { Object.defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true }); } });
      },
    ],
  ]) {
    test(`(${name}) has a banner that works from end to end`, async (t) => {
      const visitor = await visit(t, { hostile });
      await denied(visitor);
      await wholeWay(visitor, { looks: false });
      await eventually("it ran", async () => (await ran(visitor)).length);
      await visitor.reload();
      assert.equal((await visitor.holds()).statistics, true);
      const known = (await demo.decisions()).length;
      await visitor.reopen.click();
      await visitor.button("Forget my settings", visitor.dialog).click();
      await visitor.dialog.getByText("Deleted!").waitFor();
      assert.equal((await recorded(known))[0].method, "forget");
    });
  }

  test("(frames, headless and domain on Object.prototype) is not headless, and grants nothing by it", async (t) => {
    const visitor = await visit(t, { hostile: () => Object.assign(Object.prototype, { granted: "statistics", allowed: "statistics" }) });
    await denied(visitor);
    assert.ok(await visitor.layer.isVisible());
  });

  test("(fetch, JSON, Promise and Array methods wrapped after load) has a banner that works", async (t) => {
    const visitor = await visit(t);
    await visitor.page.evaluate(() => {
      const { fetch } = window;
      window.fetch = (...all) => fetch(...all);
      for (const name of ["stringify", "parse"]) {
        const own = JSON[name];
        JSON[name] = (...all) => own(...all);
      }
      window.Promise = class extends Promise {};
      for (const name of ["map", "filter", "includes", "find"]) {
        const own = Array.prototype[name];
        Array.prototype[name] = function (...all) {
          return own.apply(this, all);
        };
      }
    });
    await wholeWay(visitor, { looks: false });
    await eventually("it ran", async () => (await ran(visitor)).length);
    assert.deepEqual(errors(visitor), []);
  });
});

describe("a browser that keeps nothing:", () => {
  const forbid = `() => { throw new DOMException("forbidden", "SecurityError") }`;
  for (const [name, script] of [
    ["document.cookie throws", `Object.defineProperty(Document.prototype, "cookie", { get: ${forbid}, set: ${forbid} })`],
    ["local, session storage and IndexedDB throw", `for (const name of ["localStorage", "sessionStorage", "indexedDB"]) Object.defineProperty(window, name, { get: ${forbid} })`],
    ["both, and locks", `Object.defineProperty(Document.prototype, "cookie", { get: ${forbid}, set: ${forbid} }); for (const name of ["localStorage", "sessionStorage", "indexedDB"]) Object.defineProperty(window, name, { get: ${forbid} }); LockManager.prototype.request = () => Promise.reject(new DOMException("forbidden", "SecurityError"))`],
  ]) {
    test(`${name}: choices hold for the page view, are recorded, and nothing is an error`, async (t) => {
      const visitor = await arrive(t);
      await visitor.context.addInitScript(script);
      await visitor.visit("/t.html");
      await denied(visitor);
      const known = (await demo.decisions()).length;
      await visitor.button("Reject all", visitor.layer).click();
      await visitor.layer.waitFor({ state: "detached" });
      assert.equal((await recorded(known))[0].method, "reject-all");
      await denied(visitor);
      await visitor.reopen.click();
      await visitor.toggle().check();
      await visitor.button("Save", visitor.dialog).click();
      await eventually("it ran", async () => (await ran(visitor)).length);
      await recorded(known, demo, 2);
      await visitor.page.evaluate(() => consent.rejectAll());
      assert.equal(await visitor.page.evaluate(() => consent.granted("statistics")), false);
      await recorded(known, demo, 3);
      assert.deepEqual(errors(visitor), []);
    });
  }

  // What Chromium's setting does: no cookie is read or kept, storage throws, locks are refused.
  test("cookies blocked: choices hold for the page view and are recorded, and the next page asks again", async (t) => {
    const visitor = await arrive(t);
    await visitor.context.addInitScript(`for (const name of ["localStorage", "sessionStorage", "indexedDB"]) Object.defineProperty(window, name, { get: ${forbid} }); LockManager.prototype.request = ${forbid.replace("() =>", "async () =>")}`);
    const session = await visitor.context.newCDPSession(visitor.page);
    await session.send("Emulation.setDocumentCookieDisabled", { disabled: true });
    await visitor.context.route("**/v1/sites/demo/decisions", async (route) => {
      const response = await route.fetch();
      const headers = response.headers();
      delete headers["set-cookie"];
      await route.fulfill({ response, headers });
    });
    await visitor.visit("/t.html");
    assert.equal(await visitor.page.evaluate(() => navigator.cookieEnabled), false);
    const known = (await demo.decisions()).length;
    await visitor.button("Reject all", visitor.layer).click();
    await visitor.layer.waitFor({ state: "detached" });
    await denied(visitor);
    assert.ok(await visitor.reopen.isVisible());
    await eventually("the record", async () => (await since(known)).length === 1, 6000);
    await visitor.reopen.click();
    await visitor.toggle().check();
    await visitor.button("Save", visitor.dialog).click();
    await eventually("it ran", async () => (await ran(visitor)).length);
    await visitor.reload();
    await denied(visitor);
    assert.ok(await visitor.layer.isVisible());
  });

  test("a sandboxed frame draws nothing, grants nothing and has no error", async (t) => {
    const site = await front(t, demo, { "/t.html": page(), "/outer.html": '<!doctype html><title>Outer</title><link rel="icon" href="data:,"><iframe sandbox="allow-scripts" src="/t.html" width="900" height="600"></iframe>' });
    const visitor = await Visitor.arrive(t, demo);
    await visitor.page.goto(`${site.origin}/outer.html`);
    const frame = await eventually("the frame", () => visitor.page.frames()[1]);
    await frame.waitForFunction(() => window.consent?.ready.then(() => true));
    assert.equal(await frame.evaluate(() => consent.granted("statistics")), false);
    assert.deepEqual(await frame.evaluate(() => [consent.status(), document.querySelectorAll("[data-consent]").length, ran.length]), ["none", 0, 0]);
    assert.deepEqual(errors(visitor), []);
  });

  test("a page in a sandbox of its own policy asks, takes a refusal for the page view, and grants nothing", async (t) => {
    const site = await front(t, demo, { "/t.html": page() }, { "content-security-policy": "sandbox allow-scripts" });
    const visitor = await Visitor.arrive(t, demo);
    await visitor.page.goto(`${site.origin}/t.html`);
    await visitor.settled();
    assert.ok(await visitor.layer.isVisible());
    await usable(visitor);
    await visitor.button("Reject all", visitor.layer).click();
    await visitor.layer.waitFor({ state: "detached", timeout: 4000 });
    await sleep(1000);
    assert.equal(await visitor.layer.count(), 0, "a refusal is taken");
    await denied(visitor);
    assert.deepEqual(visitor.console.filter((line) => line.startsWith("pageerror")), []);
  });
});

describe("a server", () => {
  const where = { "the core's script": "**/assets/core-*.js*", "the core's WebAssembly": "**/assets/core-*.wasm" };
  const faults = {
    "is away": (route) => route.abort("connectionrefused"),
    "answers 500": (route) => route.fulfill({ status: 500, body: "no" }),
    "answers HTML": (route) => route.fulfill({ status: 200, contentType: "text/html", body: "<!doctype html><title>Log in</title>" }),
    "answers something else of the right type": (route) => route.fulfill({ status: 200, contentType: route.request().url().includes("wasm") ? "application/wasm" : "text/javascript", body: "nothing" }),
  };

  for (const [what, pattern] of Object.entries(where)) {
    for (const [how, fault] of Object.entries(faults)) {
      test(`that ${how} for ${what}: nothing is granted unasked, a choice is taken or its failure said, and works when it is back`, async (t) => {
        const visitor = await arrive(t);
        await visitor.context.route(pattern, fault);
        await visitor.visit("/t.html");
        await sleep(500);
        await denied(visitor);
        await usable(visitor);
        const known = (await demo.decisions()).length;
        await visitor.button("Accept all", visitor.layer).click();
        const end = await eventually("an end", async () =>
          (await visitor.page.getByText("That did not work. Nothing has been switched on.").isVisible()) ? "said" : (await since(known)).length && "taken",
        );
        if (end === "said") {
          await denied(visitor);
          assert.ok(await visitor.layer.isVisible(), "it still asks");
          assert.deepEqual(await visitor.context.cookies(), []);
        }
        await visitor.context.unroute(pattern);
        if (end === "said") {
          await visitor.button("Accept all", visitor.layer).click();
          await recorded(known);
        }
        await eventually("it ran", async () => (await ran(visitor)).length);
        assert.equal((await since(known)).length, 1);
        assert.deepEqual(visitor.console.filter((line) => line.startsWith("pageerror")), []);
      });

      test(`that ${how} for ${what}: what is doubtful reads as denied, and is asked when it is back`, async (t) => {
        const visitor = await arrive(t);
        await visitor.context.addCookies([{ name: "consent", value: cookieValue("statistics", { notice: 7 }), url: demo.origin }]);
        await visitor.context.route(pattern, fault);
        await visitor.visit("/t.html");
        await denied(visitor);
        assert.ok((await visitor.layer.count()) + (await visitor.reopen.count()), "there is something to press");
        await visitor.context.unroute(pattern);
        await visitor.reload();
        await visitor.layer.waitFor();
        assert.deepEqual(visitor.console.filter((line) => line.startsWith("pageerror")), []);
      });
    }
  }

  for (const [how, fault] of Object.entries({ ...faults, "answers an empty object": (route) => route.fulfill({ status: 200, contentType: "application/json", body: "{}" }) })) {
    test(`that ${how} for the settings: their failure is said, and they open when it is back`, async (t) => {
      const visitor = await arrive(t);
      await visitor.context.route("**/settings?*", fault);
      await visitor.visit("/t.html");
      const known = (await demo.decisions()).length;
      await visitor.button("Settings", visitor.layer).click();
      await visitor.page.getByText("That did not work. Nothing has been switched on.").waitFor();
      assert.equal(await visitor.button("Settings", visitor.layer).getAttribute("aria-busy"), null);
      await denied(visitor);
      await visitor.context.unroute("**/settings?*");
      await visitor.button("Settings", visitor.layer).click();
      await visitor.dialog.waitFor();
      await visitor.page.keyboard.press("Escape");
      assert.equal((await since(known)).length, 0);
      assert.deepEqual(visitor.console.filter((line) => line.startsWith("pageerror")), []);
    });
  }

  for (const [how, answer] of [
    ["HTML with status 200", { status: 200, contentType: "text/html", body: "<!doctype html><title>Log in</title>" }],
    ["an empty object with status 201", { status: 201, contentType: "application/json", body: "{}" }],
    ["a redirect to a page", { status: 302, headers: { location: "/" }, body: "" }],
    ["404", { status: 404, contentType: "text/html", body: "not here" }],
  ]) {
    test(`that answers ${how} to a decision has not taken a refusal away: it holds in the page`, async (t) => {
      const visitor = await visit(t);
      await visitor.context.route("**/v1/sites/demo/decisions", (route) => route.fulfill(answer));
      await visitor.button("Reject all", visitor.layer).click();
      await visitor.layer.waitFor({ state: "detached" });
      await sleep(500);
      await denied(visitor);
      assert.equal((await visitor.cookie()).granted, "");
      await visitor.reload();
      await denied(visitor);
      assert.equal(await visitor.layer.count(), 0);
      assert.deepEqual(visitor.console.filter((line) => line.startsWith("pageerror")), []);
    });
  }

  test("that answers HTML with status 200 to a decision has not recorded it: it is sent again", async (t) => {
    const visitor = await visit(t);
    const known = (await demo.decisions()).length;
    let times = 0;
    await visitor.context.route("**/v1/sites/demo/decisions", (route) => (times++ ? route.continue() : route.fulfill({ status: 200, contentType: "text/html", body: "<p>Log in" })));
    await visitor.button("Accept all", visitor.layer).click();
    assert.deepEqual((await recorded(known)).map(({ method }) => method), ["accept-all"]);
  });

  test("that takes ten seconds for the core: the press is taken at once, the page can be used, and the record comes", async (t) => {
    const visitor = await arrive(t);
    await visitor.context.route("**/assets/**", async (route) => {
      await sleep(10000);
      await route.continue().catch(() => {});
    });
    await visitor.visit("/t.html");
    const known = (await demo.decisions()).length;
    await visitor.button("Reject all", visitor.layer).click();
    await visitor.layer.waitFor({ state: "detached", timeout: 1000 });
    await usable(visitor);
    await denied(visitor);
    assert.equal((await recorded(known))[0].method, "reject-all");
    assert.equal((await visitor.cookie()).granted, "");
  });

  test("that takes ten seconds for the settings: the control is busy, two presses open one dialog", async (t) => {
    const visitor = await arrive(t);
    await visitor.context.route("**/settings?*", async (route) => {
      await sleep(10000);
      await route.continue().catch(() => {});
    });
    await visitor.visit("/t.html");
    await visitor.button("Settings", visitor.layer).click();
    await visitor.button("Settings", visitor.layer).click();
    assert.equal(await visitor.button("Settings", visitor.layer).getAttribute("aria-busy"), "true");
    await usable(visitor);
    await visitor.dialog.waitFor({ timeout: 14000 });
    assert.equal(await visitor.dialog.count(), 1);
  });

  test("that has no consent.js leaves the page as it is, and nothing gated runs", async (t) => {
    const visitor = await arrive(t, { granted: "statistics" });
    await visitor.context.route("**/consent.js", (route) => route.abort());
    await visitor.page.goto(`${demo.origin}/t.html`);
    await sleep(500);
    assert.deepEqual(await ran(visitor), []);
    await usable(visitor);
  });
});

describe("a clock that is wrong", () => {
  const year = 365 * 86400e3;
  const month = 30 * 86400e3;
  const shifted = (by) => `{ const Own = Date; window.Date = class extends Own { constructor(...all) { all.length ? super(...all) : super(Own.now() + ${by}); } static now() { return Own.now() + ${by}; } }; }`;
  for (const [name, by] of [["a year ahead", year], ["a year behind", -year]]) {
    test(`(${name}): an older answer grants nothing and is asked again`, async (t) => {
      const visitor = await arrive(t, { granted: "statistics" });
      await visitor.context.addInitScript(shifted(by));
      await visitor.visit("/t.html");
      await visitor.layer.waitFor();
      await denied(visitor);
    });

    test(`(${name}): Accept all holds in the page and is recorded once, by the server's clock; Reject all then holds`, async (t) => {
      const visitor = await arrive(t);
      await visitor.context.addInitScript(shifted(by));
      await visitor.visit("/t.html");
      const known = (await demo.decisions()).length;
      await visitor.button("Accept all", visitor.layer).click();
      await eventually("it ran", async () => (await ran(visitor)).length);
      const [record] = await recorded(known);
      assert.ok(Math.abs(Date.parse(record.recorded_at) - Date.now()) < 60000, record.recorded_at);
      assert.ok(Math.abs(Date.parse(record.decided_at) - by - Date.now()) < 60000, `kept as claimed: ${record.decided_at}`);
      await visitor.sent();
      await visitor.page.evaluate(() => consent.rejectAll());
      await visitor.sent();
      await sleep(200);
      assert.equal(await visitor.page.evaluate(() => consent.granted("statistics")), false);
      await visitor.reload();
      await denied(visitor);
      assert.deepEqual((await since(known)).map(({ method, effect }) => [method, effect]), [["accept-all", "applied"], ["reject-all", "applied"]]);
    });

  }

  // With a clock a year ahead no certificate would be valid; a month is what people have.
  for (const [name, by] of [["a month ahead", month], ["a month behind", -month]]) {
    test(`(${name}): who has refused is not asked again on the next page`, async (t) => {
      const visitor = await arrive(t);
      await visitor.context.addInitScript(shifted(by));
      await visitor.visit("/t.html");
      const known = (await demo.decisions()).length;
      await visitor.button("Reject all", visitor.layer).click();
      await recorded(known);
      await visitor.sent();
      await visitor.reload();
      await sleep(300);
      assert.equal(await visitor.layer.count(), 0);
    });
  }
});

describe("the script", () => {
  const src = "/v1/sites/demo/consent.js";
  for (const [how, head] of [
    ["blocking", `<script src="${src}"></script>`],
    ["async", line],
    ["deferred", `<script defer src="${src}"></script>`],
    ["twice, blocking and async", `<script src="${src}"></script>${line}`],
    ["twice, with other addresses", `<script src="${src}?lang=en"></script><script async src="${src}?lang=de"></script>`],
    ["by a tag manager after load", `<script>addEventListener("load", () => setTimeout(() => { const node = document.createElement("script"); node.src = "${src}"; document.head.append(node); }, 300))</script>`],
    ["by a tag manager after load, twice", `<script>addEventListener("load", () => setTimeout(() => { for (let i = 0; i < 2; i++) { const node = document.createElement("script"); node.src = "${src}"; document.head.append(node); } }, 300))</script>`],
  ]) {
    test(`${how}, asks once, records once, and runs what is gated once`, async (t) => {
      const visitor = await visit(t, { head });
      await sleep(400);
      assert.equal(await visitor.page.locator("[data-consent=banner]").count(), 1);
      const known = (await demo.decisions()).length;
      await visitor.button("Accept all", visitor.layer).click();
      await eventually("it ran", async () => (await ran(visitor)).length);
      await visitor.sent();
      await sleep(200);
      assert.deepEqual(await ran(visitor), ["statistics"]);
      assert.equal((await since(known)).length, 1);
      assert.equal(await visitor.page.getByRole("button", { name: "Privacy settings", exact: true }).count(), 1);
      await visitor.reload();
      await eventually("it ran again", async () => (await ran(visitor)).length);
      await sleep(400);
      assert.deepEqual(await ran(visitor), ["statistics"]);
      assert.deepEqual(errors(visitor), []);
    });
  }
});

describe("a blocker", () => {
  test("that takes the layer out once leaves the page usable, and nothing is granted", async (t) => {
    const visitor = await visit(t);
    await visitor.page.evaluate(() => document.querySelector("[data-consent=banner]").remove());
    await sleep(800);
    await usable(visitor);
    await denied(visitor);
    // What the page asks for by its own control still works.
    await visitor.page.evaluate(() => consent.open());
    await visitor.dialog.waitFor();
    await visitor.page.keyboard.press("Escape");
    assert.deepEqual(await visitor.context.cookies(), []);
    assert.deepEqual(errors(visitor), []);
  });

  test("that takes everything of ours out always does not keep the page busy, and nothing is granted", async (t) => {
    const visitor = await visit(t, {
      hostile: () => {
        window.taken = 0;
        new MutationObserver(() => {
          for (const node of document.querySelectorAll("[data-consent]")) {
            window.taken++;
            node.remove();
          }
        }).observe(document, { childList: true, subtree: true });
      },
    });
    await sleep(500);
    const before = await visitor.page.evaluate(() => window.taken);
    // A page that is alive adds nodes all the time.
    await visitor.page.evaluate(() => setInterval(() => document.querySelector("main").append(document.createElement("i")), 20));
    await sleep(4000);
    const times = (await visitor.page.evaluate(() => window.taken)) - before;
    assert.ok(times <= 4 * 6, `put back ${times} times in four seconds`);
    const lag = await visitor.page.evaluate(() => new Promise((resolve) => {
      const start = performance.now();
      setTimeout(() => resolve(performance.now() - start), 20);
    }));
    assert.ok(lag < 200, `a timer of 20 ms took ${lag}`);
    await usable(visitor);
    await denied(visitor);
    assert.deepEqual(visitor.posts(), []);
    assert.deepEqual(await visitor.context.cookies(), []);
    assert.deepEqual(errors(visitor), []);
  });

  test("that hides the layer by a style sheet of the person's leaves everything denied", async (t) => {
    const visitor = await visit(t);
    await visitor.page.evaluate(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("* { animation: none !important }");
      document.adoptedStyleSheets = [sheet];
      document.querySelector("[data-consent=banner]").hidden = true;
    });
    await usable(visitor);
    await denied(visitor);
  });
});
