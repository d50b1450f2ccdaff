// What a visitor decides by mouse, with the preset "notice".

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Demo, Visitor, close, eventually, sleep } from "./harness.mjs";

const demo = await Demo.start();
after(async () => {
  await close();
  await demo.stop();
});

const gated = ["/statistics.js", "/later.js", "/visitors.html"];
const core = (visitor) => visitor.paths().filter((path) => path.startsWith("/assets/"));

describe("after Close", () => {
  let visitor;
  let records;
  before(async () => {
    visitor = await Visitor.arrive(null, demo);
    await visitor.visit();
    const known = (await demo.decisions()).length;
    await visitor.closeButton.click();
    await visitor.layer.waitFor({ state: "detached" });
    await eventually("the record", async () => (records = (await demo.decisions()).slice(known)).length);
    await visitor.sent();
  });
  after(() => visitor.context.close());

  test("everything optional is off, and the choice is valid", async () => {
    assert.deepEqual(await visitor.holds(), { status: "valid", statistics: false, marketing: false, functional: true });
  });

  test("the cookie names nobody", async () => {
    assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.-\.\.$/);
  });

  test("the cookie is dated now, lives for 180 days and goes to this site only", async () => {
    const [cookie, ...more] = await visitor.context.cookies();
    assert.deepEqual(more, []);
    const now = Date.now() / 1000;
    assert.ok(Math.abs((await visitor.cookie()).decidedAt - now) < 60);
    assert.ok(Math.abs(cookie.expires - now - 180 * 86400) < 60);
    assert.equal(cookie.sameSite, "Lax");
    assert.equal(cookie.path, "/");
    assert.equal(cookie.domain, "127.0.0.1");
  });

  test("nothing else is on the device", async () => {
    assert.deepEqual(Object.keys(await visitor.cookies()), ["consent"]);
    assert.deepEqual(await visitor.kept(), { local: {}, session: {}, databases: [], caches: [] });
  });

  test("one record says so: close on the first layer, statistics denied, nothing granted", () => {
    assert.equal(records.length, 1);
    const { method, layer, control, granted, denied, effect, notice } = records[0];
    assert.deepEqual(
      { method, layer, control, granted, denied, effect, version: notice.version },
      { method: "close", layer: "first", control: "close", granted: [], denied: ["statistics"], effect: "applied", version: 1 },
    );
  });

  test("what was sent carried no identifier of the visitor", () => {
    const [post] = visitor.posts();
    assert.equal(post.subject, undefined);
    assert.equal(post.prev, undefined);
  });

  test("no gated script ran", () => {
    assert.deepEqual(visitor.paths().filter((path) => gated.includes(path)), []);
  });

  test("the control that opens the settings again is there", async () => {
    assert.ok(await visitor.reopen.isVisible());
  });

  test("the settings show the ID of the record just made, this once", async () => {
    await visitor.reopen.click();
    const shown = await visitor.shownId();
    assert.match(shown, /^[0-9a-f-]{36}$/);
    await visitor.page.keyboard.press("Escape");
  });

  test("it is not asked again on reload, and nothing but consent.js is loaded for it", async () => {
    visitor.requests.length = 0;
    await visitor.reload();
    await sleep(500);
    assert.equal(await visitor.layer.count(), 0);
    assert.ok(await visitor.reopen.isVisible());
    assert.deepEqual(core(visitor), []);
    assert.deepEqual(visitor.posts(), []);
    assert.deepEqual(visitor.paths().filter((path) => gated.includes(path)), []);
  });

  test("after the reload the settings show no ID, since there is none", async () => {
    await visitor.reopen.click();
    await visitor.dialog.waitFor();
    assert.ok((await visitor.dialog.innerText()).includes("No consent ID, because nothing optional was switched on."));
    await visitor.page.keyboard.press("Escape");
  });

  test("it is not asked on the other pages", async () => {
    await visitor.visit("/soil.html");
    assert.equal(await visitor.layer.count(), 0);
  });

  test("the console has no complaint", () => {
    assert.deepEqual(visitor.complaints(), []);
  });
});

test("two visitors who close are two strangers in the log", async (t) => {
  const known = (await demo.decisions()).length;
  for (let i = 0; i < 2; i++) {
    const visitor = await Visitor.arrive(t, demo);
    await visitor.visit();
    await visitor.shut();
  }
  const records = await eventually("both records", async () => {
    const found = (await demo.decisions()).slice(known);
    return found.length === 2 && found;
  });
  assert.notEqual(records[0].subject, records[1].subject);
  assert.notEqual(records[0].id, records[1].id);
});

describe("opening the settings and leaving them", () => {
  for (const [who, arrive] of [
    ["somebody who has not chosen", async () => {}],
    ["somebody who has switched statistics on", (visitor) => visitor.grantStatistics()],
    ["somebody who has closed", (visitor) => visitor.shut()],
  ]) {
    for (const [how, leave] of [
      ["Cancel", (visitor) => visitor.button("Cancel", visitor.dialog).click()],
      ["Escape", (visitor) => visitor.page.keyboard.press("Escape")],
    ]) {
      test(`by ${how} changes nothing and records nothing for ${who}`, async (t) => {
        const visitor = await Visitor.arrive(t, demo);
        await visitor.visit();
        await arrive(visitor);
        const cookies = await visitor.context.cookies();
        const kept = await visitor.kept();
        const holds = await visitor.holds();
        const posts = visitor.posts().length;
        const known = (await demo.decisions()).length;
        const asked = await visitor.layer.isVisible();
        await (asked ? visitor.button("Settings", visitor.layer) : visitor.reopen).click();
        // Touched, but not saved.
        const was = await visitor.toggle().isChecked();
        await visitor.toggle().click();
        assert.equal(await visitor.toggle().isChecked(), !was);
        await leave(visitor);
        await visitor.dialog.waitFor({ state: "detached" });
        await sleep(300);
        assert.deepEqual(await visitor.context.cookies(), cookies);
        assert.deepEqual(await visitor.kept(), kept);
        assert.deepEqual(await visitor.holds(), holds);
        assert.equal(visitor.posts().length, posts);
        assert.equal((await demo.decisions()).length, known);
        assert.equal(await visitor.layer.isVisible(), asked, "the first layer is there as before");
        // Opened again, it shows what holds and not what was touched.
        await (asked ? visitor.button("Settings", visitor.layer) : visitor.reopen).click();
        assert.equal(await visitor.toggle().isChecked(), was);
      });
    }
  }
});

describe("the settings dialog", () => {
  let visitor;
  before(async () => {
    visitor = await Visitor.arrive(null, demo);
    await visitor.visit();
    await visitor.button("Settings", visitor.layer).click();
    await visitor.dialog.waitFor();
  });
  after(() => visitor.context.close());

  test("shows statistics off and functional cookies always on", async () => {
    assert.equal(await visitor.toggle("Website statistics").isChecked(), false);
    assert.equal(await visitor.toggle("Functional cookies").isChecked(), true);
    assert.ok(await visitor.toggle("Functional cookies").isDisabled());
    assert.ok((await visitor.dialog.innerText()).includes("Always on"));
  });

  for (const [name, facts] of [
    ["Website statistics", ["demo_visits", "30 days", "Which page was opened and when", "Page counter", "Visitor numbers (embedded)"]],
    ["Functional cookies", ["demo_text_size", "consent", "180 days", "Privacy choice", "Text size"]],
  ]) {
    test(`opens what is collected for ${name} with View details, and closes it again`, async () => {
      const category = visitor.dialog.getByRole("region", { name });
      for (const fact of facts.slice(0, 1)) assert.ok(!(await category.innerText()).includes(fact), fact);
      await visitor.button("View details", category).click();
      const text = await category.innerText();
      for (const fact of facts) assert.ok(text.includes(fact), fact);
      assert.equal(await visitor.button("Hide details", category).getAttribute("aria-expanded"), "true");
      await visitor.button("Hide details", category).click();
      assert.ok(!(await category.innerText()).includes(facts[0]));
      assert.equal(await visitor.button("View details", category).getAttribute("aria-expanded"), "false");
    });
  }

  test("names the controller, the cookie, its lifetime, and how an ID comes about", async () => {
    const text = await visitor.dialog.innerText();
    for (const fact of ["Example Gardens Ltd", "1 Example Lane", "privacy@gardens.example", "“consent”", "180 days", "random ID"])
      assert.ok(text.includes(fact), fact);
  });

  test("has Forget my settings, Cancel and Save", async () => {
    for (const name of ["Forget my settings", "Cancel", "Save"]) assert.ok(await visitor.button(name, visitor.dialog).isVisible(), name);
  });

  test("lets the state of a switch be read as words", async () => {
    const category = visitor.dialog.getByRole("region", { name: "Website statistics" });
    assert.ok((await category.innerText()).includes("Off"));
    await visitor.toggle().check();
    assert.match(await category.innerText(), /\bOn\b/);
    await visitor.toggle().uncheck();
  });
});

test("Save with everything off is a refusal, and names nobody", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  const known = (await demo.decisions()).length;
  await visitor.button("Settings", visitor.layer).click();
  await visitor.button("Save", visitor.dialog).click();
  await visitor.dialog.waitFor({ state: "detached" });
  await visitor.sent();
  const records = (await demo.decisions()).slice(known);
  assert.deepEqual(
    records.map(({ method, layer, granted, denied }) => ({ method, layer, granted, denied })),
    [{ method: "save", layer: "settings", granted: [], denied: ["statistics"] }],
  );
  assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.-\.\.$/);
  assert.deepEqual((await visitor.kept()).local, {});
  assert.equal(await visitor.layer.count(), 0);
});

describe("after statistics were switched on and saved", () => {
  let visitor;
  let subject;
  let records;
  const navigations = [];
  before(async () => {
    visitor = await Visitor.arrive(null, demo);
    await visitor.visit();
    await visitor.page.locator('script[src="/later.js"]').waitFor({ state: "attached" });
    visitor.page.on("framenavigated", (frame) => frame === visitor.page.mainFrame() && navigations.push(frame.url()));
    const known = (await demo.decisions()).length;
    await visitor.grantStatistics();
    await eventually("the record", async () => (records = (await demo.decisions()).slice(known)).length);
    subject = await visitor.subject();
  });
  after(() => visitor.context.close());

  test("the gated scripts run at once, without a reload", async () => {
    await visitor.page.waitForFunction(() => document.cookie.includes("demo_visits=1"));
    await eventually("both scripts", () => gated.slice(0, 2).every((path) => visitor.paths().includes(path)));
    const ledger = await visitor.ledger();
    assert.equal(ledger["statistics.js"], "on");
    assert.equal(ledger["later.js"], "on");
    assert.deepEqual(navigations, []);
  });

  test("the gated frame loads in its place", async () => {
    const frame = visitor.page.frameLocator("iframe.embed");
    await visitor.page.locator("iframe.embed").scrollIntoViewIfNeeded();
    assert.match(await frame.locator("figcaption").innerText(), /407 readers/);
  });

  test("the first layer is gone and the words say that the choice is saved", async () => {
    assert.equal(await visitor.layer.count(), 0);
    assert.equal(await visitor.page.getByRole("status").filter({ hasText: "Your choice is saved." }).count(), 1);
  });

  test("the cookie carries the subject and the category", async () => {
    const cookie = await visitor.cookie();
    assert.match(cookie.value, /^1\.1\.\d{10}\.[\w-]{22}\.statistics\.$/);
    assert.match(subject, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, "random, not a fingerprint");
  });

  test("local storage keeps the last decision and an empty queue", async () => {
    assert.deepEqual(await visitor.kept(), {
      local: { consent: JSON.stringify({ queue: [], prev: records[0].id }) },
      session: {},
      databases: [],
      caches: [],
    });
  });

  test("one record says so: save in the settings, statistics granted", () => {
    assert.equal(records.length, 1);
    const { method, layer, control, granted, denied, effect, language, widget, id } = records[0];
    assert.deepEqual(
      { method, layer, control, granted, denied, effect, language },
      { method: "save", layer: "settings", control: "save", granted: ["statistics"], denied: [], effect: "applied", language: "en" },
    );
    assert.match(widget, /^[0-9a-f]{64}$/);
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/, "time-ordered");
  });

  test("the backend may process statistics under the consent ID that the dialog shows", async () => {
    await visitor.reopen.click();
    const shown = await visitor.shownId();
    assert.equal(shown, subject);
    const answer = await demo.check(shown);
    assert.equal(answer.allowed, true);
    assert.equal(answer.status, "valid");
    assert.ok(await visitor.toggle().isChecked());
    await visitor.page.keyboard.press("Escape");
  });

  test("on reload there is no banner, the scripts run, and no core is requested", async () => {
    visitor.requests.length = 0;
    visitor.answers.length = 0;
    await visitor.reload();
    await visitor.page.waitForFunction(() => document.cookie.includes("demo_visits=2"));
    await eventually("the later script", () => visitor.paths().includes("/later.js"));
    assert.equal(await visitor.layer.count(), 0);
    assert.deepEqual(core(visitor), []);
    assert.deepEqual(visitor.posts(), []);
  });

  test("on reload consent.js comes from the cache or is revalidated", async () => {
    const [{ transferSize, decodedBodySize }] = await visitor.page.evaluate(() =>
      performance.getEntriesByType("resource").filter(({ name }) => name.endsWith("/consent.js")).map((entry) => entry.toJSON()),
    );
    assert.ok(decodedBodySize > 3000);
    assert.ok(transferSize < 1000, `${transferSize} bytes came over the wire`);
  });

  test("switching statistics off is as many acts as switching them on, and holds at once", async () => {
    await visitor.refuseStatistics();
    assert.deepEqual(await visitor.holds(), { status: "valid", statistics: false, marketing: false, functional: true });
    assert.equal((await demo.check(subject)).allowed, false);
    assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.[\w-]{22}\.\.$/);
  });

  test("after switching off the statistics script's own cookie is gone and the frame is empty", async () => {
    assert.deepEqual(Object.keys(await visitor.cookies()), ["consent"]);
    assert.equal(await visitor.page.locator("iframe.embed").getAttribute("src"), null);
    assert.ok(await visitor.page.locator('[data-consent="placeholder"] .placeholder').isVisible());
  });

  test("after switching off nothing gated runs on reload", async () => {
    visitor.requests.length = 0;
    await visitor.reload();
    await sleep(900);
    assert.deepEqual(visitor.paths().filter((path) => gated.includes(path)), []);
    assert.equal(await visitor.layer.count(), 0);
  });

  test("the console has no complaint, and the content security policy held", async () => {
    assert.deepEqual(visitor.complaints(), []);
    assert.deepEqual(await visitor.violations(), []);
  });
});

describe("after Forget my settings", () => {
  let visitor;
  let subject;
  let known;
  before(async () => {
    visitor = await Visitor.arrive(null, demo);
    await visitor.visit();
    await visitor.grantStatistics();
    subject = await visitor.subject();
    await visitor.page.waitForFunction(() => document.cookie.includes("demo_visits="));
    known = (await demo.decisions()).length;
    await visitor.reopen.click();
    await visitor.button("Forget my settings", visitor.dialog).click();
    await visitor.dialog.getByText("Deleted!").waitFor();
    await visitor.sent();
  });
  after(() => visitor.context.close());

  test("Deleted! is said in a live region, and seen without scrolling", async () => {
    const said = visitor.dialog.getByRole("status").filter({ hasText: "Deleted!" });
    assert.ok(await said.isVisible());
    const box = await said.boundingBox();
    assert.ok(box.y >= 0 && box.y + box.height <= 800);
  });

  test("every cookie is gone, the statistics script's own one too", async () => {
    assert.deepEqual(await visitor.cookies(), {});
  });

  test("nothing is left in any storage", async () => {
    assert.deepEqual(await visitor.kept(), { local: {}, session: {}, databases: [], caches: [] });
  });

  test("the switches are off and no consent ID is shown any more", async () => {
    assert.equal(await visitor.toggle().isChecked(), false);
    assert.ok(!(await visitor.dialog.innerText()).includes(subject));
    assert.ok((await visitor.dialog.innerText()).includes("No consent ID"));
  });

  test("everything optional is off in the page at once", async () => {
    const { status, statistics } = await visitor.holds();
    assert.equal(statistics, false);
    assert.equal(status, "none");
    assert.equal(await visitor.page.locator("iframe.embed").getAttribute("src"), null);
  });

  test("the backend reads forgotten and not allowed", async () => {
    const answer = await demo.check(subject);
    assert.equal(answer.status, "forgotten");
    assert.equal(answer.allowed, false);
  });

  test("one record says so, which denies everything optional", async () => {
    const records = (await demo.decisions()).slice(known);
    assert.deepEqual(
      records.map(({ method, layer, control, granted, denied }) => ({ method, layer, control, granted, denied })),
      [{ method: "forget", layer: "settings", control: "forget", granted: [], denied: ["statistics"] }],
    );
  });

  test("the dialog can be closed, and the focus goes back to what opened it", async () => {
    await visitor.button("Close", visitor.dialog).click();
    await visitor.dialog.waitFor({ state: "detached" });
    assert.equal((await visitor.focused()).text, "Privacy settings");
  });

  test("on reload no gated script runs and the banner is there again", async () => {
    visitor.requests.length = 0;
    await visitor.reload();
    await sleep(900);
    assert.deepEqual(visitor.paths().filter((path) => gated.includes(path)), []);
    assert.ok(await visitor.layer.isVisible());
    assert.deepEqual(await visitor.cookies(), {});
  });

  test("a new choice gets a new subject", async () => {
    await visitor.grantStatistics();
    const other = await visitor.subject();
    assert.ok(other);
    assert.notEqual(other, subject);
    assert.equal((await demo.check(other)).allowed, true);
    assert.equal((await demo.check(subject)).allowed, false);
  });

  test("the console has no complaint", () => {
    assert.deepEqual(visitor.complaints(), []);
  });
});

test("Forget my settings works for somebody who has only closed", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  await visitor.shut();
  await visitor.reopen.click();
  await visitor.button("Forget my settings", visitor.dialog).click();
  await visitor.dialog.getByText("Deleted!").waitFor();
  assert.deepEqual(await visitor.cookies(), {});
  await visitor.sent();
  assert.deepEqual(await visitor.kept(), { local: {}, session: {}, databases: [], caches: [] });
});

test("Forget my settings works for somebody who has never chosen", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  await visitor.button("Settings", visitor.layer).click();
  await visitor.button("Forget my settings", visitor.dialog).click();
  await visitor.dialog.getByText("Deleted!").waitFor();
  await visitor.sent();
  assert.deepEqual(await visitor.cookies(), {});
  assert.deepEqual((await visitor.kept()).local, {});
});

test("switching on after Forget in the same dialog is a new subject", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  await visitor.grantStatistics();
  const first = await visitor.subject();
  await visitor.reopen.click();
  await visitor.button("Forget my settings", visitor.dialog).click();
  await visitor.dialog.getByText("Deleted!").waitFor();
  await visitor.toggle().check();
  await visitor.button("Save", visitor.dialog).click();
  await visitor.dialog.waitFor({ state: "detached" });
  await visitor.sent();
  const second = await visitor.subject();
  assert.notEqual(second, first);
  assert.equal((await demo.check(second)).allowed, true);
  assert.equal((await demo.check(first)).status, "forgotten");
});

test("the site's own link opens the settings, and gets the focus back", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  await visitor.closeButton.click();
  await visitor.button("Cookie settings").click();
  await visitor.dialog.waitFor();
  await visitor.page.keyboard.press("Escape");
  await visitor.dialog.waitFor({ state: "detached" });
  assert.equal((await visitor.focused()).text, "Cookie settings");
});

test("a click before the core has arrived is not lost", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.context.route("**/assets/**", async (route) => {
    await sleep(1500);
    await route.continue();
  });
  await visitor.visit();
  await visitor.closeButton.click();
  await visitor.layer.waitFor({ state: "detached" });
  assert.deepEqual(await visitor.cookies(), {}, "the core has not arrived");
  await eventually("the choice is kept", async () => (await visitor.cookie())?.subject === "-");
  await visitor.sent();
  assert.equal(visitor.posts().length, 1);
});

test("two impatient clicks on Settings open one dialog", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.context.route("**/assets/**", async (route) => {
    await sleep(600);
    await route.continue();
  });
  await visitor.visit();
  await visitor.button("Settings", visitor.layer).click();
  await visitor.button("Settings", visitor.layer).click({ force: true });
  await visitor.dialog.first().waitFor();
  await sleep(500);
  assert.equal(await visitor.dialog.count(), 1);
});

test("the cookie of the text size is set only when the visitor changes it, whatever is chosen", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  await visitor.shut();
  await visitor.button("Larger text").click();
  assert.deepEqual(Object.keys(await visitor.cookies()).sort(), ["consent", "demo_text_size"]);
  await visitor.reopen.click();
  await visitor.button("Forget my settings", visitor.dialog).click();
  await visitor.dialog.getByText("Deleted!").waitFor();
  assert.equal((await visitor.cookies()).consent, undefined);
});
