// Starts the real server and a real browser. Nothing here is skipped when something is missing: it fails and says what.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

let chromium;
try {
  ({ chromium } = await import("playwright-core"));
} catch {
  throw Error("playwright-core is missing: run `npm ci` in tests/browser");
}

export { chromium, sleep };
const here = path.dirname(fileURLToPath(import.meta.url));
export const shots = path.join(here, "shots");
const binary = process.env.CONSENT_BINARY || path.join(here, "../../target/debug/consent");
export const browserPath = process.env.CHROMIUM || "/usr/bin/chromium";

if (!existsSync(binary)) throw Error("target/debug/consent is missing: run `make widget`, then `cargo build -p consent-server`");
if (!existsSync(browserPath)) throw Error("Chromium is missing: run `apt-get install chromium`, or name yours in CHROMIUM");

/** Tries until `probe` is truthy (or stops throwing) and returns what it gave. */
export async function eventually(what, probe, limit = 15000) {
  const end = Date.now() + limit;
  let last;
  for (;;) {
    try {
      const got = await probe();
      if (got) return got;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw Error(`not within ${limit} ms: ${what}`, { cause: last });
    await sleep(50);
  }
}

/** A folder for a server's data, gone at the end of the test. */
export function temporary(t) {
  const folder = mkdtempSync(path.join(tmpdir(), "consent-browser-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// The configuration of whoever runs the tests is not the tests' own.
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CONSENT_")));

/** `consent demo`, running. */
export class Demo {
  static async start({ preset = "notice", data, port = 0 } = {}) {
    const demo = new Demo();
    demo.options = { preset, data };
    await demo.run(port);
    return demo;
  }

  async run(port) {
    const { preset, data } = this.options;
    const args = ["demo", "--json", "--listen", `127.0.0.1:${port}`, "--preset", preset, ...(data ? ["--data", data] : [])];
    this.process = spawn(binary, args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    this.process.stderr.on("data", (chunk) => (said += chunk));
    this.exited = once(this.process, "exit");
    const child = this.process;
    process.once("exit", () => child.kill("SIGKILL"));
    const lines = createInterface({ input: this.process.stdout });
    const first = await Promise.race([once(lines, "line"), this.exited.then(() => undefined)]);
    if (!first) throw Error(`the server ended before it said where it is:\n${said}`);
    Object.assign(this, JSON.parse(first[0]));
    this.origin = new URL(this.site_url).origin;
    this.port = Number(new URL(this.site_url).port);
  }

  /** As a power cut would. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.exited;
  }

  /** The same data under the same address again. */
  async again(preset = this.options.preset) {
    this.options.preset = preset;
    await this.run(this.port);
  }

  async stop() {
    this.process.kill("SIGTERM");
    await Promise.race([this.exited, sleep(5000)]);
    this.process.kill("SIGKILL");
  }

  api(rest) {
    return `${this.origin}/v1/sites/demo/${rest}`;
  }

  /** A command on this server's data, beside it. */
  async command(...args) {
    return promisify(execFile)(binary, [...args, "--data", this.data], { env: environment });
  }

  /** Publishes a draft of the test's own, and waits until people are shown it. */
  async publish(draft, ...flags) {
    const number = async () => (await (await fetch(this.api("notice"))).json()).version;
    const before = await number();
    const folder = mkdtempSync(path.join(tmpdir(), "consent-draft-"));
    try {
      const file = path.join(folder, "notice.toml");
      writeFileSync(file, draft);
      await this.command("notice", "publish", file, "--site", "demo", ...flags);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    await eventually("the notice is in force", async () => (await number()) > before);
  }

  /** Changes the site's settings, and waits until the server goes by them. */
  async configure(origins, ...flags) {
    await this.command("site", "set", "demo", ...[this.origin, ...origins].flatMap((origin) => ["--origin", origin]), ...flags);
    await sleep(600);
  }

  /** All decisions in the log, oldest first, as a privacy officer exports them. */
  async decisions() {
    const response = await fetch(this.api("export"), { headers: { authorization: `Bearer ${this.officer_key}` } });
    assert.equal(response.status, 200);
    const lines = (await response.text()).split("\n").filter(Boolean);
    const leaves = lines.map((line) => JSON.parse(line).leaf).filter(Boolean);
    return leaves.filter((leaf) => leaf.kind === "decision");
  }

  /** What a backend is told about a subject. */
  async check(subject, category = "statistics") {
    const query = category ? `?category=${category}` : "";
    const response = await fetch(this.api(`subjects/${subject}/consent${query}`), {
      headers: { authorization: `Bearer ${this.backend_key}` },
    });
    assert.equal(response.status, 200);
    return response.json();
  }

  /** A decision on a person's behalf, with the backend's key. */
  async behalf(body) {
    const response = await fetch(this.api("decisions"), {
      method: "POST",
      headers: { authorization: `Bearer ${this.backend_key}`, "content-type": "application/json" },
      body: JSON.stringify({
        id: crypto.randomUUID(),
        notice: 1,
        language: "en",
        layer: "none",
        method: "api",
        granted: [],
        decided_at: new Date().toISOString(),
        source: "phone",
        evidence: "asked by telephone",
        ...body,
      }),
    });
    const answer = await response.json();
    assert.equal(response.status, 201, JSON.stringify(answer));
    return answer;
  }
}

let browser;

/** One browser for each test file; each visitor has a profile of their own. */
export async function open() {
  browser ??= await chromium.launch({
    executablePath: browserPath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  return browser;
}

export async function close() {
  await browser?.close();
  browser = undefined;
}

/** A person with a fresh browser profile, and what a curious developer would see of their visit. */
export class Visitor {
  static async arrive(t, demo, options = {}) {
    const { gpc, browser: own, pageLang, ...rest } = options;
    const context = await (own ?? (await open())).newContext({
      viewport: { width: 1280, height: 800 },
      locale: "en-US",
      // Nothing is waited for but what is tested.
      reducedMotion: "reduce",
      ...rest,
    });
    if (t) t.after(() => context.close());
    context.setDefaultTimeout(8000);
    const visitor = new Visitor();
    visitor.demo = demo;
    visitor.context = context;
    visitor.console = [];
    visitor.requests = [];
    visitor.answers = [];
    context.on("console", (message) => visitor.console.push(`${message.type()}: ${message.text()}`));
    context.on("weberror", (error) => visitor.console.push(`pageerror: ${error.error()}`));
    context.on("request", (request) => visitor.requests.push(request));
    context.on("response", (response) => visitor.answers.push(response));
    await context.addInitScript(() => {
      window.violations = [];
      document.addEventListener("securitypolicyviolation", (event) => {
        window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample} ${event.sourceFile}:${event.lineNumber}`);
      });
    });
    if (gpc) await visitor.sendGpc();
    if (pageLang !== undefined) await visitor.writeIn(pageLang);
    visitor.page = await context.newPage();
    return visitor;
  }

  /** The demo's pages say that they are in another language, or do not say in which. */
  async writeIn(lang) {
    await this.context.route(
      (url) => url.origin === this.demo.origin && (url.pathname === "/" || url.pathname.endsWith(".html") || !/[.]|\/v1\//.test(url.pathname)),
      async (route) => {
        const response = await route.fetch();
        const body = (await response.text()).replace(/<html lang="[^"]*"/, lang ? `<html lang="${lang}"` : "<html");
        await route.fulfill({ response, body });
      },
    );
  }

  /** From the next page on the browser sends Global Privacy Control. */
  async sendGpc() {
    await this.context.setExtraHTTPHeaders({ "Sec-GPC": "1" });
    await this.context.addInitScript(() => {
      Object.defineProperty(Navigator.prototype, "globalPrivacyControl", { configurable: true, get: () => true });
    });
  }

  /** Serves a page of the test's own on the demo's origin; `csp` is its policy. */
  async serve(name, html, { csp, type = "text/html; charset=utf-8" } = {}) {
    await this.context.route(
      (url) => url.pathname === name,
      (route) => route.fulfill({ body: html, contentType: type, headers: csp ? { "content-security-policy": csp } : {} }),
    );
  }

  /** Opens a page and waits until window.consent is ready. */
  async visit(address = "/", page = this.page) {
    await page.goto(this.demo.origin + address);
    await this.settled(page);
  }

  async reload() {
    await this.page.reload();
    await this.settled();
  }

  async settled(page = this.page) {
    await page.waitForFunction(() => window.consent?.ready.then(() => true));
  }

  // What is on the page.
  get dialog() {
    return this.page.getByRole("dialog", { name: "GDPR Consent Settings" });
  }
  get layer() {
    return this.page.getByRole("region", { name: "Privacy on this site" });
  }
  get reopen() {
    return this.page.getByRole("button", { name: "Privacy settings", exact: true });
  }
  button(name, within = this.page) {
    return within.getByRole("button", { name, exact: true });
  }
  toggle(name = "Website statistics") {
    return this.dialog.getByRole("switch", { name });
  }
  get closeButton() {
    return this.layer.getByRole("button", { name: /^Close/ });
  }

  /** The consent ID that the dialog shows, or the words in its place. */
  shownId() {
    return this.dialog.locator("dt", { hasText: "Your consent ID" }).locator("xpath=following-sibling::dd").innerText();
  }

  /** By mouse: Close on the first layer. */
  async shut() {
    await this.closeButton.click();
    await eventually("the cookie", () => this.cookie());
    await this.sent();
  }

  /** By mouse: the settings with statistics on, saved. */
  async grantStatistics() {
    if (await this.layer.isVisible()) await this.button("Settings", this.layer).click();
    else await this.reopen.click();
    await this.toggle().check();
    await this.button("Save", this.dialog).click();
    await this.dialog.waitFor({ state: "detached" });
    await this.sent();
  }

  async refuseStatistics() {
    await this.reopen.click();
    await this.toggle().uncheck();
    await this.button("Save", this.dialog).click();
    await this.dialog.waitFor({ state: "detached" });
    await this.sent();
  }

  /** Everything decided so far has been acknowledged. */
  async sent() {
    await eventually("the queue is empty", async () => !(await this.queue()).length);
    // The acknowledgement was counted before the cookie was written.
    await this.page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 20)));
  }

  async queue() {
    return (await this.stored())?.queue ?? [];
  }

  /** What the widget keeps in local storage. */
  async stored() {
    return JSON.parse(await this.page.evaluate(() => localStorage.getItem("consent")));
  }

  async cookies() {
    return Object.fromEntries((await this.context.cookies(this.demo.origin)).map(({ name, value }) => [name, value]));
  }

  /** The consent cookie in its six fields, or undefined. */
  async cookie() {
    const { consent } = await this.cookies();
    if (consent === undefined) return undefined;
    const fields = consent.split(".");
    assert.equal(fields.length, 6, consent);
    const [version, notice, decidedAt, subject, granted, flags] = fields;
    return { value: consent, version, notice: Number(notice), decidedAt: Number(decidedAt), subject, granted, flags };
  }

  /** The consent ID in the cookie, written as the API writes it. */
  async subject() {
    const cookie = await this.cookie();
    return cookie && cookie.subject !== "-" ? uuid(cookie.subject) : undefined;
  }

  /** Everything that this visitor's browser keeps for the site but the consent cookie. */
  async kept(page = this.page) {
    return page.evaluate(async () => ({
      local: { ...localStorage },
      session: { ...sessionStorage },
      databases: (await indexedDB.databases()).map(({ name }) => name),
      caches: window.caches ? await caches.keys() : [],
    }));
  }

  holds() {
    return this.page.evaluate(() => ({
      status: consent.status(),
      statistics: consent.granted("statistics"),
      marketing: consent.granted("marketing"),
      functional: consent.granted("functional"),
    }));
  }

  /** The lines of the demo's list "What ran on this page, and why", by their first words. */
  async ledger() {
    return Object.fromEntries(
      await this.page.locator("#ledger li").evaluateAll((rows) => rows.map((row) => [row.firstChild.textContent, row.dataset.state])),
    );
  }

  /** The decisions sent so far, as bodies. */
  posts() {
    return this.requests.filter((request) => request.method() === "POST").map((request) => request.postDataJSON());
  }

  paths() {
    return this.requests.map((request) => new URL(request.url()).pathname);
  }

  /** Warnings and errors in the console. */
  complaints() {
    return this.console.filter((line) => /^(error|warning|pageerror)/.test(line));
  }

  violations() {
    return this.page.evaluate(() => window.violations);
  }

  /** Evaluates without giving the page a user activation, which Playwright's own evaluate does. */
  async quietly(expression) {
    this.session ??= await this.context.newCDPSession(this.page);
    const { result, exceptionDetails } = await this.session.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
      userGesture: false,
    });
    if (exceptionDetails) throw Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** What has the focus, through shadow roots. */
  focused() {
    return this.page.evaluate(() => {
      let node = document.activeElement;
      while (node?.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
      const style = node && getComputedStyle(node);
      return (
        node && {
          tag: node.localName,
          text: node.textContent.trim().slice(0, 40),
          action: node.dataset?.consentAction,
          id: node.id,
          checked: node.checked,
          ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && node.matches(":focus-visible"),
          seen: (({ top, bottom, left, right }) => top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth)(
            node.getBoundingClientRect(),
          ),
        }
      );
    });
  }

  /** Presses Tab (or Shift+Tab) until `wanted` has the focus; every stop on the way must show it. */
  async tabTo(wanted, { back = false, most = 40 } = {}) {
    for (let i = 0; i < most; i++) {
      await this.page.keyboard.press(back ? "Shift+Tab" : "Tab");
      const focus = await this.focused();
      if (focus && wanted(focus)) {
        assert.ok(focus.ring, `the focus is visible on ${JSON.stringify(focus)}`);
        return focus;
      }
    }
    throw Error(`not reached with ${most} times Tab: ${wanted}`);
  }
}

/** A site of the test's own in front of the demo: `pages` maps paths to HTML, or to what makes HTML of a request; the rest is the demo's. */
export async function front(t, demo, pages, headers = {}) {
  const server = createServer(async (incoming, answer) => {
    const page = pages[new URL(incoming.url, "http://front").pathname];
    if (page !== undefined) {
      const html = typeof page === "function" ? await page(incoming) : page;
      answer.writeHead(200, { "content-type": "text/html; charset=utf-8", ...headers });
      answer.end(html);
      return;
    }
    const onward = request({ port: demo.port, host: "127.0.0.1", path: incoming.url, method: incoming.method, headers: incoming.headers }, (back) => {
      answer.writeHead(back.statusCode, back.headers);
      back.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    incoming.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: server.address().port, origin: `http://127.0.0.1:${server.address().port}` };
}

/** The first layer as a page's server includes it, for the visitor who asks for the page. */
export async function included(demo, incoming, query = "") {
  const passed = ["cookie", "sec-gpc", "dnt", "accept-language"].filter((name) => incoming.headers[name]);
  const response = await fetch(demo.api(`banner.html${query}`), { headers: Object.fromEntries(passed.map((name) => [name, incoming.headers[name]])) });
  assert.equal(response.status, 200);
  return response.text();
}

/** 22 base64url characters as a UUID. */
export function uuid(text) {
  const hex = Buffer.from(text, "base64url").toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** A v4 UUID as 22 base64url characters. */
export function subjectText(id = crypto.randomUUID()) {
  return Buffer.from(id.replaceAll("-", ""), "hex").toString("base64url");
}
