// The cookie as a browser may hold it: valid, old, foreign, damaged, doubled. The few bytes of the loader that judge it without
// the core must never say more than the core would.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Demo, Visitor, close, eventually, sleep, subjectText } from "./harness.mjs";

const demo = await Demo.start({ preset: "choice" });
after(async () => {
  await close();
  await demo.stop();
});

const html = '<!doctype html><html lang="en"><title>A page of the test</title><script src="/v1/sites/demo/consent.js"></script><body><p>Page</p></body></html>';
const now = () => Math.floor(Date.now() / 1000);
const day = 86400;

async function arrive(t, cookies, options) {
  const visitor = await Visitor.arrive(t, demo, options);
  await visitor.serve("/t/test-cookie.html", html);
  await visitor.serve("/test-cookie.html", html);
  if (cookies) await put(visitor, cookies);
  return visitor;
}

/** [value, path] pairs. */
async function put(visitor, cookies) {
  await visitor.context.clearCookies();
  await visitor.context.addCookies(
    cookies.map(([value, path = "/"]) => ({ name: "consent", value, domain: "127.0.0.1", path, expires: now() + day })),
  );
}

/** What a page load says, and, where the loader has judged by itself, what the core then says in the settings. */
async function both(visitor) {
  visitor.requests.length = 0;
  await visitor.visit("/t/test-cookie.html");
  const ids = ["statistics", "statistics:page-counter", "statistics:visitor-numbers", "marketing", "marketing:newsletter-panel"];
  const granted = () => visitor.page.evaluate((ids) => ids.filter((id) => consent.granted(id)), ids);
  const page = { granted: await granted(), status: await visitor.page.evaluate(() => consent.status()) };
  const fast = !visitor.paths().some((path) => path.startsWith("/assets/"));
  // Where the core has judged already, what the page says is the core's answer.
  if (!fast) return { ...page, fast };
  await visitor.page.evaluate(() => consent.open());
  const switches = await visitor.page.evaluate(() => {
    const shadow = document.querySelector("[data-consent=settings]").shadowRoot;
    return ["statistics", "marketing"].map((id) => {
      const { checked, indeterminate } = shadow.getElementById("switch-" + id);
      return checked ? "on" : indeterminate ? "some" : "off";
    });
  });
  return { ...page, fast, switches };
}

/** The design's grammar, once more and apart from the product: the ids that hold, or undefined for "as if absent". */
function oracle(values) {
  const distinct = [...new Set(values)];
  if (distinct.length !== 1) return undefined;
  const [value] = distinct;
  const fields = value.split(".");
  if (value.length > 1024 || fields.length !== 6) return undefined;
  const [version, notice, at, subject, list, flags] = fields;
  const number = /^(0|[1-9]\d*)$/;
  if (version !== "1" || !number.test(notice) || !number.test(at) || !/^s?$/.test(flags)) return undefined;
  if (subject !== "-") {
    if (!/^[\w-]{22}$/.test(subject)) return undefined;
    const bytes = Buffer.from(subject, "base64url");
    if (bytes.toString("base64url") !== subject || ![4, 7].includes(bytes[6] >> 4) || bytes[8] >> 6 !== 2) return undefined;
  }
  const ids = list === "" ? [] : list.split("~");
  if (new Set(ids).size !== ids.length || !ids.every((id) => /^[a-z][a-z0-9-]{0,31}(:[a-z][a-z0-9-]{0,31})?$/.test(id))) return undefined;
  // Version 1 is in force; 180 days; five minutes of another clock.
  if (Number(notice) !== 1) return undefined;
  const age = now() - Number(at);
  if (age >= 180 * day || age < -290) return undefined;
  return ids;
}

const services = { statistics: ["page-counter", "visitor-numbers"], marketing: ["newsletter-panel"] };
const expand = (ids = []) =>
  Object.entries(services)
    .flatMap(([category, names]) => [category, ...names.map((name) => `${category}:${name}`)])
    .filter((id) => ids.includes(id) || ids.includes(id.split(":")[0]));

// The same cookies in every run.
let seed = 20261124;
const random = (count) => {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return Math.floor((seed / 2 ** 32) * count);
};
const pick = (list) => list[random(list.length)];

function cookieValue() {
  const ids = ["statistics", "marketing", "statistics:page-counter", "statistics:visitor-numbers", "marketing:newsletter-panel"];
  const fields = [
    1,
    1,
    now() - random(179 * day),
    subjectText(),
    ids.filter(() => random(3) === 0).join("~"),
    pick(["", "", "s"]),
  ];
  // One field is odd in half of them, two in a few.
  const odd = [
    [2, 0, "", "01"],
    [0, 2, 3, "", "01", "1x", 4294967296],
    [now() - 181 * day, now() - 400 * day, now() + 60, now() + 3600, now() + 400 * day, 0, "-1", "1e9", "01795000000", "", "99999999999999999999"],
    [
      "-",
      "",
      subjectText().slice(1),
      subjectText("00000000-0000-0000-0000-000000000000"),
      subjectText("0193a5b0-7f3c-7abc-8def-0123456789ab"),
      subjectText("0193a5b0-7f3c-1abc-8def-0123456789ab"),
      subjectText("0193a5b0-7f3c-4abc-0def-0123456789ab"),
      subjectText().slice(0, 21) + "B",
      subjectText() + "A",
    ],
    ["functional", "unknown", "unknown~statistics", "statistics:unknown", "functional:text-size~statistics", "Statistics", "statistics:", ":", "~statistics", "statistics~", "statistics~statistics", "statistics~statistics:page-counter", "statistics:page-counter:x", "constructor", "marketing~statistics~a".padEnd(60, "a")],
    ["ss", "S", "x", "s~"],
  ];
  for (let changes = pick([0, 0, 0, 1, 1, 2]); changes > 0; changes--) {
    const field = random(6);
    fields[field] = pick(odd[field]);
  }
  const value = fields.join(".");
  if (random(10)) return value;
  return pick([value + ".", value.slice(0, -1), value.replace("1.", ""), value.slice(0, random(value.length) + 1), "garbage", "%31" + value.slice(1), `"${value}"`, value.replace("~", ","), value + "x".repeat(1100), "1.1", "......"]);
}

for (const gpc of [false, true]) {
  test(`for ${gpc ? 60 : 140} random cookies a page load grants what the core and the design's grammar grant${gpc ? ", under a signal" : ""}`, async (t) => {
    const visitor = await arrive(t, undefined, { gpc });
    // Decisions that a signal brings about are not sent: this is about reading.
    await visitor.context.route("**/decisions", (route) => route.abort());
    await visitor.visit("/t/test-cookie.html");
    let fast = 0;
    for (let i = 0; i < (gpc ? 60 : 140); i++) {
      await visitor.page.evaluate(() => localStorage.clear());
      const first = cookieValue();
      const cookies = random(8) ? [[first]] : [[first], [random(2) ? first : cookieValue(), "/t"]];
      await put(visitor, cookies);
      const story = `cookie ${i}: ${JSON.stringify(cookies)}`;
      const said = await both(visitor);
      fast += said.fast;
      const flag = first.endsWith(".s");
      const ids = oracle(cookies.map(([value]) => value));
      const want = expand(ids).filter((id) => !gpc || flag || !id.startsWith("marketing"));
      assert.deepEqual(said.granted, want, `${story} ${JSON.stringify(said)}`);
      assert.equal(said.status === "valid", ids !== undefined, `${story} ${JSON.stringify(said)}`);
      const switches = ["statistics", "marketing"].map((id) => (want.includes(id) ? "on" : want.some((held) => held.startsWith(id + ":")) ? "some" : "off"));
      if (said.fast) assert.deepEqual(said.switches, switches, `${story} ${JSON.stringify(said)}`);
      assert.deepEqual(visitor.console.filter((line) => /^(error|pageerror)/.test(line) && !line.includes("ERR_FAILED")), [], story);
    }
    assert.ok(fast > (gpc ? 15 : 40), `the loader itself judged only ${fast}`);
  });
}

describe("a cookie that cannot be read", () => {
  const long = `1.1.${now()}.-.${Array.from({ length: 60 }, (_, i) => `statistics-number-${i}`).join("~")}.`;
  for (const [name, value] of [
    ["empty", ""],
    ["words", "yes"],
    ["too few fields", `1.1.${now()}.-.`],
    ["too many fields", `1.1.${now()}.-...`],
    ["another format", `2.1.${now()}.-..`],
    ["a bad subject", `1.1.${now()}.abc.statistics.`],
    ["a bad id", `1.1.${now()}.${subjectText()}.<b>.`],
    ["a broken escape", "%E0%A4%A"],
    ["more than 1024 bytes", long],
    ["JSON", '{"statistics":true}'],
  ]) {
    test(`(${name}) is no consent, no error, and is cleaned; the banner asks`, async (t) => {
      const visitor = await arrive(t, [[value]]);
      await visitor.visit("/");
      await sleep(200);
      assert.equal((await visitor.holds()).statistics, false);
      assert.ok(await visitor.layer.isVisible());
      assert.deepEqual(visitor.complaints(), []);
      assert.equal((await visitor.cookies()).consent, undefined, "cleaned");
      assert.deepEqual(visitor.posts(), []);
      await refuse(visitor);
      await visitor.reload();
      assert.equal(await visitor.layer.count(), 0, "asked once");
    });
  }
});

const refuse = async (visitor) => {
  await visitor.button("Reject all", visitor.layer).click();
  await eventually("the cookie", () => visitor.cookie());
  await visitor.sent();
};

describe("two cookies of one name", () => {
  const yes = `1.1.${now()}.${subjectText()}.statistics.`;
  const no = `1.1.${now()}.-..`;
  const other = `1.1.${now() - 100}.${subjectText()}.statistics.`;

  for (const [name, pair] of [
    ["yes and no", [[yes], [no, "/t"]]],
    ["no and yes", [[no], [yes, "/t"]]],
    ["yes and another yes", [[yes], [other, "/t"]]],
    ["yes and damage", [[yes], ["x", "/t"]]],
    ["yes and a third path", [[yes], [no, "/t/test-cookie.html"]]],
  ]) {
    test(`that differ (${name}) read as denied, are both deleted, and the banner asks once`, async (t) => {
      const visitor = await arrive(t, pair);
      await visitor.visit("/t/test-cookie.html");
      await sleep(200);
      assert.equal((await visitor.holds()).statistics, false);
      assert.ok(await visitor.layer.isVisible());
      assert.deepEqual(await visitor.context.cookies(), []);
      assert.deepEqual(visitor.complaints(), []);
      await refuse(visitor);
      await visitor.reload();
      assert.equal(await visitor.layer.count(), 0, "asked once");
      assert.equal((await visitor.context.cookies()).length, 1);
    });
  }

  // Each has a subject of its own: what one test forgets must not matter to the next.
  const equal = () => {
    const value = `1.1.${now()}.${subjectText()}.statistics.`;
    return [[value], [value, "/t"]];
  };

  test("that are equal are one", async (t) => {
    const visitor = await arrive(t, equal());
    await visitor.visit("/t/test-cookie.html");
    assert.equal((await visitor.holds()).statistics, true);
    assert.equal(await visitor.layer.count(), 0);
  });

  test("that are equal are both gone after Forget my settings", async (t) => {
    const visitor = await arrive(t, equal());
    await visitor.visit("/t/test-cookie.html");
    await visitor.reopen.click();
    await visitor.button("Forget my settings", visitor.dialog).click();
    await visitor.dialog.getByText("Deleted!").waitFor();
    await visitor.sent();
    assert.deepEqual(await visitor.context.cookies(), []);
  });

  test("are one again after a new choice", async (t) => {
    const visitor = await arrive(t, equal());
    await visitor.visit("/t/test-cookie.html");
    await visitor.refuseStatistics();
    const cookies = await visitor.context.cookies();
    assert.deepEqual(cookies.map(({ path }) => path), ["/"]);
    await visitor.reload();
    assert.equal((await visitor.holds()).statistics, false);
  });
});

describe("validity", () => {
  for (const [name, age, valid] of [
    ["of 179 days", 179 * day, true],
    ["of 180 days", 180 * day + 5, false],
    ["dated a minute ahead", -60, true],
    ["dated a day ahead", -day, false],
  ]) {
    test(`a yes ${name} is ${valid ? "valid" : "asked again"}`, async (t) => {
      const visitor = await arrive(t, [[`1.1.${now() - age}.${subjectText()}.statistics.`]]);
      await visitor.visit("/test-cookie.html");
      assert.equal((await visitor.holds()).statistics, valid);
      assert.equal(await visitor.layer.isVisible(), !valid);
      assert.deepEqual(visitor.complaints(), []);
    });
  }

  test("a no of 181 days is asked again, as a yes is", async (t) => {
    const visitor = await arrive(t, [[`1.1.${now() - 181 * day}.-..`]]);
    await visitor.visit("/test-cookie.html");
    assert.equal((await visitor.holds()).status, "expired");
    assert.ok(await visitor.layer.isVisible());
  });

  test("an answer to a notice that is not out yet reads as denied", async (t) => {
    const visitor = await arrive(t, [[`1.7.${now()}.${subjectText()}.statistics.`]]);
    await visitor.visit("/test-cookie.html");
    assert.equal((await visitor.holds()).statistics, false);
    assert.ok(await visitor.layer.isVisible());
    assert.deepEqual(visitor.complaints(), []);
  });
});

test("a cookie of a stranger's name beside ours changes nothing", async (t) => {
  const visitor = await arrive(t);
  await visitor.context.addCookies([
    { name: "xconsent", value: `1.1.${now()}.${subjectText()}.statistics.`, url: demo.origin },
    { name: "consent2", value: `1.1.${now()}.${subjectText()}.statistics.`, url: demo.origin },
  ]);
  await visitor.visit("/test-cookie.html");
  assert.equal((await visitor.holds()).statistics, false);
  assert.ok(await visitor.layer.isVisible());
  await refuse(visitor);
  assert.deepEqual(Object.keys(await visitor.cookies()).sort(), ["consent", "consent2", "xconsent"]);
});
