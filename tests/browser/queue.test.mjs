// Decisions made while the server is away: kept, sent later, once, and never able to bring back what was withdrawn since.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Demo, Visitor, close, eventually, sleep } from "./harness.mjs";

const data = mkdtempSync(path.join(tmpdir(), "consent-browser-"));
const demo = await Demo.start({ data });
after(async () => {
  await close();
  await demo.stop();
  rmSync(data, { recursive: true, force: true });
});

async function arrive(t) {
  const visitor = await Visitor.arrive(t, demo);
  return visitor;
}

/** What a browser's HTTP cache, or a site on another host, still answers while the service is away. */
async function remember(visitor) {
  const seen = new Map();
  await visitor.context.route("**/*", async (route) => {
    const request = route.request();
    if (request.method() !== "GET") return route.continue();
    const key = request.url();
    try {
      const response = await route.fetch();
      const kept = { status: response.status(), headers: response.headers(), body: await response.body() };
      if (!/\/v1\/sites\/demo\/(?!consent\.js)/.test(key)) seen.set(key, kept);
      await route.fulfill(kept);
    } catch {
      if (seen.has(key)) await route.fulfill(seen.get(key));
      else await route.abort("connectionrefused");
    }
  });
}

async function openSettings(visitor) {
  await (await visitor.layer.isVisible() ? visitor.button("Settings", visitor.layer) : visitor.reopen).click();
  await visitor.dialog.waitFor();
}

async function save(visitor, on) {
  if (!(await visitor.dialog.isVisible())) await openSettings(visitor);
  await visitor.toggle().setChecked(on);
  await visitor.button("Save", visitor.dialog).click();
  await visitor.dialog.waitFor({ state: "detached" });
}

// The settings once, so that the core and the texts are there; then the network goes.
async function goOffline(visitor) {
  await openSettings(visitor);
  await visitor.page.keyboard.press("Escape");
  await visitor.dialog.waitFor({ state: "detached" });
  await visitor.context.setOffline(true);
}

async function goOnline(visitor) {
  await visitor.context.setOffline(false);
  await visitor.sent();
}

const since = async (known) => (await demo.decisions()).slice(known);

describe("statistics switched on while the server is dead", () => {
  let visitor;
  let known;
  let cookie;
  let id;
  before(async () => {
    known = (await demo.decisions()).length;
    visitor = await arrive();
    await remember(visitor);
    await visitor.visit();
    // The gated files once, so that they can run while the server is away.
    await visitor.page.evaluate(() => Promise.all(["/statistics.js", "/later.js", "/visitors.html", "/embed.css"].map((file) => fetch(file))));
    await openSettings(visitor);
    await demo.kill();
    await save(visitor, true);
    cookie = await visitor.cookie();
  });
  after(() => visitor.context.close());

  test("takes effect in the page at once", async () => {
    assert.deepEqual(await visitor.holds(), { status: "valid", statistics: true, marketing: false, functional: true });
    await visitor.page.waitForFunction(() => document.cookie.includes("demo_visits=1"));
    assert.match(cookie.value, /^1\.1\.\d{10}\.[\w-]{22}\.statistics\.$/);
  });

  test("is kept in local storage", async () => {
    const queue = await visitor.queue();
    assert.equal(queue.length, 1);
    assert.deepEqual(queue[0].granted, ["statistics"]);
    id = queue[0].id;
  });

  test("survives a reload while the server is still away", async () => {
    await visitor.reload();
    assert.deepEqual(await visitor.holds(), { status: "valid", statistics: true, marketing: false, functional: true });
    await visitor.page.waitForFunction(() => document.cookie.includes("demo_visits=2"));
    assert.equal(await visitor.layer.count(), 0);
    assert.equal((await visitor.cookie()).value, cookie.value);
    assert.deepEqual((await visitor.queue()).map((entry) => entry.id), [id]);
  });

  test("is sent once the server is back, and is one record", async () => {
    visitor.answers.length = 0;
    await demo.again();
    await visitor.sent();
    const records = await since(known);
    assert.deepEqual(records.map((record) => [record.id, record.effect]), [[id, "applied"]]);
    const answered = visitor.answers.filter((response) => response.request().method() === "POST").map((response) => response.status());
    assert.deepEqual(answered, [201]);
  });

  test("then reads as if it had been made online", async () => {
    assert.equal((await visitor.cookie()).value, cookie.value);
    assert.deepEqual(await visitor.stored(), { queue: [], prev: id });
    assert.equal((await demo.check(await visitor.subject())).allowed, true);
    assert.equal((await visitor.holds()).statistics, true);
  });

  test("is not sent again afterwards", async () => {
    await visitor.reload();
    await sleep(1500);
    assert.equal((await since(known)).length, 1);
  });
});

describe("Close pressed while the server is dead", () => {
  let visitor;
  let known;
  before(async () => {
    known = (await demo.decisions()).length;
    visitor = await arrive();
    await remember(visitor);
    await visitor.visit();
    await visitor.layer.hover();
    await eventually("the core", () => visitor.paths().some((name) => name.endsWith(".wasm")));
    await visitor.page.waitForLoadState("networkidle");
    await demo.kill();
    await visitor.closeButton.click();
    await eventually("the cookie", () => visitor.cookie());
  });
  after(() => visitor.context.close());

  test("refuses at once and keeps no identifier in the cookie", async () => {
    assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.-\.\.$/);
    assert.equal((await visitor.queue()).length, 1);
    assert.equal((await visitor.queue())[0].subject, undefined);
  });

  test("is not asked again on reload while the server is away", async () => {
    await visitor.reload();
    assert.equal(await visitor.layer.count(), 0);
    assert.equal((await visitor.holds()).status, "valid");
  });

  test("is sent once the server is back, once, and leaves nothing in local storage", async () => {
    await demo.again();
    await visitor.sent();
    assert.deepEqual((await since(known)).map(({ method }) => method), ["close"]);
    assert.deepEqual((await visitor.kept()).local, {});
  });
});

test("Close pressed when the server has died while the layer was being read is kept and sent later", async (t) => {
  const visitor = await arrive(t);
  await remember(visitor);
  // The core comes by itself behind the first layer: nobody has pressed anything yet.
  const core = visitor.page.waitForResponse((response) => response.url().endsWith(".wasm"));
  await visitor.visit();
  await (await core).finished();
  await sleep(500);
  const known = (await demo.decisions()).length;
  await demo.kill();
  try {
    await visitor.page.keyboard.press("Tab");
    await visitor.page.keyboard.press("Tab");
    await visitor.page.keyboard.press("Enter");
    await eventually("the refusal is taken", async () => (await visitor.layer.count()) === 0, 5000);
    assert.equal((await visitor.holds()).statistics, false);
  } finally {
    await demo.again();
  }
  await eventually("the record", async () => (await since(known)).length === 1, 20000);
});

test("Close pressed when the core could never be had is asked again, and grants nothing", async (t) => {
  const visitor = await arrive(t);
  await remember(visitor);
  await visitor.context.route("**/assets/**", (route) => route.abort());
  await visitor.visit();
  const known = (await demo.decisions()).length;
  await visitor.page.keyboard.press("Tab");
  await visitor.page.keyboard.press("Tab");
  await visitor.page.keyboard.press("Enter");
  await sleep(1000);
  assert.equal((await visitor.holds()).statistics, false);
  assert.equal(await visitor.layer.count(), 1, "nobody is told that something was kept which was not");
  assert.equal((await since(known)).length, 0);
});

test("an answer that is lost on its way makes no second record", async (t) => {
  const visitor = await arrive(t);
  await visitor.visit();
  const known = (await demo.decisions()).length;
  let lost = 0;
  await visitor.context.route("**/decisions", async (route) => {
    if (lost++) return route.continue();
    await route.fetch();
    await route.abort("connectionreset");
  });
  await save(visitor, true);
  await visitor.sent();
  assert.deepEqual(visitor.answers.filter((response) => response.request().method() === "POST").map((response) => response.status()), [200]);
  assert.equal((await since(known)).length, 1);
  assert.equal((await visitor.holds()).statistics, true);
});

for (const [name, status] of [
  ["unavailable", 503],
  ["limiting the rate", 429],
  ["failing", 500],
]) {
  test(`a server that is ${name} (${status}) is asked again`, async (t) => {
    const visitor = await arrive(t);
    await visitor.visit();
    const known = (await demo.decisions()).length;
    let times = 0;
    await visitor.context.route("**/decisions", (route) => (times++ ? route.continue() : route.fulfill({ status, body: "{}" })));
    await save(visitor, true);
    assert.equal((await visitor.holds()).statistics, true, "it holds at once");
    await visitor.sent();
    assert.equal((await since(known)).length, 1);
  });
}

test("a grant that the server refuses for good does not hold in the page either", async (t) => {
  const visitor = await arrive(t);
  await visitor.visit();
  await visitor.context.route("**/decisions", (route) => route.fulfill({ status: 422, body: "{}" }));
  await save(visitor, true);
  await visitor.sent();
  assert.equal((await visitor.holds()).statistics, false);
  assert.equal((await visitor.cookie())?.granted ?? "", "");
  await visitor.reload();
  assert.equal((await visitor.holds()).statistics, false);
});

test("a choice survives leaving the page at once", async (t) => {
  const visitor = await arrive(t);
  await visitor.visit();
  const known = (await demo.decisions()).length;
  let times = 0;
  await visitor.context.route("**/decisions", async (route) => {
    // The first attempt is still under way when the person leaves.
    if (!times++) await sleep(1500);
    await route.continue().catch(() => {});
  });
  await save(visitor, true);
  await visitor.visit("/soil.html");
  assert.equal((await visitor.holds()).statistics, true);
  await visitor.sent();
  await sleep(1700);
  assert.equal((await since(known)).length, 1);
});

test("two tabs send one decision once", async (t) => {
  const visitor = await arrive(t);
  await visitor.visit();
  const known = (await demo.decisions()).length;
  await goOffline(visitor);
  await save(visitor, true);
  await visitor.context.setOffline(false);
  const second = await visitor.context.newPage();
  await visitor.visit("/soil.html", second);
  await visitor.sent();
  await sleep(500);
  assert.equal((await since(known)).length, 1);
  assert.equal(await second.evaluate(() => consent.granted("statistics")), true);
});

test("two decisions that were queued arrive in their order, and the last one holds", async (t) => {
  const visitor = await arrive(t);
  await visitor.visit();
  const known = (await demo.decisions()).length;
  await goOffline(visitor);
  await save(visitor, true);
  await save(visitor, false);
  assert.equal((await visitor.queue()).length, 2);
  assert.equal((await visitor.holds()).statistics, false);
  await goOnline(visitor);
  const records = await since(known);
  assert.deepEqual(records.map(({ granted, denied }) => [granted, denied]), [[["statistics"], []], [[], ["statistics"]]]);
  assert.equal(records[1].prev, records[0].id);
  assert.equal((await demo.check(await visitor.subject())).allowed, false);
  assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.[\w-]{22}\.\.$/);
});

test("off and on again in one queue is on", async (t) => {
  const visitor = await arrive(t);
  await visitor.visit();
  await visitor.grantStatistics();
  const subject = await visitor.subject();
  const known = (await demo.decisions()).length;
  await goOffline(visitor);
  await save(visitor, false);
  await save(visitor, true);
  await goOnline(visitor);
  assert.deepEqual((await since(known)).map(({ effect }) => effect), ["applied", "applied"]);
  assert.equal((await demo.check(subject)).allowed, true);
  assert.equal((await visitor.holds()).statistics, true);
  assert.equal(await visitor.subject(), subject);
});

test("Forget my settings drops the queued grants", async (t) => {
  const visitor = await arrive(t);
  await visitor.visit();
  const known = (await demo.decisions()).length;
  await goOffline(visitor);
  await save(visitor, true);
  const subject = await visitor.subject();
  await openSettings(visitor);
  await visitor.button("Forget my settings", visitor.dialog).click();
  await visitor.dialog.getByText("Deleted!").waitFor();
  assert.ok((await visitor.queue()).every(({ granted }) => !granted.length));
  assert.deepEqual(await visitor.cookies(), {});
  await goOnline(visitor);
  assert.deepEqual((await since(known)).filter(({ granted }) => granted.length), []);
  assert.equal((await demo.check(subject)).allowed, false);
  assert.deepEqual(await visitor.cookies(), {});
  assert.deepEqual((await visitor.kept()).local, {});
  assert.equal((await visitor.holds()).statistics, false);
});

/** Somebody whose statistics were on, then off, and who switches them on again offline. */
async function queuedGrant(t) {
  const visitor = await arrive(t);
  await visitor.visit();
  await visitor.grantStatistics();
  await visitor.refuseStatistics();
  const subject = await visitor.subject();
  await goOffline(visitor);
  await save(visitor, true);
  assert.equal((await visitor.holds()).statistics, true);
  const known = (await demo.decisions()).length;
  return { visitor, subject, known };
}

async function grantsNothing({ visitor, subject, known }) {
  await goOnline(visitor);
  const record = (await since(known)).at(-1);
  assert.deepEqual([record.granted, record.effect], [["statistics"], "stale"]);
  assert.equal((await demo.check(subject)).allowed, false, "the backend");
  assert.equal((await visitor.holds()).statistics, false, "the page");
  const cookie = await visitor.cookie();
  assert.ok(!cookie?.granted, `the cookie ${cookie?.value}`);
  await visitor.reload();
  assert.equal((await visitor.holds()).statistics, false, "the page after a reload");
}

test("a queued grant made before a revoke on the person's behalf grants nothing", async (t) => {
  const person = await queuedGrant(t);
  await demo.behalf({ subject: person.subject });
  await grantsNothing(person);
  assert.deepEqual(Object.keys(await person.visitor.cookies()), ["consent"], "what statistics had stored meanwhile is gone");
});

test("a queued grant made before a forget elsewhere grants nothing, and the cookie is cleared", async (t) => {
  const person = await queuedGrant(t);
  await demo.behalf({ subject: person.subject, method: "forget" });
  await grantsNothing(person);
  assert.equal((await demo.check(person.subject)).status, "forgotten");
  assert.equal((await person.visitor.cookies()).consent, undefined);
});

test("a queued grant made before a refusal in the same person's other browser grants nothing", async (t) => {
  const person = await queuedGrant(t);
  const { consent } = await person.visitor.cookies();
  const other = await arrive(t);
  await other.context.addCookies([{ name: "consent", value: consent, url: demo.origin }]);
  await other.visit();
  assert.equal(await other.subject(), person.subject);
  await save(other, false);
  await other.sent();
  await grantsNothing(person);
});

test("two queued grants made before a revoke elsewhere grant nothing, one behind the other", async (t) => {
  const person = await queuedGrant(t);
  await save(person.visitor, false);
  await save(person.visitor, true);
  await demo.behalf({ subject: person.subject });
  await goOnline(person.visitor);
  assert.equal((await demo.check(person.subject)).allowed, false);
  assert.equal((await person.visitor.holds()).statistics, false);
  assert.ok(!(await person.visitor.cookie())?.granted);
});

test("after a grant that came too late, a new one by the person counts again", async (t) => {
  const person = await queuedGrant(t);
  await demo.behalf({ subject: person.subject });
  await goOnline(person.visitor);
  await save(person.visitor, true);
  await person.visitor.sent();
  const subject = await person.visitor.subject();
  assert.equal((await demo.check(subject)).allowed, true);
  assert.equal((await person.visitor.holds()).statistics, true);
});

test("the other browser of a person can grant after it has asked what was last", async (t) => {
  const visitor = await arrive(t);
  await visitor.visit();
  await visitor.grantStatistics();
  await visitor.refuseStatistics();
  const other = await arrive(t);
  await other.context.addCookies([{ name: "consent", value: (await visitor.cookies()).consent, url: demo.origin }]);
  await other.visit();
  await save(other, true);
  await other.sent();
  assert.equal((await demo.check(await visitor.subject())).allowed, true);
});

test("an old grant sent again brings nothing back, in the backend or in the cookie", async (t) => {
  const visitor = await arrive(t);
  await visitor.visit();
  await visitor.grantStatistics();
  const [grant] = visitor.posts();
  await visitor.refuseStatistics();
  const refused = (await visitor.cookie()).value;
  const known = (await demo.decisions()).length;
  const answer = await visitor.page.evaluate(async (body) => {
    const response = await fetch("/v1/sites/demo/decisions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: response.status, consent: (await response.json()).consent };
  }, grant);
  assert.equal(answer.status, 200);
  assert.equal(answer.consent.categories.statistics, "denied");
  assert.equal((await visitor.cookie()).value, refused);
  assert.equal((await demo.decisions()).length, known);
  assert.equal((await demo.check(await visitor.subject())).allowed, false);
});

test("who deletes the cookie while a grant is queued has taken it back", async (t) => {
  const visitor = await arrive(t);
  await visitor.visit();
  const known = (await demo.decisions()).length;
  await goOffline(visitor);
  await save(visitor, true);
  // Gone before it could be sent.
  await visitor.page.goto("about:blank");
  await visitor.context.clearCookies();
  await visitor.context.setOffline(false);
  await visitor.visit();
  assert.equal((await visitor.holds()).statistics, false);
  await visitor.sent();
  await sleep(500);
  assert.deepEqual((await since(known)).filter(({ granted }) => granted.length), []);
  assert.equal((await visitor.holds()).statistics, false);
  assert.ok(await visitor.layer.isVisible());
});

test("where storage is forbidden, choices work all the same", async (t) => {
  const visitor = await arrive(t);
  await visitor.context.addInitScript(() => {
    const forbid = () => {
      throw new DOMException("forbidden", "SecurityError");
    };
    Object.defineProperty(window, "localStorage", { get: forbid });
    Object.defineProperty(window, "sessionStorage", { get: forbid });
  });
  await visitor.visit();
  const known = (await demo.decisions()).length;
  await save(visitor, true);
  await eventually("the record", async () => (await since(known)).length === 1);
  assert.equal((await visitor.holds()).statistics, true);
  await save(visitor, false);
  await eventually("the second record", async () => (await since(known)).length === 2);
  assert.equal((await demo.check(await visitor.subject())).allowed, false);
  assert.deepEqual(visitor.complaints(), []);
});

test("Forget my settings from the page's script works while the server is away; the statistics cookie goes once it is back", async (t) => {
  const visitor = await arrive(t);
  await remember(visitor);
  await visitor.visit();
  await visitor.grantStatistics();
  const subject = await visitor.subject();
  await visitor.page.waitForFunction(() => document.cookie.includes("demo_visits="));
  // Another page, on which nothing but the loader is needed; the core is in the browser's cache.
  await visitor.visit("/soil.html");
  await demo.kill();
  try {
    await visitor.page.evaluate(() => consent.forget());
    await sleep(300);
    assert.equal((await visitor.cookies()).consent, undefined);
    assert.equal((await visitor.holds()).statistics, false);
  } finally {
    await demo.again();
  }
  await eventually("the record", async () => (await demo.check(subject)).status === "forgotten", 20000);
  // Which cookies belong to a category is in the notice, which a page that nobody opened the settings on has not read.
  await eventually("the sweep", async () => !("demo_visits" in (await visitor.cookies())), 5000);
});
