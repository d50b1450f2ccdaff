// The npm package: assembled by `make npm`, loaded by pages with strict policies, imported where there is no page.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Demo, Visitor, close, eventually, temporary } from "./harness.mjs";

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "../..");
const folder = path.join(temporary({ after }), "consent-widget");
execFileSync("make", ["--silent", "npm", `NPM_PACKAGE=${folder}`], { cwd: root });
const demo = await Demo.start();
after(async () => {
  await close();
  await demo.stop();
});

const read = (name) => readFileSync(path.join(folder, name), "utf8");
const LINE = '<script async src="/v1/sites/demo/consent.js"></script>';
const STRICT =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; object-src 'none'; base-uri 'none'; " +
  "require-trusted-types-for 'script'; trusted-types 'none'";

/** What an application does with the package, as one module. */
const app = (call) => `import { load } from "/consent-widget/index.js";
window.load = load;
window.done = ${call}.then((consent) => ({ same: consent === window.consent, status: consent.status() }), (error) => ({ error: String(error) }));`;

/** Opens a page of an application that calls `load`; `script` is how its own script is put in, `on` what answers for consent.js. */
async function arrive(t, { call = 'load("/v1/sites/demo/consent.js")', csp = STRICT, lang = "en", script, host, on } = {}) {
  const visitor = await Visitor.arrive(t, demo);
  const tag = script ?? '<script type="module" src="/app.js"></script>';
  const html = `<!doctype html><html lang="${lang}"><head><title>A page of the test</title>${tag}</head><body><h1>A page</h1></body></html>`;
  // The browser does not know that a page which the test answers for came from this machine.
  if (host) await visitor.context.grantPermissions(["local-network-access"]);
  if (on) await visitor.context.route((url) => url.pathname.endsWith("/consent.js"), on);
  const type = "text/javascript";
  await visitor.serve("/app.html", html.replace("APP", app(call)), { csp });
  await visitor.serve("/app.js", app(call), { type });
  await visitor.serve("/consent-widget/index.js", read("index.js"), { type });
  await visitor.page.goto(`${host ?? demo.origin}/app.html`);
  return visitor;
}

const done = async (visitor) => (await visitor.page.waitForFunction(() => window.done)).jsonValue();
const scripts = (visitor) => visitor.requests.map((request) => new URL(request.url())).filter(({ pathname }) => pathname.endsWith("/consent.js"));

const works = async (visitor) => {
  assert.deepEqual(await done(visitor), { same: true, status: "none" });
  assert.ok(await visitor.layer.isVisible());
  await visitor.shut();
  assert.equal((await visitor.cookie()).granted, "");
  assert.deepEqual(await visitor.violations(), []);
  assert.deepEqual(visitor.complaints(), []);
};

test("the package has the version of the workspace and every file that it lists", () => {
  const manifest = JSON.parse(read("package.json"));
  const [, version] = /\[workspace\.package\]\nversion = "(.+)"/.exec(readFileSync(path.join(root, "Cargo.toml"), "utf8"));
  assert.equal(manifest.version, version);
  for (const name of manifest.files) assert.ok(existsSync(path.join(folder, name)), name);
  for (const name of ["rules/autoconsent.json", "rules/consent-o-matic.json"]) JSON.parse(read(name));
});

test("npm packs it with these files and no others", () => {
  const [{ files }] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--offline"], { cwd: folder, encoding: "utf8" }));
  assert.deepEqual(files.map((file) => file.path).sort(), [
    "LICENSE", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "consent.d.ts", "index.d.ts", "index.js", "package.json",
    "rules/autoconsent.json", "rules/consent-o-matic.json",
  ]);
});

test("it can be imported where there is no page, and rejects there", async () => {
  const known = Object.keys(globalThis);
  const { load } = await import(pathToFileURL(path.join(folder, "index.js")).href);
  assert.deepEqual(Object.keys(globalThis), known);
  await assert.rejects(load("https://consent.example/v1/sites/shop/consent.js"), /no page/);
});

test("it loads under the strict policy with Trusted Types", async (t) => {
  await works(await arrive(t));
});

for (const [name, sources] of [
  ["a nonce", "'nonce-dGVzdA' 'wasm-unsafe-eval'"],
  ["a nonce and strict-dynamic", "'nonce-dGVzdA' 'strict-dynamic' 'wasm-unsafe-eval'"],
]) {
  for (const script of ['<script type="module" nonce="dGVzdA">APP</script>', '<script type="module" nonce="dGVzdA" src="/app.js"></script>']) {
    test(`it loads where only ${name} may run scripts, ${script.includes("APP") ? "from an inline script" : "from a file"}`, async (t) => {
      await works(await arrive(t, { script, csp: STRICT.replace("'self' 'wasm-unsafe-eval'", sources) }));
    });
  }
}

test("it loads from another host", async (t) => {
  const src = `${demo.origin}/v1/sites/demo/consent.js`;
  const csp = STRICT.replace("script-src 'self'", `connect-src ${demo.origin}; script-src 'self' ${demo.origin}`);
  // localhost and 127.0.0.1 are two hosts.
  const visitor = await arrive(t, { call: `load(${JSON.stringify(src)})`, csp, host: `http://localhost:${demo.port}` });
  assert.deepEqual(await done(visitor), { same: true, status: "none" });
  assert.ok(await visitor.layer.isVisible());
  assert.deepEqual(await visitor.violations(), []);
});

test("calls at once and later are one banner and one request", async (t) => {
  const both = '[load("/v1/sites/demo/consent.js"), load(new URL("/v1/sites/demo/consent.js", location))]';
  const call = `Promise.all(${both}).then(([one, two]) => one === two && one)`;
  const visitor = await arrive(t, { call });
  await works(visitor);
  assert.equal(await visitor.page.evaluate(async () => (await load("/another.js")) === window.consent), true);
  assert.equal(scripts(visitor).length, 1);
});

const lateLine = (route) => setTimeout(() => route.continue(), route.request().url().endsWith("first") ? 0 : 700);

for (const [which, call, on, requests] of [
  ["before", 'new Promise((resolve) => setTimeout(resolve, 700)).then(() => load("/v1/sites/demo/consent.js"))', undefined, 1],
  // The same file under another address, or the browser would have one answer wait for the other.
  ["after", 'load("/v1/sites/demo/consent.js?first")', lateLine, 2],
]) {
  test(`a page that has the plain line too has one banner, the line coming ${which} the call`, async (t) => {
    const visitor = await arrive(t, { call, on, script: `${LINE}<script type="module" src="/app.js"></script>` });
    await works(visitor);
    assert.equal(scripts(visitor).length, requests);
    await visitor.page.waitForLoadState("networkidle");
    assert.equal(await visitor.page.locator("[data-consent=control]").count(), 1);
  });
}

test("lang asks for a language", async (t) => {
  const visitor = await arrive(t, { call: 'load("/v1/sites/demo/consent.js", { lang: "de" })' });
  assert.deepEqual(await done(visitor), { same: true, status: "none" });
  assert.ok(await visitor.page.getByRole("region", { name: "Datenschutz auf dieser Website" }).isVisible());
  assert.equal(scripts(visitor)[0].search, "?lang=de");
});

test("without lang the page's language wins over the browser's", async (t) => {
  const visitor = await arrive(t, { lang: "de" });
  assert.deepEqual(await done(visitor), { same: true, status: "none" });
  assert.ok(await visitor.page.getByRole("region", { name: "Datenschutz auf dieser Website" }).isVisible());
  assert.deepEqual(await visitor.violations(), []);
});

test("headless draws nothing", async (t) => {
  const visitor = await arrive(t, { call: 'load("/v1/sites/demo/consent.js", { headless: true })' });
  assert.deepEqual(await done(visitor), { same: true, status: "none" });
  assert.equal(await visitor.page.locator("[data-consent]").count(), 0);
  await visitor.page.evaluate(() => consent.rejectAll());
  assert.equal((await eventually("the cookie", () => visitor.cookie())).granted, "");
});

test("it rejects where the script cannot be had, grants nothing, and tries again when asked again", async (t) => {
  let away = true;
  const visitor = await arrive(t, { on: (route) => (away ? route.abort() : route.continue()) });
  assert.deepEqual(await done(visitor), { error: `Error: consent: could not load ${demo.origin}/v1/sites/demo/consent.js` });
  assert.equal(await visitor.page.evaluate(() => window.consent), undefined);
  away = false;
  assert.equal(await visitor.page.evaluate(async () => (await load("/v1/sites/demo/consent.js")) === window.consent), true);
  assert.ok(await visitor.layer.isVisible());
  await visitor.shut();
  assert.equal((await visitor.cookie()).granted, "");
});
