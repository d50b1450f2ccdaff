// window.consent, its events, and what a page's script may not do.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Demo, Visitor, close, eventually, sleep, subjectText } from "./harness.mjs";

const demo = await Demo.start({ preset: "choice" });
after(async () => {
  await close();
  await demo.stop();
});

const html = (body = "", head = "") => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page of the test</title>${head}
<script async src="/v1/sites/demo/consent.js"></script></head><body><main><h1>A page</h1>${body}</main></body></html>`;

/** A page of the test's own; no script of Playwright has touched it, so it has no user activation. */
async function arrive(t, body, { head, ...options } = {}) {
  const visitor = await Visitor.arrive(t, demo, options);
  await visitor.serve("/test-page.html", html(body, head));
  await visitor.page.goto(`${demo.origin}/test-page.html`);
  await visitor.quietly("new Promise((resolve) => { const wait = () => window.consent ? consent.ready.then(() => resolve(true)) : setTimeout(wait, 10); wait(); })");
  return visitor;
}

/** Runs in the page without a user activation; what was thrown comes back as text. */
const attempt = (visitor, call) => visitor.quietly(`(async () => { try { return { value: await (${call}) }; } catch (error) { return { error: String(error) }; } })()`);

const untouched = async (visitor, known) => {
  await sleep(300);
  assert.deepEqual(await visitor.context.cookies(), []);
  assert.deepEqual(visitor.posts(), []);
  assert.equal(await visitor.quietly("localStorage.length"), 0);
  assert.equal((await demo.decisions()).length, known);
};

test("the test's own pages have no user activation", async (t) => {
  const visitor = await arrive(t);
  assert.equal(await visitor.quietly("navigator.userActivation.hasBeenActive"), false);
});

for (const call of ["consent.acceptAll()", "consent.save(['statistics'])", "consent.save(['statistics:page-counter'])", "consent.save(['statistics', 'marketing'])"]) {
  test(`${call} without a person's act rejects with an error and records nothing`, async (t) => {
    const visitor = await arrive(t);
    const known = (await demo.decisions()).length;
    const { error } = await attempt(visitor, call);
    assert.match(error ?? "", /only a person grants/);
    assert.equal(await visitor.quietly("consent.granted('statistics')"), false);
    await untouched(visitor, known);
  });
}

test("a script that clicks Accept all for the person grants nothing", async (t) => {
  const visitor = await arrive(t);
  const known = (await demo.decisions()).length;
  await visitor.quietly(`document.querySelector("[data-consent=banner] [data-consent-action=accept]").click()`);
  await untouched(visitor, known);
  assert.equal(await visitor.quietly("consent.granted('statistics')"), false);
  assert.ok(await visitor.layer.isVisible(), "the first layer still asks");
});

test("a script that operates the settings for the person grants nothing", async (t) => {
  const visitor = await arrive(t);
  const known = (await demo.decisions()).length;
  await visitor.quietly("consent.open()");
  await visitor.quietly(`(() => {
    const shadow = document.querySelector("[data-consent=settings]").shadowRoot;
    shadow.querySelector("#switch-statistics").click();
    shadow.querySelector("[data-consent-action=save]").click();
  })()`);
  await untouched(visitor, known);
  assert.ok(await visitor.dialog.isVisible());
  assert.ok((await visitor.dialog.innerText()).includes("That did not work. Nothing has been switched on."));
});

for (const [call, method] of [
  ["consent.rejectAll()", "reject-all"],
  ["consent.save([])", "save"],
  ["consent.forget()", "forget"],
]) {
  test(`${call} works without a person's act, since it grants nothing`, async (t) => {
    const visitor = await arrive(t);
    const known = (await demo.decisions()).length;
    const { value, error } = await attempt(visitor, call);
    assert.equal(error, undefined);
    assert.deepEqual(value.granted, []);
    const record = await eventually("the record", async () => (await demo.decisions())[known]);
    assert.deepEqual([record.method, record.layer, record.control, record.granted], [method, "none", "script", []]);
  });
}

test("consent.forget() without a person's act revokes what was granted", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  await visitor.grantStatistics();
  const subject = await visitor.subject();
  await visitor.serve("/test-page.html", html());
  await visitor.page.goto(`${demo.origin}/test-page.html`);
  await visitor.quietly("new Promise((resolve) => setTimeout(resolve, 300)).then(() => consent.ready)");
  assert.equal((await attempt(visitor, "consent.forget()")).error, undefined);
  await eventually("the record", async () => (await demo.check(subject)).status === "forgotten");
  assert.equal((await visitor.cookies()).consent, undefined);
  assert.equal(await visitor.quietly("consent.granted('statistics')"), false);
});

for (const [call, granted] of [
  ["consent.acceptAll()", "marketing~statistics"],
  ["consent.save(['statistics'])", "statistics"],
  ["consent.save(['marketing', 'statistics:page-counter'])", "marketing~statistics:page-counter"],
  ["consent.save(['functional', 'statistics', 'statistics'])", "statistics"],
]) {
  test(`${call} inside a click of the person works`, async (t) => {
    const visitor = await arrive(t, "<button id=own>The site's own control</button>", {
      head: "<script>addEventListener('click', (event) => { if (event.target.id === 'own') CALL.then((state) => (window.state = state), (error) => (window.failed = String(error))); });</script>".replace("CALL", call),
    });
    await visitor.page.locator("#own").click();
    const state = await eventually("the answer", () => visitor.quietly("window.state ?? (window.failed && { failed })"));
    assert.equal(state.failed, undefined);
    assert.deepEqual(state, { status: "valid", granted: granted.split("~") });
    await visitor.sent();
    assert.equal((await visitor.cookie()).granted, granted);
    assert.equal((await demo.check(await visitor.subject(), granted.split("~")[0])).allowed, true);
    assert.equal((await demo.decisions()).at(-1).control, "script");
    assert.equal(await visitor.layer.count(), 0, "the first layer has nothing more to ask");
  });
}

for (const call of ["consent.save(['unknown'])", "consent.save(['statistics:unknown'])", "consent.save(['Statistics'])", "consent.save(['statistics\\na 1'])", "consent.save('statistics')"]) {
  test(`${call} is refused even in a click, and records nothing`, async (t) => {
    const visitor = await arrive(t, "<button id=own>The site's own control</button>", {
      head: "<script>addEventListener('click', () => CALL.then(() => (window.done = 'worked'), (error) => (window.done = String(error))));</script>".replace("CALL", call),
    });
    const known = (await demo.decisions()).length;
    await visitor.page.locator("#own").click();
    assert.match(await eventually("the answer", () => visitor.quietly("window.done")), /^\w*Error/);
    await untouched(visitor, known);
    assert.equal(await visitor.quietly("consent.granted('statistics')"), false);
  });
}

test("granted() says yes for necessary categories and services only, before any choice", async (t) => {
  const visitor = await arrive(t);
  const granted = (id) => visitor.quietly(`consent.granted(${JSON.stringify(id)})`);
  for (const id of ["functional", "functional:text-size"]) assert.equal(await granted(id), true, id);
  for (const id of ["statistics", "marketing", "statistics:page-counter", "unknown", "", "functional:unknown", "toString"]) assert.equal(await granted(id), false, id);
  assert.equal(await visitor.quietly("consent.granted()"), false);
});

test("ready resolves to the state, and status() says none before any choice", async (t) => {
  const visitor = await arrive(t);
  assert.deepEqual(await visitor.quietly("consent.ready"), { status: "none", granted: [] });
  assert.equal(await visitor.quietly("consent.status()"), "none");
});

test("granted() and status() follow the cookie from the first moment", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  const value = `1.1.${Math.floor(Date.now() / 1000)}.${subjectText()}.statistics.`;
  await visitor.context.addCookies([{ name: "consent", value, url: demo.origin }]);
  await visitor.serve("/test-page.html", html());
  await visitor.page.goto(`${demo.origin}/test-page.html`);
  await visitor.settled();
  assert.deepEqual(await visitor.quietly("consent.ready"), { status: "valid", granted: ["statistics"] });
  assert.equal(await visitor.quietly("consent.granted('statistics:visitor-numbers')"), true);
  assert.equal(await visitor.quietly("consent.granted('marketing')"), false);
});

test("open() opens the settings, without any act of the person, and records nothing", async (t) => {
  const visitor = await arrive(t);
  const known = (await demo.decisions()).length;
  await attempt(visitor, "consent.open()");
  assert.ok(await visitor.dialog.isVisible());
  await untouched(visitor, known);
});

describe("the events", () => {
  const listen = `<script>
    window.heard = [];
    for (const name of ["ready", "shown", "change"])
      document.addEventListener("consent:" + name, (event) => heard.push([name, event.detail]));
  </script>`;

  test("ready and shown fire for somebody new, with the state as detail", async (t) => {
    const visitor = await arrive(t, "", { head: listen });
    const none = { status: "none", granted: [] };
    assert.deepEqual(await visitor.quietly("heard"), [["shown", none], ["ready", none]]);
  });

  test("change fires once for a grant and once for its withdrawal", async (t) => {
    const visitor = await arrive(t, "", { head: listen });
    await visitor.button("Accept all", visitor.layer).click();
    await eventually("the cookie", () => visitor.cookie());
    await visitor.sent();
    await visitor.quietly("consent.rejectAll()");
    await visitor.sent();
    const changes = (await visitor.quietly("heard")).filter(([name]) => name === "change").map(([, detail]) => detail);
    assert.deepEqual(changes, [
      { status: "valid", granted: ["marketing", "statistics"] },
      { status: "valid", granted: [] },
    ]);
  });

  test("inside a change listener granted() already says what holds", async (t) => {
    const visitor = await arrive(t, "", {
      head: "<script>document.addEventListener('consent:change', () => (window.inside = consent.granted('marketing')));</script>",
    });
    await visitor.button("Accept all", visitor.layer).click();
    assert.equal(await eventually("the change", () => visitor.quietly("window.inside")), true);
  });

  test("shown fires when the settings open", async (t) => {
    const visitor = await arrive(t, "", { head: listen });
    await attempt(visitor, "consent.open()");
    assert.equal((await visitor.quietly("heard")).filter(([name]) => name === "shown").length, 2);
  });

  test("no change fires for somebody whose choice is known already", async (t) => {
    const visitor = await Visitor.arrive(t, demo);
    const value = `1.1.${Math.floor(Date.now() / 1000)}.${subjectText()}.statistics.`;
    await visitor.context.addCookies([{ name: "consent", value, url: demo.origin }]);
    await visitor.serve("/test-page.html", html("", listen));
    await visitor.page.goto(`${demo.origin}/test-page.html`);
    await visitor.settled();
    assert.deepEqual(await visitor.quietly("heard"), [["ready", { status: "valid", granted: ["statistics"] }]]);
  });

  test("on() takes the short and the full name, tells late listeners of ready, and can be undone", async (t) => {
    const visitor = await arrive(t);
    await visitor.quietly(`(() => {
      window.heard = [];
      consent.on("ready", (state) => heard.push(["ready", state.status]));
      consent.on("change", (state) => heard.push(["change", state.status]));
      consent.on("consent:change", (state) => heard.push(["consent:change", state.status]));
      const off = consent.on("change", () => heard.push(["undone"]));
      off();
    })()`);
    await visitor.quietly("consent.rejectAll()");
    await sleep(200);
    assert.deepEqual(await visitor.quietly("heard"), [
      ["ready", "none"],
      ["change", "valid"],
      ["consent:change", "valid"],
    ]);
  });
});

test("two copies of the line are one widget", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.serve("/test-page.html", html('<script src="/v1/sites/demo/consent.js"></script>'));
  await visitor.page.goto(`${demo.origin}/test-page.html`);
  await visitor.settled();
  await sleep(200);
  assert.equal(await visitor.layer.count(), 1);
});

for (const where of ["head", "body"]) {
  test(`the line works in its blocking form in the ${where}`, async (t) => {
    const visitor = await Visitor.arrive(t, demo);
    const line = '<script src="/v1/sites/demo/consent.js"></script>';
    const page = html().replace(/<script async.*<\/script>/, where === "head" ? line : "");
    await visitor.serve("/test-page.html", where === "body" ? page.replace("<main>", `${line}<main>`) : page);
    await visitor.page.goto(`${demo.origin}/test-page.html`);
    await visitor.settled();
    assert.ok(await visitor.layer.isVisible());
    assert.deepEqual(visitor.complaints(), []);
    await visitor.tabTo((focus) => focus.action === "accept", { most: 2 });
    await visitor.page.keyboard.press("Enter");
    await visitor.layer.waitFor({ state: "detached" });
    assert.ok(await visitor.reopen.isVisible());
  });
}

test("in a frame of another site nothing can be granted", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.serve(
    "/test-framed.html",
    html("<button id=own>Press</button>", "<script>addEventListener('click', () => consent.acceptAll().then(() => (window.done = 'worked'), (error) => (window.done = String(error))));</script>"),
  );
  await visitor.serve("/test-outside.html", `<!doctype html><title>Another site</title><iframe width=800 height=400 src="${demo.origin}/test-framed.html"></iframe>`);
  const known = (await demo.decisions()).length;
  // localhost and 127.0.0.1 are two sites.
  await visitor.page.goto(`http://localhost:${demo.port}/test-outside.html`);
  const frame = visitor.page.frameLocator("iframe");
  await frame.locator("#own").click();
  const inner = visitor.page.frames()[1];
  const done = await eventually("the answer", () => inner.evaluate(() => window.done));
  assert.match(done, /^Error/);
  assert.equal(await inner.evaluate(() => consent.granted("statistics")), false);
  assert.equal(await frame.getByRole("region", { name: "Privacy on this site" }).count(), 0);
  assert.equal((await demo.decisions()).length, known);
  assert.deepEqual(visitor.posts(), []);
});

describe("a page's script that posts what rule 2 forbids", () => {
  const subject = crypto.randomUUID();
  const bodies = [
    ["close that grants", { method: "close", layer: "first", granted: ["statistics"] }],
    ["reject-all that grants", { method: "reject-all", layer: "first", granted: ["statistics"] }],
    ["forget that grants", { method: "forget", layer: "settings", granted: ["statistics"], subject }],
    ["signal that grants", { method: "signal", layer: "none", granted: ["statistics"], signals: { gpc: true, dnt: false, said: false } }],
    ["agent that grants", { method: "agent", layer: "none", granted: ["statistics"], subject }],
    ["accept-all that leaves one out", { method: "accept-all", layer: "first", granted: ["statistics"], subject }],
    ["accept-all that grants nothing", { method: "accept-all", layer: "first", granted: [], subject }],
    ["accept-all that names a service instead", { method: "accept-all", layer: "first", granted: ["marketing", "statistics:page-counter"], subject }],
    ["accept-all with an unknown category", { method: "accept-all", layer: "first", granted: ["marketing", "statistics", "unknown"], subject }],
    ["save of an unknown category", { method: "save", layer: "settings", granted: ["unknown"], subject }],
    ["save of an unknown service", { method: "save", layer: "settings", granted: ["statistics:unknown"], subject }],
    ["api without a key", { method: "api", layer: "none", granted: ["statistics"], subject }],
    ["api with a source but without a key", { method: "api", layer: "none", granted: ["statistics"], subject, source: "phone" }],
    ["close of the settings", { method: "close", layer: "settings", granted: [] }],
    ["close of a placeholder", { method: "close", layer: "placeholder", granted: [] }],
    ["placeholder that grants nothing", { method: "save", layer: "placeholder", granted: [] }],
    ["an unknown notice", { method: "save", layer: "settings", granted: ["statistics"], subject, notice: 99 }],
  ];
  const value = `1.1.${Math.floor(Date.now() / 1000)}.-..`;
  let visitor;
  before(async () => {
    visitor = await Visitor.arrive(null, demo);
    await visitor.context.addCookies([{ name: "consent", value, url: demo.origin }]);
    await visitor.serve("/test-page.html", html());
    await visitor.page.goto(`${demo.origin}/test-page.html`);
  });
  after(() => visitor.context.close());
  for (const [name, body] of bodies) {
    test(`${name} gets 422, records nothing and leaves the cookie alone`, async () => {
      const known = (await demo.decisions()).length;
      const answer = await visitor.page.evaluate(
        async (body) => {
          const response = await fetch("/v1/sites/demo/decisions", {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ id: crypto.randomUUID(), notice: 1, language: "en", decided_at: new Date().toISOString(), ...body }),
          });
          return { status: response.status, type: response.headers.get("content-type"), problem: await response.json() };
        },
        body,
      );
      assert.equal(answer.status, 422, JSON.stringify(answer));
      assert.match(answer.type, /^application\/problem\+json/);
      assert.ok(answer.problem.detail, "it says what is wrong");
      assert.equal((await demo.decisions()).length, known);
      assert.equal((await visitor.cookies()).consent, value);
      if (body.subject) assert.notEqual((await demo.check(body.subject)).allowed, true);
    });
  }
});
