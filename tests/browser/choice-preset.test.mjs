// The preset "choice": Accept all, Reject all and Settings on the first layer.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Demo, Visitor, close, eventually, sleep } from "./harness.mjs";

const demo = await Demo.start({ preset: "choice" });
after(async () => {
  await close();
  await demo.stop();
});

async function arrive(t, options) {
  const visitor = await Visitor.arrive(t, demo, options);
  await visitor.visit();
  return visitor;
}

async function press(visitor, name) {
  await visitor.button(name, visitor.layer).click();
  await eventually("the cookie", () => visitor.cookie());
  await visitor.sent();
}

const looks = (button) =>
  button.evaluate((node) => {
    const { width, height } = node.getBoundingClientRect();
    const style = getComputedStyle(node);
    const kept = {};
    for (const name of ["color", "backgroundColor", "border", "borderRadius", "font", "padding", "opacity", "boxShadow", "textDecoration", "cursor"])
      kept[name] = style[name];
    return { ...kept, width: Math.round(width * 10), height: Math.round(height * 10) };
  });

for (const width of [320, 1280]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`Accept all and Reject all look the same and are equally large, ${width} px, ${colorScheme}`, async (t) => {
      const visitor = await arrive(t, { viewport: { width, height: 700 }, colorScheme });
      const [accept, reject, settings] = ["Accept all", "Reject all", "Settings"].map((name) => visitor.button(name, visitor.layer));
      assert.deepEqual(await looks(reject), await looks(accept));
      // All three are equally prominent.
      const { width: acceptWidth, ...style } = await looks(accept);
      const { width: settingsWidth, ...settingsStyle } = await looks(settings);
      assert.deepEqual(settingsStyle, style);
      assert.ok(Math.abs(settingsWidth - acceptWidth) <= 10, `Settings is ${settingsWidth / 10} px wide, Accept all ${acceptWidth / 10}`);
    });
  }
}

test("the first layer holds Accept all, Reject all and Settings, and a link to the privacy policy", async (t) => {
  const visitor = await arrive(t);
  assert.deepEqual(await visitor.layer.locator("button").allInnerTexts(), ["Accept all", "Reject all", "Settings"]);
  assert.equal(await visitor.layer.getByRole("link", { name: "Privacy policy" }).getAttribute("href"), "/privacy");
  assert.equal(await visitor.closeButton.count(), 0);
});

test("before any choice nothing is stored, run or sent", async (t) => {
  const visitor = await arrive(t);
  await visitor.page.locator("#offer iframe").waitFor({ state: "attached" });
  await sleep(900);
  assert.deepEqual(await visitor.context.cookies(), []);
  assert.deepEqual(await visitor.kept(), { local: {}, session: {}, databases: [], caches: [] });
  for (const gated of ["/statistics.js", "/later.js", "/visitors.html", "/offer.html"]) assert.ok(!visitor.paths().includes(gated), gated);
  assert.deepEqual(visitor.posts(), []);
  assert.deepEqual(visitor.complaints(), []);
});

describe("Accept all", () => {
  let visitor;
  let records;
  before(async () => {
    visitor = await arrive();
    const known = (await demo.decisions()).length;
    await press(visitor, "Accept all");
    records = (await demo.decisions()).slice(known);
  });
  after(() => visitor.context.close());

  test("grants exactly the optional categories", async () => {
    const { method, layer, control, granted, denied } = records[0];
    assert.equal(records.length, 1);
    assert.deepEqual(
      { method, layer, control, granted, denied },
      { method: "accept-all", layer: "first", control: "accept", granted: ["marketing", "statistics"], denied: [] },
    );
    assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.[\w-]{22}\.marketing~statistics\.$/);
  });

  test("holds in the page and for the backend", async () => {
    assert.deepEqual(await visitor.holds(), { status: "valid", statistics: true, marketing: true, functional: true });
    const subject = await visitor.subject();
    for (const category of ["statistics", "marketing"]) assert.equal((await demo.check(subject, category)).allowed, true, category);
  });

  test("runs the scripts and loads the frames at once", async () => {
    await visitor.page.waitForFunction(() => document.cookie.includes("demo_visits=1"));
    await visitor.page.locator("#offer iframe").scrollIntoViewIfNeeded();
    await eventually("the newsletter", () => visitor.paths().includes("/offer.html"));
    await eventually("its cookie", async () => (await visitor.cookies()).demo_offer);
  });

  test("can be withdrawn as a whole, and what the categories stored goes too", async () => {
    await visitor.reopen.click();
    await visitor.button("Forget my settings", visitor.dialog).click();
    await visitor.dialog.getByText("Deleted!").waitFor();
    assert.deepEqual(await visitor.cookies(), {});
  });
});

describe("Reject all", () => {
  let visitor;
  let records;
  before(async () => {
    visitor = await arrive();
    const known = (await demo.decisions()).length;
    await press(visitor, "Reject all");
    records = (await demo.decisions()).slice(known);
  });
  after(() => visitor.context.close());

  test("denies exactly the optional categories and names nobody", async () => {
    const { method, layer, control, granted, denied } = records[0];
    assert.equal(records.length, 1);
    assert.deepEqual(
      { method, layer, control, granted, denied },
      { method: "reject-all", layer: "first", control: "reject", granted: [], denied: ["marketing", "statistics"] },
    );
    assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.-\.\.$/);
    assert.deepEqual((await visitor.kept()).local, {});
  });

  test("is not asked again on reload and runs nothing", async () => {
    visitor.requests.length = 0;
    await visitor.reload();
    await sleep(900);
    assert.equal(await visitor.layer.count(), 0);
    for (const gated of ["/statistics.js", "/later.js", "/visitors.html", "/offer.html"]) assert.ok(!visitor.paths().includes(gated), gated);
    assert.deepEqual(visitor.paths().filter((path) => path.startsWith("/assets/")), []);
  });
});

for (const [name, granted] of [
  ["Accept all", "marketing~statistics"],
  ["Reject all", ""],
]) {
  test(`${name} works by keyboard, and leaves the focus on Privacy settings`, async (t) => {
    const visitor = await arrive(t);
    await visitor.tabTo((focus) => focus.text === name, { most: 5 });
    await visitor.page.keyboard.press("Enter");
    await eventually("the cookie", () => visitor.cookie());
    await visitor.sent();
    assert.equal((await visitor.cookie()).granted, granted);
    const focus = await visitor.focused();
    assert.equal(focus.action, "open");
    assert.ok(focus.ring);
  });
}

test("one category of two can be chosen in the settings", async (t) => {
  const visitor = await arrive(t);
  await visitor.button("Settings", visitor.layer).click();
  await visitor.toggle("Marketing").check();
  await visitor.button("Save", visitor.dialog).click();
  await visitor.dialog.waitFor({ state: "detached" });
  await visitor.sent();
  assert.equal((await visitor.cookie()).granted, "marketing");
  const subject = await visitor.subject();
  assert.equal((await demo.check(subject, "marketing")).allowed, true);
  assert.equal((await demo.check(subject, "statistics")).allowed, false);
});

test("leaving the settings by Escape keeps the first layer and records nothing", async (t) => {
  const visitor = await arrive(t);
  const known = (await demo.decisions()).length;
  await visitor.button("Settings", visitor.layer).click();
  await visitor.dialog.waitFor();
  await visitor.page.keyboard.press("Escape");
  await visitor.dialog.waitFor({ state: "detached" });
  assert.ok(await visitor.layer.isVisible());
  assert.equal((await demo.decisions()).length, known);
  assert.deepEqual(await visitor.cookies(), {});
});

const said = "Your browser asks us not to track you or pass on your data.";

describe("a signal that appears over an older grant", () => {
  let visitor;
  let known;
  let subject;
  before(async () => {
    visitor = await arrive();
    await press(visitor, "Accept all");
    subject = await visitor.subject();
    await eventually("the newsletter's cookie", async () => {
      await visitor.page.locator("#offer iframe").scrollIntoViewIfNeeded();
      return (await visitor.cookies()).demo_offer;
    });
    known = (await demo.decisions()).length;
    visitor.requests.length = 0;
    await visitor.sendGpc();
    await visitor.page.goto(`${demo.origin}/soil.html`);
    await visitor.settled();
  });
  after(() => visitor.context.close());

  test("denies marketing in the page at once, and keeps statistics", async () => {
    assert.deepEqual(await visitor.holds(), { status: "valid", statistics: true, marketing: false, functional: true });
    await sleep(500);
    assert.ok(!visitor.paths().includes("/offer.html"));
  });

  test("posts one record, which refuses marketing and grants nothing", async () => {
    await visitor.sent();
    const records = await eventually("the record", async () => {
      const found = (await demo.decisions()).slice(known);
      return found.length && found;
    });
    assert.deepEqual(
      records.map(({ method, layer, granted, denied, signals }) => ({ method, layer, granted, denied, gpc: signals.gpc })),
      [{ method: "signal", layer: "none", granted: [], denied: ["marketing"], gpc: true }],
    );
  });

  test("is what backends read, too", async () => {
    assert.equal((await demo.check(subject, "marketing")).allowed, false);
    assert.equal((await demo.check(subject, "statistics")).allowed, true);
  });

  test("takes marketing out of the cookie, and marketing's own cookie with it", async () => {
    const cookies = await visitor.cookies();
    assert.match(cookies.consent, /^1\.1\.\d{10}\.[\w-]{22}\.statistics\.$/);
    assert.equal(cookies.demo_offer, undefined);
  });

  test("does not ask again and does not record again on reload", async () => {
    await visitor.reload();
    await sleep(500);
    assert.equal(await visitor.layer.count(), 0);
    assert.equal((await demo.decisions()).length, known + 1);
  });

  test("is said in the settings", async () => {
    await visitor.reopen.click();
    await visitor.dialog.waitFor();
    assert.ok((await visitor.dialog.innerText()).includes(said));
    assert.equal(await visitor.toggle("Marketing").isChecked(), false);
    assert.equal(await visitor.toggle("Website statistics").isChecked(), true);
  });

  test("gives way to a person who switches marketing on after that was said", async () => {
    await visitor.toggle("Marketing").check();
    await visitor.button("Save", visitor.dialog).click();
    await visitor.dialog.waitFor({ state: "detached" });
    await visitor.sent();
    assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.[\w-]{22}\.marketing~statistics\.s$/);
    assert.equal((await visitor.holds()).marketing, true);
    assert.equal((await demo.check(subject, "marketing")).allowed, true);
    assert.equal((await demo.decisions()).at(-1).signals.said, true);
  });

  test("and that is kept on reload, without another record", async () => {
    const count = (await demo.decisions()).length;
    await visitor.reload();
    await sleep(300);
    assert.equal((await visitor.holds()).marketing, true);
    assert.equal((await demo.decisions()).length, count);
  });
});

test("the first layer says that the browser sends a signal", async (t) => {
  const visitor = await Visitor.arrive(t, demo, { gpc: true });
  await visitor.visit();
  assert.ok((await visitor.layer.innerText()).includes(said));
});

test("without a signal the first layer does not speak of one", async (t) => {
  const visitor = await arrive(t);
  assert.ok(!(await visitor.layer.innerText()).includes(said));
});

test("a signal alone records nothing and grants nothing", async (t) => {
  const known = (await demo.decisions()).length;
  const visitor = await Visitor.arrive(t, demo, { gpc: true });
  await visitor.visit();
  await sleep(300);
  assert.equal((await demo.decisions()).length, known);
  assert.deepEqual(await visitor.cookies(), {});
});

test("Accept all after the signal was said grants marketing too, with the flag s", async (t) => {
  const visitor = await Visitor.arrive(t, demo, { gpc: true });
  await visitor.visit();
  await press(visitor, "Accept all");
  assert.match((await visitor.cookie()).value, /\.marketing~statistics\.s$/);
  assert.equal((await visitor.holds()).marketing, true);
  await visitor.reload();
  assert.equal((await visitor.holds()).marketing, true);
});

test("DNT counts as a signal", async (t) => {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.context.setExtraHTTPHeaders({ DNT: "1" });
  await visitor.context.addInitScript(() => Object.defineProperty(Navigator.prototype, "doNotTrack", { get: () => "1" }));
  await visitor.visit();
  assert.ok((await visitor.layer.innerText()).includes(said));
  await press(visitor, "Accept all");
  assert.equal((await demo.decisions()).at(-1).signals.dnt, true);
});

test("a grant in a placeholder under a signal keeps the flag only where the placeholder said so", async (t) => {
  const visitor = await Visitor.arrive(t, demo, { gpc: true });
  await visitor.visit();
  await press(visitor, "Reject all");
  const block = visitor.page.locator("#offer");
  await block.scrollIntoViewIfNeeded();
  assert.ok((await block.innerText()).includes(said) || (await block.locator('[data-consent="placeholder"] .signal').innerText()).includes(said));
  await visitor.button("Switch “Marketing” on", block).click();
  await eventually("the grant", async () => (await visitor.cookie()).granted === "marketing");
  assert.equal((await visitor.cookie()).flags, "s");
});
