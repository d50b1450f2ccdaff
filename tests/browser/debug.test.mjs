// Development mode: what consent.js?debug says on the console, and that nobody else pays for it.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Demo, Visitor, close, eventually, sleep, subjectText } from "./harness.mjs";

const demo = await Demo.start({ preset: "choice" });
after(async () => {
  await close();
  await demo.stop();
});

const strange = "https://www.tracker.example";
const policy =
  `default-src 'self' data: ${strange} https://cdn.other.example; script-src 'self' 'wasm-unsafe-eval' 'nonce-x' ${strange}; ` +
  "require-trusted-types-for 'script'; trusted-types 'none'";

const page = (body, { head = "", query = "?debug", form = "async" } = {}) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page of the test</title>${head}
<script ${form} src="/v1/sites/demo/consent.js${query}"></script></head><body><main><h1>A page</h1>${body}</main></body></html>`;

/** A page of the test's own; other hosts answer, and none of them is asked over the network. */
async function arrive(t, body, { granted, cookies = [], ...options } = {}) {
  const visitor = await Visitor.arrive(t, demo);
  const value = granted !== undefined && `1.1.${Math.floor(Date.now() / 1000)}.${granted ? subjectText() : "-"}.${granted}.`;
  const all = granted === undefined ? cookies : [...cookies, ["consent", value]];
  await visitor.context.addCookies(all.map(([name, value]) => ({ name, value, url: demo.origin })));
  await visitor.context.route(
    (url) => url.origin !== demo.origin,
    (route) => {
      const { pathname } = new URL(route.request().url());
      if (pathname.endsWith(".js")) return route.fulfill({ body: "0", contentType: "text/javascript" });
      if (pathname.endsWith(".html")) return route.fulfill({ body: "<!doctype html><title>Inner</title>", contentType: "text/html" });
      return route.fulfill({ body: '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>', contentType: "image/svg+xml" });
    },
  );
  await visitor.serve("/t/own.js", "0", { type: "text/javascript" });
  await visitor.serve("/t/own.svg", '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>', { type: "image/svg+xml" });
  await visitor.serve("/t/inner.html", "<!doctype html><title>Inner</title>");
  await visitor.serve("/test-debug.html", page(body, options), { csp: policy });
  await visitor.visit("/test-debug.html");
  // Everything that will be said has been.
  await visitor.page.waitForLoadState("load");
  await sleep(400);
  return visitor;
}

/** What is warned of, without the handle of the node that a developer can click on. */
const warnings = (visitor) => visitor.console.filter((line) => line.startsWith("warning: consent: ")).map((line) => line.slice("warning: consent: ".length));

/** Exactly one warning about this, which names the element by `tag`; nothing else is warned of. */
function only(visitor, words, tag = "") {
  const said = warnings(visitor);
  assert.equal(said.length, 1, visitor.console.join("\n---\n"));
  assert.ok(said[0].includes(words), `${words} is not in ${said[0]}`);
  assert.ok(said[0].includes(tag), `${tag} is not in ${said[0]}`);
  assert.deepEqual(visitor.complaints().filter((line) => !line.startsWith("warning: consent: ")), []);
}

const quiet = (visitor) => assert.deepEqual(visitor.complaints(), []);

/** One of each fault: what is written, what is said of it, how it is named. */
const faults = {
  "a script of another site": [
    `<script id="it" src="${strange}/a.js"></script>`,
    'loads from www.tracker.example before a choice. To make it wait: type="text/plain" data-category="…"',
    `<script id="it" src="${strange}/a.js">`,
  ],
  "a frame of another site": [
    `<iframe id="it" title="A film" src="${strange}/f.html"></iframe>`,
    "loads from www.tracker.example before a choice. To make it wait: data-category=\"…\", and data-src instead of src",
    `<iframe id="it" title="A film" src="${strange}/f.html">`,
  ],
  "an image of another site": [`<img id="it" alt="" src="${strange}/p.svg">`, "loads from www.tracker.example", `<img id="it" alt="" src="${strange}/p.svg">`],
  "an unknown category": [
    '<script id="it" type="text/plain" data-category="statistik" src="/t/own.js"></script>',
    '"statistik" is not in the notice, so it is never started. The notice knows functional, functional:privacy-choice, functional:text-size, statistics, ',
    'data-category="statistik"',
  ],
  "an unknown service": [
    '<iframe id="it" title="A" data-category="statistics" data-service="counter" data-src="/t/inner.html"></iframe>',
    '"statistics:counter" is not in the notice',
    'data-service="counter"',
  ],
  "an empty category": ['<script id="it" type="text/plain" data-category="" src="/t/own.js"></script>', '"" is not in the notice', 'data-category=""'],
  "a marked script that runs": [
    '<script id="it" data-category="statistics" src="/t/own.js"></script>',
    'marked, and runs all the same: only type="text/plain" keeps it from running',
    '<script id="it" data-category="statistics" src="/t/own.js">',
  ],
  "a marked module that runs": ['<script id="it" type="module" data-category="statistics" src="/t/own.js"></script>', "marked, and runs all the same", 'type="module"'],
  "a marked script of another site that runs": [
    `<script id="it" type="text/javascript" data-category="statistics" src="${strange}/a.js"></script>`,
    "marked, and runs all the same",
    `src="${strange}/a.js"`,
  ],
  "a marked frame that loads": [
    '<iframe id="it" title="A" data-category="statistics" src="/t/inner.html"></iframe>',
    "marked, and loads all the same",
    'src="/t/inner.html"',
  ],
  "a marked image with both": [
    '<img id="it" alt="" data-category="statistics" src="/t/own.svg" data-src="/t/other.svg">',
    "marked, and loads all the same",
    'src="/t/own.svg"',
  ],
  "a marked script with data-src": [
    '<script id="it" type="text/plain" data-category="statistics" data-src="/t/own.js"></script>',
    "a marked script needs src, not data-src",
    'data-src="/t/own.js"',
  ],
  "a service without its category": [
    '<script id="it" type="text/plain" data-service="page-counter" src="/t/own.js"></script>',
    "data-service without data-category",
    'data-service="page-counter"',
  ],
};

for (const [name, [html, words, tag]] of Object.entries(faults)) {
  test(`${name} is warned of once, by its tag`, async (t) => only(await arrive(t, html), words, tag));
}

describe("elements that are added later", () => {
  for (const [name, [html, words, tag]] of Object.entries(faults)) {
    test(`${name}: warned of once, however often it moves`, async (t) => {
      const visitor = await arrive(t, `<template>${html}</template><div id="there"></div>`);
      quiet(visitor);
      await visitor.page.evaluate(async () => {
        const copy = document.querySelector("template").content.cloneNode(true);
        const box = document.createElement("div");
        box.append(copy);
        document.body.append(box);
        await new Promise((resolve) => setTimeout(resolve, 100));
        document.getElementById("there").append(box);
      });
      await sleep(400);
      only(visitor, words, tag);
    });
  }
});

test("two faulty elements are two warnings", async (t) => {
  const visitor = await arrive(t, `<img alt="a" src="${strange}/p.svg"><img alt="b" src="${strange}/p.svg">`);
  assert.equal(warnings(visitor).length, 2);
});

for (const form of ["async", "defer", ""]) {
  test(`it sees what comes before and after it in the ${form || "blocking"} form`, async (t) => {
    const visitor = await arrive(t, `<img alt="after" src="${strange}/p.svg">`, { head: `<script id="before" src="${strange}/a.js"></script>`, form });
    const said = warnings(visitor);
    assert.equal(said.length, 2, visitor.console.join("\n"));
    assert.ok(said.some((line) => line.includes('id="before"')) && said.some((line) => line.includes('alt="after"')));
  });
}

describe("what no element shows", () => {
  test("a pixel is warned of with who asked for it", async (t) => {
    const visitor = await arrive(t, `<script nonce="x">new Image().src = "${strange}/pixel.svg?seen=1"</script>`);
    only(visitor, `${strange}/pixel.svg?seen=1 was loaded before a choice (by img)`);
  });

  test("a style sheet is warned of", async (t) => {
    const visitor = await arrive(t, "", { head: '<link rel="stylesheet" href="https://cdn.other.example/a.svg">' });
    only(visitor, "https://cdn.other.example/a.svg was loaded before a choice (by link)");
  });

  test("each host once for each way", async (t) => {
    const visitor = await arrive(
      t,
      `<script nonce="x">for (const i of [1, 2, 3]) new Image().src = "${strange}/pixel.svg?" + i; fetch("${strange}/a.svg", { mode: "no-cors" })</script>`,
    );
    const said = warnings(visitor);
    assert.deepEqual(said.map((line) => line.match(/\(by (\w+)\)/)[1]).sort(), ["fetch", "img"]);
  });
});

describe("cookies", () => {
  test("that a page sets before a choice are named", async (t) => {
    const visitor = await arrive(t, '<script nonce="x">document.cookie = "seen=1; Path=/"</script>');
    only(visitor, 'the cookie "seen" was set before a choice');
  });

  test("that were there before a first choice are named too, each once", async (t) => {
    const visitor = await arrive(t, "", { cookies: [["_ga", "1"], ["lang", "en"]] });
    const said = warnings(visitor);
    assert.deepEqual(said.map((line) => line.split('"')[1]).sort(), ["_ga", "lang"]);
  });

  test("of who has refused are named only if they are new", async (t) => {
    const visitor = await arrive(t, '<script nonce="x">setTimeout(() => (document.cookie = "seen=1; Path=/"))</script><img alt="" src="/t/own.svg">', {
      granted: "",
      cookies: [["kept", "1"]],
      form: "",
    });
    only(visitor, 'the cookie "seen"');
  });

  test("of who has granted are their own affair, and so is the consent cookie", async (t) => {
    quiet(await arrive(t, "", { granted: "statistics", cookies: [["_ga", "1"]] }));
    quiet(await arrive(t, "", { granted: "" }));
  });
});

describe("nothing is said", () => {
  const well = `<script src="/t/own.js"></script><img alt="" src="/t/own.svg"><iframe title="A" src="/t/inner.html"></iframe>
    <script type="text/plain" data-category="statistics" data-service="page-counter" src="${strange}/a.js"></script>
    <script nonce="x" type="text/plain" data-category="statistics">new Image().src = "${strange}/p.svg"</script>
    <script type="application/ld+json">{"url": "${strange}"}</script>
    <iframe title="B" data-category="marketing" data-src="${strange}/f.html" width="300" height="100"></iframe>
    <img alt="" data-category="statistics" data-src="${strange}/q.svg" width="40" height="40">
    <img alt="Shoes" data-category="shoes" src="/t/own.svg">
    <a href="${strange}">There</a><img alt="" src="data:image/svg+xml,<svg/>"><template><script src="${strange}/b.js"></script></template>`;

  test("of a page that is well, before a choice", async (t) => quiet(await arrive(t, well)));

  for (const granted of ["statistics", "marketing~statistics"]) {
    test(`of what was granted before (${granted})`, async (t) => {
      const visitor = await arrive(t, well, { granted });
      await eventually("it was loaded", () => visitor.requests.some((request) => request.url() === `${strange}/a.js`));
      await sleep(400);
      quiet(visitor);
    });
  }

  test("of what is granted while the page is open, and of what that puts into the page", async (t) => {
    const visitor = await arrive(
      t,
      `${well}<script nonce="x" type="text/plain" data-category="statistics">document.body.append(Object.assign(document.createElement("img"), { src: "${strange}/late.svg" }))</script>`,
    );
    await visitor.button("Accept all", visitor.layer).click();
    await eventually("it was loaded", () => visitor.requests.some((request) => request.url() === `${strange}/late.svg`));
    await visitor.sent();
    await sleep(400);
    quiet(visitor);
  });

  test("of what somebody asked to be shown once", async (t) => {
    const visitor = await arrive(t, `<img id="it" alt="" data-category="statistics" data-src="${strange}/q.svg" width="40" height="40">`);
    await visitor.page.getByRole("button", { name: "Show once" }).click();
    await eventually("the picture", () => visitor.page.locator("#it").getAttribute("src"));
    await sleep(400);
    quiet(visitor);
  });

  test("of addresses that are none", async (t) => quiet(await arrive(t, '<img alt="" src="https://"><script type="text/plain" data-category="statistics" src="http://[">0</script>')));
});

test("one line says that it is on and how to turn it off", async (t) => {
  const visitor = await arrive(t, "");
  const lines = visitor.console.filter((line) => line.startsWith("info: consent: "));
  assert.equal(lines.length, 1);
  assert.ok(/debug mode is on.*Take debug out of the address of consent\.js/.test(lines[0]), lines[0]);
});

for (const query of ["?debug=0", "?lang=de&debug", "?debug=1&lang=en"]) {
  test(`consent.js${query} is debug mode too`, async (t) => {
    const visitor = await arrive(t, `<script src="${strange}/a.js"></script>`, { query });
    only(visitor, "loads from www.tracker.example");
  });
}

describe("without ?debug", () => {
  test("nothing is said about anything", async (t) => {
    const visitor = await arrive(
      t,
      Object.values(faults)
        .map(([html]) => html)
        .join(""),
      { query: "", cookies: [["_ga", "1"]] },
    );
    assert.deepEqual(visitor.console, []);
  });

  test("nobody pays a byte for it", async () => {
    const get = async (query) => {
      const response = await fetch(demo.api(`consent.js?lang=en${query}`));
      assert.equal(response.status, 200);
      return { text: await response.text(), etag: response.headers.get("etag") };
    };
    const [plain, debug, again] = [await get(""), await get("&debug"), await get("")];
    assert.ok(!plain.text.includes("debug mode"), "the part is not there");
    assert.ok(debug.text.includes("debug mode") && debug.text.length > plain.text.length + 1000);
    assert.deepEqual(again, plain, "neither takes the place of the other in a cache");
    assert.notEqual(plain.etag, debug.etag);
    const stale = await fetch(demo.api("consent.js?lang=en"), { headers: { "if-none-match": debug.etag } });
    assert.equal(stale.status, 200, "the one is not the other, not changed");
    assert.ok(!(await stale.text()).includes("debug mode"));
  });
});
