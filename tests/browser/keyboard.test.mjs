// The same main path by keyboard alone: Tab, Shift+Tab, Space, Enter and Escape. Each stop shows where the focus is.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Demo, Visitor, close, eventually, sleep } from "./harness.mjs";

const demo = await Demo.start();
after(async () => {
  await close();
  await demo.stop();
});

const action = (name) => (focus) => focus.action === name;
const onSwitch = (focus) => focus.id === "switch-statistics";
const text = (words) => (focus) => focus.text === words;

async function openSettings(visitor, key = "Enter") {
  await visitor.tabTo((await visitor.layer.isVisible()) ? action("settings") : action("open"), { most: 60 });
  await visitor.page.keyboard.press(key);
  await visitor.dialog.waitFor();
}

async function grant(visitor) {
  await openSettings(visitor);
  await visitor.tabTo(onSwitch);
  await visitor.page.keyboard.press("Space");
  await visitor.tabTo(action("save"));
  await visitor.page.keyboard.press("Enter");
  await visitor.dialog.waitFor({ state: "detached" });
  await visitor.sent();
}

async function arrive(t) {
  const visitor = await Visitor.arrive(t, demo);
  await visitor.visit();
  return visitor;
}

for (const key of ["Enter", "Space"]) {
  describe(`Close by ${key}`, () => {
    let visitor;
    let known;
    before(async () => {
      visitor = await arrive();
      known = (await demo.decisions()).length;
      await visitor.tabTo(action("close"), { most: 3 });
      await visitor.page.keyboard.press(key);
      await visitor.layer.waitFor({ state: "detached" });
      await eventually("the cookie", () => visitor.cookie());
      await visitor.sent();
    });
    after(() => visitor.context.close());

    test("refuses, once, and names nobody", async () => {
      assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.-\.\.$/);
      assert.deepEqual((await visitor.kept()).local, {});
      assert.deepEqual((await demo.decisions()).slice(known).map(({ method, granted }) => [method, granted]), [["close", []]]);
    });

    test("leaves the focus on the control that undoes the choice, and shows it", async () => {
      const focus = await visitor.focused();
      assert.equal(focus.action, "open");
      assert.ok(focus.ring);
      assert.ok(focus.seen);
    });

    test("is not asked again on reload", async () => {
      await visitor.reload();
      assert.equal(await visitor.layer.count(), 0);
    });
  });
}

test("Tab goes through the settings in the order in which they are read", async (t) => {
  const visitor = await arrive(t);
  await openSettings(visitor);
  assert.equal((await visitor.focused()).id, "settings", "a screen reader begins at the heading");
  const stops = [];
  for (let i = 0; i < 8; i++) {
    await visitor.page.keyboard.press("Tab");
    const focus = await visitor.focused();
    stops.push(focus.id || focus.action || focus.text);
    if (focus.tag !== "body") {
      assert.ok(focus.ring, `the focus is visible on ${stops.at(-1)}`);
      assert.ok(focus.seen, `${stops.at(-1)} is in the window`);
    }
  }
  // A part that scrolls is a stop of its own in Chromium, so that the arrows can scroll it.
  const controls = stops.filter((stop) => stop && !/^Example Gardens/.test(stop));
  assert.deepEqual(controls.slice(0, 7), ["details", "switch-statistics", "details", "Privacy policy", "forget", "close", "save"]);
});

test("Shift+Tab goes back", async (t) => {
  const visitor = await arrive(t);
  await openSettings(visitor);
  await visitor.tabTo(action("save"));
  await visitor.tabTo(action("close"), { back: true, most: 1 });
  await visitor.tabTo(action("forget"), { back: true, most: 1 });
  await visitor.tabTo(text("Privacy policy"), { back: true, most: 1 });
});

test("while the dialog is open, Tab does not reach the page beneath", async (t) => {
  const visitor = await arrive(t);
  await openSettings(visitor);
  for (let i = 0; i < 25; i++) {
    await visitor.page.keyboard.press("Tab");
    const inside = await visitor.page.evaluate(() => document.activeElement === document.body || document.activeElement.dataset.consent === "settings");
    assert.ok(inside);
  }
});

for (const key of ["Enter", "Space"]) {
  test(`View details opens and closes with ${key}, and keeps the focus`, async (t) => {
    const visitor = await arrive(t);
    await openSettings(visitor);
    const category = visitor.dialog.getByRole("region", { name: "Website statistics" });
    await visitor.tabTo(onSwitch);
    await visitor.tabTo(text("View details"), { most: 1 });
    await visitor.page.keyboard.press(key);
    assert.ok((await category.innerText()).includes("demo_visits"));
    assert.equal((await visitor.focused()).text, "Hide details");
    await visitor.page.keyboard.press(key);
    assert.ok(!(await category.innerText()).includes("demo_visits"));
  });
}

for (const [how, leave] of [
  ["Escape", (visitor) => visitor.page.keyboard.press("Escape")],
  [
    "Cancel",
    async (visitor) => {
      await visitor.tabTo(action("close"));
      await visitor.page.keyboard.press("Enter");
    },
  ],
]) {
  test(`leaving the settings by ${how} changes nothing, records nothing, and gives the focus back to Settings`, async (t) => {
    const visitor = await arrive(t);
    const known = (await demo.decisions()).length;
    await openSettings(visitor);
    await visitor.tabTo(onSwitch);
    await visitor.page.keyboard.press("Space");
    assert.ok(await visitor.toggle().isChecked());
    await leave(visitor);
    await visitor.dialog.waitFor({ state: "detached" });
    const focus = await visitor.focused();
    assert.equal(focus.action, "settings");
    assert.ok(focus.ring);
    await sleep(200);
    assert.deepEqual(await visitor.cookies(), {});
    assert.deepEqual((await visitor.kept()).local, {});
    assert.equal((await demo.decisions()).length, known);
    assert.ok(await visitor.layer.isVisible());
  });

  test(`leaving the reopened settings by ${how} gives the focus back to Privacy settings`, async (t) => {
    const visitor = await arrive(t);
    await visitor.shut();
    await openSettings(visitor);
    await leave(visitor);
    await visitor.dialog.waitFor({ state: "detached" });
    const focus = await visitor.focused();
    assert.equal(focus.action, "open");
    assert.ok(focus.ring);
    assert.equal(visitor.posts().length, 1);
  });
}

describe("statistics switched on and saved", () => {
  let visitor;
  let subject;
  before(async () => {
    visitor = await arrive();
    await grant(visitor);
    subject = await visitor.subject();
  });
  after(() => visitor.context.close());

  test("runs the gated scripts at once", async () => {
    await visitor.page.waitForFunction(() => document.cookie.includes("demo_visits=1"));
  });

  test("is granted in the cookie and for the backend", async () => {
    assert.match((await visitor.cookie()).value, /^1\.1\.\d{10}\.[\w-]{22}\.statistics\.$/);
    assert.equal((await demo.check(subject)).allowed, true);
  });

  test("leaves the focus on Privacy settings, since the first layer is gone", async () => {
    const focus = await visitor.focused();
    assert.equal(focus.action, "open");
    assert.ok(focus.ring);
  });

  test("holds on reload, without banner and core", async () => {
    visitor.requests.length = 0;
    await visitor.reload();
    await visitor.page.waitForFunction(() => document.cookie.includes("demo_visits=2"));
    assert.equal(await visitor.layer.count(), 0);
    assert.deepEqual(visitor.paths().filter((path) => path.startsWith("/assets/")), []);
  });

  test("can be switched off with as many presses", async () => {
    await openSettings(visitor, "Space");
    await visitor.tabTo(onSwitch);
    await visitor.page.keyboard.press("Space");
    await visitor.tabTo(action("save"));
    await visitor.page.keyboard.press("Space");
    await visitor.dialog.waitFor({ state: "detached" });
    await visitor.sent();
    assert.equal((await visitor.holds()).statistics, false);
    assert.equal((await demo.check(subject)).allowed, false);
    assert.deepEqual(Object.keys(await visitor.cookies()), ["consent"]);
  });
});

describe("Forget my settings", () => {
  let visitor;
  let subject;
  before(async () => {
    visitor = await arrive();
    await grant(visitor);
    subject = await visitor.subject();
    await visitor.page.waitForFunction(() => document.cookie.includes("demo_visits="));
    await openSettings(visitor);
    await visitor.tabTo(action("forget"));
    await visitor.page.keyboard.press("Enter");
    await visitor.dialog.getByText("Deleted!").waitFor();
    await visitor.sent();
  });
  after(() => visitor.context.close());

  test("deletes the cookies and the storage", async () => {
    assert.deepEqual(await visitor.cookies(), {});
    assert.deepEqual((await visitor.kept()).local, {});
  });

  test("is forgotten by the backend", async () => {
    const { status, allowed } = await demo.check(subject);
    assert.deepEqual({ status, allowed }, { status: "forgotten", allowed: false });
  });

  test("keeps the focus on the button that was pressed", async () => {
    assert.equal((await visitor.focused()).action, "forget");
  });

  test("gives the focus back to Privacy settings when the dialog is closed", async () => {
    await visitor.page.keyboard.press("Escape");
    await visitor.dialog.waitFor({ state: "detached" });
    const focus = await visitor.focused();
    assert.equal(focus.action, "open");
    assert.ok(focus.ring);
  });

  test("is asked again on reload, runs nothing, and a new choice gets a new subject", async () => {
    visitor.requests.length = 0;
    await visitor.reload();
    await sleep(800);
    assert.ok(await visitor.layer.isVisible());
    assert.ok(!visitor.paths().includes("/statistics.js"));
    await grant(visitor);
    assert.notEqual(await visitor.subject(), subject);
  });
});

test("the site's own link opens the settings by keyboard and gets the focus back", async (t) => {
  const visitor = await arrive(t);
  await visitor.shut();
  await visitor.tabTo(text("Cookie settings"), { most: 60 });
  await visitor.page.keyboard.press("Enter");
  await visitor.dialog.waitFor();
  await visitor.page.keyboard.press("Escape");
  await visitor.dialog.waitFor({ state: "detached" });
  const focus = await visitor.focused();
  assert.equal(focus.text, "Cookie settings");
  assert.ok(focus.ring);
});

test("a placeholder's content can be switched on from the keyboard, and the focus is not lost", async (t) => {
  const visitor = await arrive(t);
  await visitor.shut();
  await visitor.tabTo(text("Show once"), { most: 60 });
  await visitor.page.keyboard.press("Enter");
  await visitor.page.waitForFunction(() => document.querySelector("iframe.embed").hasAttribute("src"));
  const focus = await visitor.focused();
  assert.notEqual(focus.tag, "body", "the focus is where the content came");
});
