// Programs that answer for a person: autoconsent (DuckDuckGo's browsers), Consent-O-Matic, and a script of the page.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Demo, Visitor, close, eventually, sleep, subjectText } from "./harness.mjs";

const read = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
const engine = read("node_modules/@duckduckgo/autoconsent/dist/autoconsent.playwright.js");
const theirs = JSON.parse(read("node_modules/@duckduckgo/autoconsent/rules/rules.json")).autoconsent;
const ours = JSON.parse(read("../../consent-wasm/rules/autoconsent.json"));

const demos = { choice: await Demo.start({ preset: "choice" }), notice: await Demo.start({ preset: "notice" }) };
after(async () => {
  await close();
  await Promise.all(Object.values(demos).map((demo) => demo.stop()));
});

// Of the longest waits: autoconsent takes seconds of its own, and this machine may be busy.
const SLOW = 40000;
const LAYER = "!!document.querySelector('[data-consent=banner]')";
const optional = { choice: ["marketing", "statistics"], notice: ["statistics"] };

/**
 * autoconsent as a browser runs it: in every document, in a world of its own, before the page's scripts. It is spoken to by the
 * DevTools protocol and not by Playwright's bindings, whose answers give the page a user activation that no extension has.
 */
class Client {
  /** `late`: it hears its rules only when the layer is there. */
  static async join(visitor, { rules = [ours], late = false, ...config }) {
    const client = new Client();
    client.heard = [];
    const session = await visitor.context.newCDPSession(visitor.page);
    const evaluate = (expression, contextId) =>
      session.send("Runtime.evaluate", { expression, contextId, userGesture: false, returnByValue: true }).catch(() => ({ result: {} }));
    session.on("Runtime.bindingCalled", async ({ payload, executionContextId: world }) => {
      const message = JSON.parse(payload);
      client.heard.push(message);
      const answer = (message) => evaluate(`void autoconsentReceiveMessage(${JSON.stringify(message)})`, world);
      if (message.type === "init") {
        if (late) await eventually("the layer", async () => (await evaluate(LAYER)).result.value, SLOW);
        // Hiding before anything is known needs a style sheet, which the policy of the page allows to extensions only.
        await answer({ type: "initResp", rules: { autoconsent: rules }, config: { enablePrehide: false, ...config } });
      }
      if (message.type === "eval") {
        const { result } = await evaluate(message.code);
        await answer({ type: "evalResp", id: message.id, result: !!result.value });
      }
      if (message.type === "autoconsentDone") await answer({ type: "selfTest" });
    });
    await session.send("Page.enable");
    await session.send("Runtime.enable");
    await session.send("Runtime.addBinding", { name: "tellTest", executionContextName: "autoconsent" });
    const source = `window.autoconsentSendMessage = async (message) => tellTest(JSON.stringify(message)); ${engine}`;
    await session.send("Page.addScriptToEvaluateOnNewDocument", { source, worldName: "autoconsent" });
    return client;
  }

  of(type) {
    return this.heard.filter((message) => message.type === type);
  }

  /** The last thing it said of itself in the page, not in a frame of it. */
  get state() {
    return this.of("report").findLast(({ mainFrame }) => mainFrame)?.state;
  }

  said(type) {
    return eventually(type, () => this.of(type)[0], SLOW);
  }
}

/** A visitor whom nobody touches, Playwright neither: no user activation. */
async function arrive(t, demo, config, { address = "/", html, alter } = {}) {
  const visitor = await Visitor.arrive(t, demo);
  visitor.known = (await demo.decisions()).length;
  if (html) await visitor.serve(address, html);
  if (alter)
    await visitor.context.route("**/consent.js", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: alter(await response.text()) });
    });
  if (config) visitor.client = await Client.join(visitor, config);
  await visitor.page.goto(demo.origin + address);
  return visitor;
}

/** A first layer from which some of its buttons are missing. */
const without = (actions) => (script) =>
  script.replace(/\["button",\{[^}]*\},"[^"]*"\],?/g, (button) => (actions.test(button) ? "" : button));

const records = async (visitor) => (await visitor.demo.decisions()).slice(visitor.known);
const recorded = (visitor) => eventually("the record", async () => (await records(visitor)).length && records(visitor));
const said = ({ method, layer, control, granted, denied }) => ({ method, layer, control, granted, denied });
const activated = (visitor) => visitor.quietly("navigator.userActivation.hasBeenActive");
const asks = (visitor) => visitor.quietly(LAYER);

async function nothingRan(visitor) {
  await sleep(900);
  for (const gated of ["/statistics.js", "/later.js", "/visitors.html", "/offer.html"]) assert.ok(!visitor.paths().includes(gated), gated);
  assert.deepEqual(Object.keys(await visitor.cookies()).filter((name) => name !== "consent"), []);
}

async function nothingGranted(visitor) {
  assert.deepEqual(visitor.posts(), []);
  assert.deepEqual(await records(visitor), []);
  assert.deepEqual(await visitor.cookies(), {});
  assert.ok(await asks(visitor), "the first layer still asks");
  await nothingRan(visitor);
  assert.equal(await activated(visitor), false);
}

for (const [preset, method, control] of [
  ["choice", "reject-all", "reject"],
  ["notice", "close", "close"],
]) {
  const demo = demos[preset];

  describe(`autoconsent opts out of the preset ${preset} by our rule`, () => {
    let visitor;
    let client;
    before(async () => {
      visitor = await arrive(null, demo, { rules: [...theirs, ours], autoAction: "optOut" });
      ({ client } = visitor);
      await client.said("selfTestResult");
    });
    after(() => visitor.context.close());

    test("which alone of all rules finds the layer", () => {
      for (const type of ["cmpDetected", "popupFound"]) assert.deepEqual(client.of(type).map(({ cmp }) => cmp), ["consent-widget"], type);
      assert.deepEqual(client.of("autoconsentError"), []);
    });

    test("with one click, and its self-test passes", () => {
      assert.equal(client.of("optOutResult")[0].result, true);
      assert.equal(client.of("autoconsentDone")[0].totalClicks, 1);
      assert.equal(client.of("selfTestResult")[0].result, true);
    });

    test("the server has recorded the refusal", async () => {
      const found = await recorded(visitor);
      assert.deepEqual(found.map(said), [{ method, layer: "first", control, granted: [], denied: optional[preset] }]);
    });

    test("the cookie says the refusal", async () => {
      assert.match((await visitor.cookies()).consent, /^1\.1\.\d{10}\.-\.\.$/);
    });

    test("nothing optional ran, and no person's act was there", async () => {
      await nothingRan(visitor);
      assert.equal(await activated(visitor), false);
      assert.deepEqual(visitor.complaints(), []);
    });

    test("on the next page it finds the widget, and nothing to do", async () => {
      const known = client.heard.length;
      await visitor.page.goto(demo.origin + "/soil.html");
      await eventually("the widget", () => client.heard.slice(known).some(({ type }) => type === "cmpDetected"), SLOW);
      await sleep(1500);
      assert.equal(client.of("popupFound").length, 1);
      assert.equal((await records(visitor)).length, 1);
    });
  });

  test(`autoconsent opts out in the settings where the layer has nothing else, preset ${preset}`, async (t) => {
    const visitor = await arrive(t, demo, { autoAction: "optOut" }, { alter: without(/accept|reject|close/) });
    assert.equal((await visitor.client.said("selfTestResult")).result, true);
    assert.equal(visitor.client.of("optOutResult")[0].result, true);
    const found = await recorded(visitor);
    assert.deepEqual(found.map(said), [{ method: "save", layer: "settings", control: "save", granted: [], denied: optional[preset] }]);
    assert.match((await visitor.cookies()).consent, /^1\.1\.\d{10}\.-\.\.$/);
    assert.equal(await visitor.quietly("!!document.querySelector('[data-consent=settings]')"), false);
    await nothingRan(visitor);
  });

  test(`autoconsent cannot opt in, and says so, preset ${preset}`, async (t) => {
    const visitor = await arrive(t, demo, { autoAction: "optIn" });
    assert.deepEqual((({ cmp, result }) => ({ cmp, result }))(await visitor.client.said("optInResult")), { cmp: "consent-widget", result: false });
    assert.deepEqual(visitor.client.of("autoconsentDone"), []);
    await nothingGranted(visitor);
  });

  test(`autoconsent's failed opt-in by the settings leaves them to the person, preset ${preset}`, async (t) => {
    const visitor = await arrive(t, demo, { autoAction: "optIn" }, { alter: without(/accept/) });
    await visitor.client.said("optInResult");
    await nothingGranted(visitor);
    await visitor.button("Save", visitor.dialog).click();
    const found = await recorded(visitor);
    assert.deepEqual(found.map(said), [{ method: "save", layer: "settings", control: "save", granted: optional[preset], denied: [] }]);
  });
}

describe("autoconsent without a rule, by the words of the layer", () => {
  // It looks at every second try only, and tries again only when the page changes: on a slow machine a layer would slip through.
  const heuristic = { rules: theirs, late: true, autoAction: "optOut", enableHeuristicDetection: true, heuristicPopupSearchTimeout: 5000 };

  for (const lang of ["en", "de"]) {
    test(`presses Reject all of the preset choice, ${lang}`, async (t) => {
      const html = `<!doctype html><html lang="${lang}"><title>A page of the test</title><script async src="/v1/sites/demo/consent.js"></script>`;
      const visitor = await arrive(t, demos.choice, { ...heuristic, heuristicMode: "reject" }, { address: "/test-page.html", html });
      assert.equal((await visitor.client.said("selfTestResult")).result, true);
      assert.deepEqual(visitor.client.of("popupFound").map(({ cmp }) => cmp), ["HEURISTIC-REJECT"]);
      assert.equal(visitor.client.of("autoconsentDone")[0].totalClicks, 1);
      const found = await recorded(visitor);
      assert.deepEqual(found.map(said), [{ method: "reject-all", layer: "first", control: "reject", granted: [], denied: optional.choice }]);
      assert.equal(found[0].language, lang);
      assert.match((await visitor.cookies()).consent, /^1\.1\.\d{10}\.-\.\.$/);
    });
  }

  const left = async (visitor, patterns) => {
    await eventually("two tries", () => visitor.client.state?.findCmpAttempts >= 2, SLOW);
    await sleep(1500);
    assert.deepEqual(visitor.client.of("cmpDetected"), []);
    assert.equal(visitor.client.state.clicks, 0);
    assert.equal(visitor.client.state.heuristicPatterns.length, patterns);
    await nothingGranted(visitor);
  };

  test("leaves the preset notice alone, in its boldest mode too: the text has none of its words", async (t) => {
    await left(await arrive(t, demos.notice, { ...heuristic, heuristicMode: "tier2" }), 0);
  });

  const words = (script) => script.replace("Your choice is kept", "We use cookies. Your choice is kept");

  test("would leave the preset notice alone with its words in it: it knows Close, but not beside Settings", async (t) => {
    await left(await arrive(t, demos.notice, { ...heuristic, heuristicMode: "tier2" }, { alter: words }), 1);
  });

  test("would close the preset notice if that had its words and no Settings", async (t) => {
    const alter = (script) => words(without(/settings/)(script));
    const visitor = await arrive(t, demos.notice, { ...heuristic, heuristicMode: "tier1" }, { alter });
    assert.equal((await visitor.client.said("selfTestResult")).result, true);
    assert.deepEqual(visitor.client.of("popupFound").map(({ cmp }) => cmp), ["HEURISTIC-TIER1"]);
    const [record, ...more] = (await recorded(visitor)).map(said);
    assert.deepEqual(record, { method: "close", layer: "first", control: "close", granted: [], denied: ["statistics"] });
    assert.deepEqual(more, []);
  });
});

describe("each selector of the rules for Consent-O-Matic finds what it is meant for", () => {
  const rules = JSON.parse(read("../../consent-wasm/rules/consent-o-matic.json"));
  const written = (selection) => [selection.parent?.selector, selection.target.selector].filter(Boolean).join(" >> ");
  const collect = (node) =>
    node && typeof node === "object" ? [...(node.target ? [written(node)] : []), ...Object.values(node).flatMap(collect)] : [];
  const inFile = [...new Set(collect(rules))].filter((selection) => selection !== ":scope").sort();

  // As its Tools.find does: the target is looked for in the parent's shadow root, if it has one.
  const find = (visitor, selection) =>
    visitor.page.evaluate((path) => {
      const [target, parent] = path.reverse();
      const root = parent ? [...document.querySelectorAll(parent)].map((node) => node.shadowRoot ?? node) : [document];
      const name = ({ id, dataset, localName }) => id || dataset.consentAction || dataset.consent || localName;
      return root.flatMap((root) => [...root.querySelectorAll(target)]).map(name);
    }, selection.split(" >> "));

  const inSettings = (selector) => `[data-consent=settings] >> ${selector}`;
  const refuses = "[data-consent=banner] > :is([data-consent-action=reject], [data-consent-action=close])";
  const settings = "[data-consent=banner] > [data-consent-action=settings]";
  const mapped = {
    A: "input:enabled:is([value=functional], [value=preferences])",
    B: "input:enabled:is([value=statistics], [value=analytics])",
    E: "input:enabled:is([value=content], [value=media])",
    F: "input:enabled:is([value=marketing], [value=advertising])",
    X:
      "input:enabled:not([value=functional], [value=preferences], [value=statistics], [value=analytics], " +
      "[value=content], [value=media], [value=marketing], [value=advertising])",
  };
  const on = "input:enabled:is(:checked, :indeterminate)";
  const states = {
    choice: { "[data-consent=control]": ["control"], "[data-consent=banner]": ["banner"], [refuses]: ["reject"], [settings]: ["settings"] },
    notice: { "[data-consent=control]": ["control"], "[data-consent=banner]": ["banner"], [refuses]: ["close"], [settings]: ["settings"] },
    open: {
      [inSettings("dialog")]: ["dialog"],
      [inSettings("dialog[open]")]: ["dialog"],
      [inSettings("[data-consent-action=save]")]: ["save"],
      // Functional cookies are necessary here, and so nobody's to switch.
      [inSettings(mapped.A)]: [],
      [inSettings(mapped.B)]: ["switch-statistics"],
      [inSettings(mapped.E)]: [],
      [inSettings(mapped.F)]: ["switch-marketing"],
      [inSettings(mapped.X)]: [],
      [inSettings(on)]: [],
      [inSettings("input:indeterminate")]: [],
      [inSettings("input:checked:enabled")]: [],
    },
  };

  const check = async (visitor, state) => {
    for (const [selection, wanted] of Object.entries(state)) assert.deepEqual(await find(visitor, selection), wanted, selection);
  };

  test("there are no others", () => {
    const known = new Set(Object.values(states).flatMap(Object.keys));
    assert.deepEqual([...known].sort(), inFile);
  });

  for (const preset of ["choice", "notice"]) {
    test(`on the first layer of the preset ${preset}`, async (t) => {
      const visitor = await Visitor.arrive(t, demos[preset]);
      await visitor.visit();
      await check(visitor, states[preset]);
      // By this it knows that the layer shows.
      assert.ok(await visitor.layer.evaluate((node) => node.offsetHeight > 0));
    });
  }

  test("in the settings", async (t) => {
    const visitor = await Visitor.arrive(t, demos.choice);
    await visitor.visit();
    await visitor.button("Settings", visitor.layer).click();
    await visitor.dialog.waitFor();
    await check(visitor, states.open);
    // Categories that this site has not.
    for (const [id, type] of [["preferences", "A"], ["analytics", "B"], ["media", "E"], ["advertising", "F"], ["research", "X"]]) {
      await visitor.toggle("Marketing").evaluate((input, id) => (input.value = id), id);
      for (const [other, selector] of Object.entries(mapped)) {
        const found = (await find(visitor, inSettings(selector))).includes("switch-marketing");
        assert.equal(found, other === type, `${id} is ${type}: ${other}`);
      }
    }
  });

  test("in the settings of somebody who has granted one category and a service of another", async (t) => {
    const visitor = await Visitor.arrive(t, demos.choice);
    const value = `1.1.${Math.floor(Date.now() / 1000)}.${subjectText()}.marketing~statistics:page-counter.`;
    await visitor.context.addCookies([{ name: "consent", value, url: demos.choice.origin }]);
    await visitor.visit();
    assert.deepEqual(await find(visitor, "[data-consent=control]"), ["control"]);
    assert.deepEqual(await find(visitor, "[data-consent=banner]"), []);
    await visitor.reopen.click();
    await visitor.dialog.waitFor();
    await check(visitor, {
      [inSettings(on)]: ["switch-statistics", "switch-marketing"],
      [inSettings("input:indeterminate")]: ["switch-statistics"],
      [inSettings("input:checked:enabled")]: ["switch-marketing"],
    });
    // What both rules press one after the other to refuse: it leaves nothing on.
    for (const selector of ["input:indeterminate", "input:checked:enabled"])
      for (const id of await find(visitor, inSettings(selector))) await visitor.dialog.locator(`#${id}`).evaluate((input) => input.click());
    await check(visitor, { [inSettings(on)]: [], [inSettings("input:indeterminate")]: [] });
  });
});

test("a refusal by an agent's call of the page's API is recorded as a script's, on no layer", async (t) => {
  const visitor = await arrive(t, demos.choice);
  await eventually("the widget", () => visitor.quietly("window.consent?.ready?.then(() => true)"));
  await visitor.quietly("consent.rejectAll()");
  const [record] = await recorded(visitor);
  assert.deepEqual(said(record), { method: "reject-all", layer: "none", control: "script", granted: [], denied: ["marketing", "statistics"] });
  assert.equal(await activated(visitor), false);
  assert.match((await visitor.cookies()).consent, /^1\.1\.\d{10}\.-\.\.$/);
});
