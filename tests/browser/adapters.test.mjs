// What tag platforms are told: by consent.js of sites whose notice names them, on pages of the tests' own.
//
// No platform is asked anything: their tags and scripts are stood in for by a few lines each, which do with their queues what the
// published tags do.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Visitor, close, eventually, sleep } from "./harness.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const binary = process.env.CONSENT_BINARY || path.join(here, "../../target/debug/consent");
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CONSENT_")));

const all = `
[[adapter]]
id = "google-consent-mode"
[adapter.map]
ad_storage = "marketing"
ad_user_data = "marketing"
ad_personalization = "marketing"
analytics_storage = "statistics"
security_storage = "functional"

[[adapter]]
id = "microsoft-uet"
map = { ad_storage = "marketing" }

[[adapter]]
id = "microsoft-clarity"
map = { ad_Storage = "marketing", analytics_Storage = "statistics" }

[[adapter]]
id = "meta-pixel"
map = { pixel = "marketing" }

[[adapter]]
id = "tiktok-pixel"
map = { pixel = "marketing" }

[[adapter]]
id = "wordpress"
map = { functional = "functional", statistics-anonymous = "statistics", statistics = "statistics", marketing = "marketing" }

[[adapter]]
id = "shopify"
map = { analytics = "statistics", marketing = "marketing" }
`;

const google = (options) => `
[[adapter]]
id = "google-consent-mode"
map = { ad_storage = "marketing:newsletter-panel", analytics_storage = "statistics" }
options = { ${options} }
`;

const sites = {
  plain: "",
  all,
  options: google('wait_for_update = 500, regions = ["IE", "US-CA"], ads_data_redaction = true, url_passthrough = true, advanced = true'),
  regions: google('regions = ["IE"], elsewhere = "unset"'),
};

/** `consent serve` with these sites. */
async function serve() {
  const data = mkdtempSync(path.join(tmpdir(), "consent-adapters-"));
  const free = createServer().listen(0, "127.0.0.1");
  await once(free, "listening");
  const { port } = free.address();
  free.close();
  const origin = `http://127.0.0.1:${port}`;
  const consent = (...args) => execFileSync(binary, [...args, "--data", data], { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  const draft = readFileSync(path.join(here, "../../consent-server/notices/demo-choice.toml"), "utf8");
  for (const [site, adapters] of Object.entries(sites)) {
    const file = path.join(data, `${site}.toml`);
    writeFileSync(file, draft + adapters);
    consent("site", "create", site, "--log-origin", `${site}.example/consent`, "--origin", origin);
    consent("notice", "publish", file, "--site", site);
  }
  const child = spawn(binary, ["serve", "--listen", `127.0.0.1:${port}`, "--data", data], { env: environment, stdio: "ignore" });
  process.once("exit", () => child.kill("SIGKILL"));
  await eventually("the server answers", async () => (await fetch(`${origin}/v1/sites/plain/consent.js`)).ok);
  return {
    origin,
    stop: async () => {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await Promise.race([exited, sleep(5000)]);
      child.kill("SIGKILL");
      rmSync(data, { recursive: true, force: true });
    },
  };
}

const service = await serve();
after(async () => {
  await close();
  await service.stop();
});

const typed =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' 'nonce-x'; style-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'";
// Tags of platforms load their scripts by script, which a page under Trusted Types has to allow by a policy of its own.
const untyped = typed.replace(/require-trusted-types-for.*/, "");

const inline = (code, attributes = "") => (code ? `<script nonce="x" ${attributes}>${code}</script>` : "");
const gated = (code, category = "marketing") => inline(code, `type="text/plain" data-category="${category}"`);

/**
 * A page whose head is: the script `before`, consent.js in the form that blocks, and the HTML `then`. `files` maps /t/ paths to
 * scripts.
 */
async function arrive(t, { site = "all", before, then = "", form = "", files = {}, csp = untyped, ...options } = {}) {
  const visitor = await Visitor.arrive(t, service, options);
  await visitor.context.route("**/t/**", (route) => {
    const file = files[new URL(route.request().url()).pathname];
    return file === undefined ? route.abort() : route.fulfill({ body: file, contentType: "text/javascript" });
  });
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page of the test</title>${inline(before)}
<script ${form} src="/v1/sites/${site}/consent.js"></script>${then}</head><body><main><h1>A page</h1></main></body></html>`;
  await visitor.serve("/test-page.html", html, { csp });
  await visitor.visit("/test-page.html");
  return visitor;
}

// By mouse.
const accept = async (visitor) => {
  await visitor.button("Accept all", visitor.layer).click();
  await eventually("it holds", async () => (await visitor.holds()).marketing);
};
const reject = async (visitor) => {
  await visitor.button("Reject all", visitor.layer).click();
  await eventually("it is kept", () => visitor.cookie());
};
const save = async (visitor, toggles) => {
  await (await visitor.layer.isVisible() ? visitor.button("Settings", visitor.layer) : visitor.reopen).click();
  for (const [name, on] of Object.entries(toggles)) await visitor.toggle(name).setChecked(on);
  await visitor.button("Save", visitor.dialog).click();
  await visitor.dialog.waitFor({ state: "detached" });
};
const acceptAgain = (visitor) => save(visitor, { "Website statistics": true, Marketing: true });
const refuse = (visitor) => save(visitor, { "Website statistics": false, Marketing: false });
const forget = (visitor) => visitor.page.evaluate(() => consent.forget().then(() => {}));

/** No complaint, and the page has asked nobody but the service and the test. */
async function clean(visitor) {
  assert.deepEqual(await visitor.violations(), []);
  assert.deepEqual(visitor.complaints(), []);
  for (const request of visitor.requests) assert.ok(request.url().startsWith(service.origin), request.url());
}

describe("Google Consent Mode", () => {
  /** The queue; an entry that is not `arguments` says so. */
  const layer = (visitor) =>
    visitor.page.evaluate(() =>
      dataLayer.map((entry) => (Object.prototype.toString.call(entry) === "[object Arguments]" ? [...entry] : { not: entry })),
    );
  const types = (...granted) =>
    Object.fromEntries(
      [
        "ad_storage",
        "ad_user_data",
        "ad_personalization",
        "analytics_storage",
        "functionality_storage",
        "personalization_storage",
        "security_storage",
      ].map((type) => [type, granted.includes(type) ? "granted" : "denied"]),
    );
  const advertising = ["ad_storage", "ad_user_data", "ad_personalization"];
  const nothing = types("security_storage");
  const everything = types("security_storage", "analytics_storage", ...advertising);
  const tag = "window.dataLayer = window.dataLayer || []; function gtag() { dataLayer.push(arguments); } gtag('config', 'G-1');";
  const updates = async (visitor) => (await layer(visitor)).filter(([, command]) => command === "update").map(([, , state]) => state);

  test("hears that all is denied but what is necessary, before an inline tag that follows", async (t) => {
    const visitor = await arrive(t, { then: inline(tag), csp: typed });
    assert.deepEqual(await layer(visitor), [
      ["consent", "default", nothing],
      ["config", "G-1"],
    ]);
    await clean(visitor);
  });

  test("hears it behind what is there already, where the page has a queue", async (t) => {
    const visitor = await arrive(t, { before: tag });
    assert.deepEqual((await layer(visitor)).map(([command]) => command), ["config", "consent"]);
  });

  test("hears it from consent.js in the async form too", async (t) => {
    const visitor = await arrive(t, { form: "async" });
    assert.deepEqual(await layer(visitor), [["consent", "default", nothing]]);
  });

  test("hears it once where the page names consent.js twice", async (t) => {
    const visitor = await arrive(t, { then: '<script src="/v1/sites/all/consent.js"></script>' });
    assert.equal((await layer(visitor)).length, 1);
  });

  test("hears of Accept all", async (t) => {
    const visitor = await arrive(t);
    await accept(visitor);
    await visitor.sent();
    assert.deepEqual(await updates(visitor), [everything]);
  });

  test("hears of Reject all", async (t) => {
    const visitor = await arrive(t);
    await reject(visitor);
    await visitor.sent();
    assert.deepEqual(await updates(visitor), [nothing]);
  });

  test("hears of what was saved, and of its withdrawal", async (t) => {
    const visitor = await arrive(t);
    await save(visitor, { "Website statistics": true });
    await refuse(visitor);
    assert.deepEqual(await updates(visitor), [types("security_storage", "analytics_storage"), nothing]);
  });

  test("hears that all is denied after Forget my settings", async (t) => {
    const visitor = await arrive(t);
    await accept(visitor);
    await forget(visitor);
    assert.deepEqual(await updates(visitor), [everything, nothing]);
  });

  test("hears a stored choice on the next page, before an inline tag that follows", async (t) => {
    const visitor = await arrive(t, { then: inline(tag) });
    await accept(visitor);
    await visitor.sent();
    await visitor.reload();
    assert.deepEqual(await layer(visitor), [
      ["consent", "default", nothing],
      ["consent", "update", everything],
      ["config", "G-1"],
    ]);
  });

  test("hears a stored refusal on the next page", async (t) => {
    const visitor = await arrive(t);
    await reject(visitor);
    await visitor.sent();
    await visitor.reload();
    assert.deepEqual(await updates(visitor), [nothing]);
  });

  test("hears nothing more after a choice was forgotten", async (t) => {
    const visitor = await arrive(t);
    await accept(visitor);
    await forget(visitor);
    await visitor.sent();
    await visitor.reload();
    assert.deepEqual(await layer(visitor), [["consent", "default", nothing]]);
  });

  test("is told before a gated tag is started", async (t) => {
    const visitor = await arrive(t, { then: gated(tag) });
    await accept(visitor);
    assert.deepEqual((await layer(visitor)).map(([, command]) => command), ["default", "update", "G-1"]);
  });

  test("hears that what is marked for signals is denied, once the browser sends GPC", async (t) => {
    const visitor = await arrive(t);
    await accept(visitor);
    await visitor.sent();
    await visitor.sendGpc();
    await visitor.reload();
    assert.deepEqual((await updates(visitor)).at(-1), types("security_storage", "analytics_storage"));
    assert.ok((await updates(visitor)).every((state) => state.ad_storage === "denied"));
  });

  test("hears of a first visit with GPC what any first visit tells, and of a grant after the banner has named the signal", async (t) => {
    const visitor = await arrive(t, { gpc: true });
    assert.deepEqual(await layer(visitor), [["consent", "default", nothing]]);
    await accept(visitor);
    assert.deepEqual(await updates(visitor), [everything]);
  });

  test("hears of a service by itself", async (t) => {
    const visitor = await arrive(t, { site: "options" });
    await visitor.page.evaluate(() => consent.save(["marketing:newsletter-panel"]).then(() => {}));
    assert.deepEqual(await updates(visitor), [types("ad_storage")]);
  });

  test("hears of regions, of how long to wait and of what more was asked for, at the start only", async (t) => {
    const visitor = await arrive(t, { site: "options" });
    await accept(visitor);
    await visitor.sent();
    const more = { wait_for_update: 500 };
    assert.deepEqual(await layer(visitor), [
      ["consent", "default", { ...types(), region: ["IE", "US-CA"], ...more }],
      ["consent", "default", { ...types(), ...more }],
      ["set", "ads_data_redaction", true],
      ["set", "url_passthrough", true],
      ["consent", "update", types("ad_storage", "analytics_storage")],
    ]);
  });

  test("hears nothing outside the regions only where the notice says so, and of a choice all the same", async (t) => {
    const visitor = await arrive(t, { site: "regions" });
    await reject(visitor);
    await visitor.sent();
    assert.deepEqual(await layer(visitor), [
      ["consent", "default", { ...types(), region: ["IE"] }],
      ["consent", "update", types()],
    ]);
  });

  test("that cannot be told keeps nobody from choosing", async (t) => {
    const visitor = await arrive(t, { before: "window.dataLayer = Object.freeze([]);" });
    await accept(visitor);
    await visitor.sent();
    await visitor.reload();
    assert.equal((await visitor.holds()).marketing, true);
    assert.ok(visitor.complaints().length && visitor.complaints().every((line) => line.startsWith("warning")), visitor.complaints());
    // The other platforms hear of it.
    assert.deepEqual((await visitor.page.evaluate(() => uetq)).at(-1), { ad_storage: "granted" });
  });
});

describe("Microsoft UET", () => {
  const queue = (visitor) => visitor.page.evaluate(() => uetq);
  const said = (command, ad_storage) => ["consent", command, { ad_storage }];
  // The tag puts an object in the place of the queue that it works off.
  const tag = "const old = window.uetq || []; window.taken = [...old]; window.uetq = { push: (...words) => taken.push(...words) };";

  test("hears a default before a tag that follows, and then each choice", async (t) => {
    const visitor = await arrive(t, { then: inline(tag), csp: typed });
    await accept(visitor);
    await refuse(visitor);
    const taken = await visitor.page.evaluate(() => taken);
    assert.deepEqual(taken, [...said("default", "denied"), ...said("update", "granted"), ...said("update", "denied")]);
    await clean(visitor);
  });

  test("hears a stored choice on the next page", async (t) => {
    const visitor = await arrive(t);
    assert.deepEqual(await queue(visitor), said("default", "denied"));
    await accept(visitor);
    await visitor.sent();
    await visitor.reload();
    assert.deepEqual(await queue(visitor), [...said("default", "denied"), ...said("update", "granted")]);
  });
});

describe("Microsoft Clarity", () => {
  const calls = (visitor) => visitor.page.evaluate(() => clarity.q.map((entry) => [...entry]));
  const said = (ad_Storage, analytics_Storage) => ["consentv2", { ad_Storage, analytics_Storage }];

  test("finds its queue with what holds, and hears each choice", async (t) => {
    const visitor = await arrive(t, { csp: typed });
    await save(visitor, { "Website statistics": true });
    await forget(visitor);
    assert.deepEqual(await calls(visitor), [said("denied", "denied"), said("denied", "granted"), said("denied", "denied")]);
    await clean(visitor);
  });

  test("hears a stored choice on the next page", async (t) => {
    const visitor = await arrive(t);
    await accept(visitor);
    await visitor.sent();
    await visitor.reload();
    assert.deepEqual(await calls(visitor), [said("denied", "denied"), said("granted", "granted")]);
  });

  test("is called where it is there already", async (t) => {
    const visitor = await arrive(t, { before: "window.calls = []; window.clarity = (...words) => calls.push(words);" });
    await reject(visitor);
    assert.deepEqual(await visitor.page.evaluate(() => calls), [said("denied", "denied"), said("denied", "denied")]);
  });
});

// Both pixels: a tag that does nothing or goes on where something of its name exists, and a script that works its queue off later.

const metaTag = `(() => {
  if (window.fbq) return;
  const fbq = (window.fbq = function () { fbq.callMethod ? fbq.callMethod(...arguments) : fbq.queue.push(arguments); });
  fbq.push = fbq;
  fbq.loaded = true;
  fbq.queue = [];
  const script = document.createElement("script");
  script.async = true;
  script.src = "/t/meta.js";
  document.head.append(script);
})();
fbq("init", "1");
fbq("track", "PageView");`;

const metaScript = `(() => {
  let revoked = false;
  const held = [];
  window.calls = [];
  window.received = [];
  fbq.callMethod = (method, what) => {
    calls.push(method + " " + what);
    if (method === "consent") revoked = what === "revoke";
    if (method === "track") held.push(what);
    if (!revoked) received.push(...held.splice(0));
  };
  for (const words of fbq.queue.splice(0)) fbq.callMethod(...words);
})();`;

const tiktokTag = `((name) => {
  window.TiktokAnalyticsObject = name;
  const ttq = (window[name] = window[name] || []);
  ttq.methods = ["page", "track", "holdConsent", "revokeConsent", "grantConsent"];
  for (const method of ttq.methods) ttq[method] = (...words) => { ttq.push([method, ...words]); };
  ttq.load = () => {
    const script = document.createElement("script");
    script.async = true;
    script.src = "/t/tiktok.js";
    document.head.append(script);
  };
  ttq.load("1");
  ttq.page();
})("ttq");`;

const tiktokScript = `(() => {
  let state = "";
  let held = [];
  window.calls = [];
  window.received = [];
  const call = (method) => {
    calls.push(method);
    if (method.endsWith("Consent")) state = method;
    else held.push(method);
    if (state === "revokeConsent") held = [];
    if (state !== "holdConsent") received.push(...held.splice(0));
  };
  const queue = window.ttq;
  window.ttq = Object.fromEntries(queue.methods.map((method) => [method, () => call(method)]));
  for (const [method] of queue) call(method);
})();`;

for (const pixel of [
  {
    name: "Meta's pixel",
    global: "fbq",
    tag: metaTag,
    files: { "/t/meta.js": metaScript },
    view: "PageView",
    start: ["consent revoke", "init 1", "track PageView"],
    grant: "consent grant",
    revoke: "consent revoke",
    stored: ["consent grant", "init 1", "track PageView"],
    again: `fbq("track", "Again")`,
  },
  {
    name: "TikTok's pixel",
    global: "ttq",
    tag: tiktokTag,
    files: { "/t/tiktok.js": tiktokScript },
    view: "page",
    start: ["holdConsent", "page"],
    grant: "grantConsent",
    revoke: "revokeConsent",
    stored: ["holdConsent", "grantConsent", "page"],
    again: "ttq.track()",
  },
]) {
  describe(pixel.name, () => {
    const calls = (visitor) => visitor.page.evaluate(() => window.calls);
    const received = (visitor) => visitor.page.evaluate(() => window.received);
    const loaded = (visitor) => visitor.page.waitForFunction(() => window.calls);
    const { tag, files } = pixel;

    test("is not there until its tag is, for those who ask", async (t) => {
      const visitor = await arrive(t, { csp: typed });
      await accept(visitor);
      await refuse(visitor);
      assert.equal(await visitor.page.evaluate((name) => typeof window[name], pixel.global), "undefined");
      await clean(visitor);
    });

    test("loads by its own tag, and is held before anything else", async (t) => {
      const visitor = await arrive(t, { then: inline(tag), files });
      await loaded(visitor);
      assert.deepEqual(await calls(visitor), pixel.start);
      assert.deepEqual(await received(visitor), []);
      await clean(visitor);
    });

    test("sends what it held once it is granted, and nothing after that was withdrawn", async (t) => {
      const visitor = await arrive(t, { then: inline(tag), files });
      await loaded(visitor);
      await accept(visitor);
      assert.deepEqual(await received(visitor), [pixel.view]);
      await refuse(visitor);
      await visitor.page.evaluate(pixel.again);
      assert.deepEqual((await calls(visitor)).slice(pixel.start.length, -1), [pixel.grant, pixel.revoke]);
      assert.deepEqual(await received(visitor), [pixel.view]);
    });

    test("is revoked when everything is refused", async (t) => {
      const visitor = await arrive(t, { then: inline(tag), files });
      await loaded(visitor);
      await reject(visitor);
      assert.deepEqual(await calls(visitor), [...pixel.start, pixel.revoke]);
      await visitor.sent();
      await visitor.reload();
      await loaded(visitor);
      assert.ok((await calls(visitor)).includes(pixel.revoke));
      assert.deepEqual(await received(visitor), []);
    });

    test("is revoked by Forget my settings", async (t) => {
      const visitor = await arrive(t, { then: inline(tag), files });
      await loaded(visitor);
      await accept(visitor);
      await forget(visitor);
      assert.equal((await calls(visitor)).at(-1), pixel.revoke);
    });

    test("starts granted where that was stored", async (t) => {
      const visitor = await arrive(t, { then: inline(tag), files });
      await accept(visitor);
      await visitor.sent();
      await visitor.reload();
      await loaded(visitor);
      assert.deepEqual(await calls(visitor), pixel.stored);
      assert.deepEqual(await received(visitor), [pixel.view]);
    });

    test("behind the gate loads only once it is granted, and then starts granted", async (t) => {
      const visitor = await arrive(t, { then: gated(tag), files });
      assert.equal(visitor.paths().filter((name) => name.startsWith("/t/")).length, 0);
      await accept(visitor);
      await loaded(visitor);
      assert.deepEqual(await calls(visitor), pixel.stored);
      assert.deepEqual(await received(visitor), [pixel.view]);
    });

    test("that was there first is held all the same, as long as its script is on its way", async (t) => {
      const visitor = await Visitor.arrive(t, service);
      let release;
      const released = new Promise((resolve) => (release = resolve));
      await visitor.context.route("**/t/**", async (route) => {
        await released;
        await route.fulfill({ body: Object.values(files)[0], contentType: "text/javascript" });
      });
      const html = `<!doctype html><html lang="en"><title>A page</title>${inline(tag)}<script src="/v1/sites/all/consent.js"></script>`;
      await visitor.serve("/late.html", html);
      await visitor.page.goto(`${service.origin}/late.html`, { waitUntil: "commit" });
      await visitor.settled();
      release();
      await loaded(visitor);
      assert.deepEqual(await received(visitor), [], String(await calls(visitor)));
    });
  });
}

describe("WP Consent API", () => {
  // Cookies and one event for each change, as the API has them.
  const api = `(() => {
    window.calls ??= [];
    window.changes = [];
    const read = (word) => document.cookie.match("wp_consent_" + word + "=(\\\\w+)")?.[1];
    window.wp_has_consent = (word) => (window.wp_consent_type ? read(word) === "allow" : true);
    window.wp_set_consent = (word, value) => {
      calls.push(word + " " + value);
      if (read(word) === value) return;
      document.cookie = "wp_consent_" + word + "=" + value + ";path=/";
      changes.push(word + " " + value);
    };
  })();`;
  const calls = (visitor) => visitor.page.evaluate(() => window.calls);
  const changes = (visitor) => visitor.page.evaluate(() => window.changes);
  const words = ["functional", "marketing", "preferences", "statistics", "statistics-anonymous"];
  const said = (...allowed) => words.map((word) => `${word} ${allowed.includes(word) ? "allow" : "deny"}`);

  test("hears the type at the start, and that it is defined once the page has been read", async (t) => {
    const before = `window.types = [];
      const note = (when) => types.push(when + " " + window.wp_consent_type);
      document.addEventListener("wp_consent_type_defined", () => note("defined"));
      document.addEventListener("DOMContentLoaded", () => note("read"));`;
    const visitor = await arrive(t, { before: before + api, then: inline("note('then')"), csp: typed });
    assert.deepEqual(await visitor.page.evaluate(() => types), ["then optin", "read optin", "defined optin"]);
    await clean(visitor);
  });

  test("keeps no cookie for what nobody has answered", async (t) => {
    const visitor = await arrive(t, { before: api });
    await sleep(200);
    assert.deepEqual([...new Set(await calls(visitor))], ["functional allow"]);
    assert.deepEqual(Object.keys(await visitor.cookies()), ["wp_consent_functional"]);
  });

  test("takes back what an older cookie allows", async (t) => {
    const visitor = await arrive(t, { before: 'document.cookie = "wp_consent_marketing=allow";' + api });
    await eventually("it is denied", async () => (await changes(visitor)).includes("marketing deny"));
    assert.equal((await visitor.cookies()).wp_consent_marketing, "deny");
  });

  test("hears each choice, all five words each time", async (t) => {
    const visitor = await arrive(t, { before: api });
    await sleep(100);
    await visitor.page.evaluate(() => (calls.length = 0));
    await accept(visitor);
    assert.deepEqual((await calls(visitor)).sort(), said("functional", "marketing", "statistics", "statistics-anonymous"));
    await visitor.page.evaluate(() => (calls.length = 0));
    await save(visitor, { Marketing: false });
    assert.deepEqual((await calls(visitor)).sort(), said("functional", "statistics", "statistics-anonymous"));
    await visitor.page.evaluate(() => (calls.length = 0));
    await forget(visitor);
    assert.deepEqual((await calls(visitor)).sort(), said("functional"));
  });

  test("sees no change on the next page, whose plugins may load anew at one", async (t) => {
    const visitor = await arrive(t, { before: api });
    await accept(visitor);
    await visitor.sent();
    await visitor.reload();
    await sleep(200);
    assert.deepEqual(await changes(visitor), []);
    assert.ok((await calls(visitor)).includes("marketing allow") && !(await calls(visitor)).includes("marketing deny"));
  });

  test("sees no change either while the choice has not been sent", async (t) => {
    const visitor = await arrive(t, { before: api });
    await visitor.context.route("**/decisions", (route) => route.fulfill({ status: 503, body: "{}" }));
    await accept(visitor);
    await visitor.reload();
    await sleep(200);
    assert.ok((await visitor.queue()).length);
    assert.deepEqual(await changes(visitor), []);
  });

  test("hears a stored choice when it comes after consent.js, in the foot of the page", async (t) => {
    const visitor = await arrive(t, { then: '<script defer src="/t/api.js"></script>', files: { "/t/api.js": api } });
    await reject(visitor);
    await visitor.sent();
    await visitor.reload();
    await eventually("it was told", async () => (await calls(visitor)).length);
    assert.deepEqual([...new Set(await calls(visitor))].sort(), said("functional"));
  });

  test("hears nothing wrong where it never comes", async (t) => {
    const visitor = await arrive(t, { csp: typed });
    await accept(visitor);
    await clean(visitor);
  });
});

describe("Shopify", () => {
  const shop = (known = "{}") => `(() => {
    window.calls = [];
    window.known = ${known};
    window.privacy = {
      currentVisitorConsent: () => known,
      setTrackingConsent: (words, done) => { calls.push(words); done(); },
    };
  })();`;
  const ready = (known) => `${shop(known)} window.Shopify = { customerPrivacy: privacy };`;
  const calls = (visitor) => visitor.page.evaluate(() => window.calls);
  const said = (analytics, marketing) => ({ analytics, marketing, preferences: false, sale_of_data: false });
  const no = '{ analytics: "no", marketing: "no", preferences: "no", sale_of_data: "no" }';

  test("hears that all is denied, and then each choice", async (t) => {
    const visitor = await arrive(t, { before: ready(), csp: typed });
    await accept(visitor);
    await save(visitor, { Marketing: false });
    await forget(visitor);
    assert.deepEqual(await calls(visitor), [said(false, false), said(true, true), said(true, false), said(false, false)]);
    await clean(visitor);
  });

  test("hears nothing that it knows", async (t) => {
    const visitor = await arrive(t, { before: ready(no) });
    await sleep(200);
    assert.deepEqual(await calls(visitor), []);
    await reject(visitor);
    assert.deepEqual(await calls(visitor), []);
    await acceptAgain(visitor);
    assert.deepEqual(await calls(visitor), [said(true, true)]);
  });

  test("does not hear a refusal before a stored choice", async (t) => {
    const visitor = await arrive(t, { before: ready() });
    await accept(visitor);
    await visitor.sent();
    await visitor.reload();
    await sleep(200);
    assert.deepEqual(await calls(visitor), [said(true, true)]);
  });

  test("does not hear a refusal before a stored choice either while that has not been sent", async (t) => {
    const visitor = await arrive(t, { before: ready() });
    await visitor.context.route("**/decisions", (route) => route.fulfill({ status: 503, body: "{}" }));
    await accept(visitor);
    // The core has to judge, and comes after the page.
    await visitor.context.route("**/assets/**", async (route) => {
      await sleep(300);
      await route.continue();
    });
    await visitor.reload();
    await sleep(100);
    assert.deepEqual(await calls(visitor), [said(true, true)]);
  });

  test("is loaded by the shop's own loader, once", async (t) => {
    const before = `${shop()} window.asked = [];
      window.Shopify = { loadFeatures: (features, done) => { asked.push(...features); setTimeout(() => { Shopify.customerPrivacy = privacy; done(); }, 50); } };`;
    const visitor = await arrive(t, { before, csp: typed });
    await eventually("it was told", async () => (await calls(visitor)).length);
    assert.deepEqual(await visitor.page.evaluate(() => asked), [{ name: "consent-tracking-api", version: "0.1" }]);
    assert.deepEqual(await calls(visitor), [said(false, false)]);
    await clean(visitor);
  });

  test("hears what holds when the shop's script comes later", async (t) => {
    const visitor = await arrive(t, { then: '<script defer src="/t/shop.js"></script>', files: { "/t/shop.js": ready() } });
    await eventually("it was told", async () => (await calls(visitor)).length);
    assert.deepEqual(await calls(visitor), [said(false, false)]);
  });

  test("that cannot be loaded keeps nobody from choosing", async (t) => {
    const visitor = await arrive(t, { before: "window.Shopify = { loadFeatures: (features, done) => done(Error('away')) };" });
    await accept(visitor);
    assert.ok(visitor.complaints().length && visitor.complaints().every((line) => line.startsWith("warning")), visitor.complaints());
  });
});

describe("consent.js", () => {
  const served = async (site) => {
    const response = await fetch(`${service.origin}/v1/sites/${site}/consent.js`, { headers: { "accept-encoding": "identity" } });
    return response.text();
  };
  const globals = (visitor) => visitor.page.evaluate(() => ["dataLayer", "uetq", "clarity", "fbq", "ttq", "wp_consent_type"].filter((name) => name in window));
  const names = ["dataLayer", "uetq", "consentv2", "fbq", "ttq", "wp_consent_type", "setTrackingConsent"];

  test("of a site without adapters knows none", async (t) => {
    const text = await served("plain");
    assert.ok(!text.includes('"a":'));
    assert.deepEqual(names.filter((name) => text.includes(name)), []);
    const visitor = await arrive(t, { site: "plain", csp: typed });
    await accept(visitor);
    assert.deepEqual(await globals(visitor), []);
    await clean(visitor);
  });

  test("of a site with one has that one only, and not how the site loads its tags", async () => {
    const text = await served("options");
    assert.deepEqual(names.filter((name) => text.includes(name)), ["dataLayer"]);
    assert.ok(!text.includes("advanced"));
  });

  test("of a site without adapters keeps to its budget", async () => {
    const budget = readFileSync(path.join(here, "../../consent-wasm/pack/src/budget.rs"), "utf8").match(/LOADER: usize = (\d+)/)[1];
    const request = get(`${service.origin}/v1/sites/plain/consent.js`, { headers: { "accept-encoding": "br" } });
    const [response] = await once(request, "response");
    assert.equal(response.headers["content-encoding"], "br");
    let length = 0;
    for await (const chunk of response) length += chunk.length;
    assert.ok(length <= budget, `${length} bytes`);
  });
});
