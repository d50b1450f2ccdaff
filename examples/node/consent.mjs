// Consent checks inside a Node server, without dependencies. The rules are the consent core's own, as WebAssembly: the module that the
// banner uses, `core-….wasm` in consent-wasm/dist. What was revoked elsewhere comes from the service's event feed.
//
// Whatever is in doubt is denied.

import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/// The core's one function: lines of text in, one line out (consent-wasm/src/lib.rs says what each means).
const load = async (path) => {
  const module = await WebAssembly.compile(await readFile(path));
  const [encoder, decoder] = [new TextEncoder(), new TextDecoder()];
  let exports;
  return (lines) => {
    // The module imports nothing: no clock, no network. One that has trapped is not used again.
    const wasm = (exports ??= new WebAssembly.Instance(module).exports);
    exports = undefined;
    const question = encoder.encode(lines);
    const at = wasm.__wbindgen_malloc(question.length, 1) >>> 0;
    new Uint8Array(wasm.memory.buffer, at, question.length).set(question);
    const [from, length] = wasm.judge(at, question.length);
    const answer = decoder.decode(new Uint8Array(wasm.memory.buffer, from >>> 0, length));
    wasm.__wbindgen_free(from, length, 1);
    exports = wasm;
    return answer;
  };
};

/// A consent service for one site. `core` is the path of the module; times are in milliseconds. Without `accounts` (PUT
/// …/subjects/{subject}/account) what the service said is kept for longer than `maxAge`: the feed names the device that revoked.
export class Consent {
  #judge;
  #settings;
  #notice;
  #known = new Map(); // subject → Map(category → what the service said, and when); an event drops the subject
  #asOf = -Infinity; // what happened before this moment has been heeded
  #closed = false;
  trouble; // why the service could not be followed the last time

  static async open({ core, ...settings }) {
    const consent = new Consent();
    consent.#settings = { cookie: "consent", maxAge: 10_000, timeout: 1_000, maxSubjects: 100_000, accounts: true, ...settings };
    consent.#judge = await load(core);
    consent.#follow();
    return consent;
  }

  /// Ends following; from then on the service is asked for each request.
  close() {
    this.#closed = true;
  }

  /// Whether a category or `category:service` may be used for who sends this request.
  async granted(request, id) {
    try {
      const notice = this.#notice;
      if (!notice) return false;
      const { granted, cookie, subject } = this.#read(notice, request);
      if (!granted.includes(id)) return false;
      return notice.necessary.has(id.split(":")[0]) || (subject !== "" && (await this.#holds(subject, cookie, id)));
    } catch (error) {
      this.trouble = error;
      return false;
    }
  }

  /// A middleware, `(request, response, next)`: 403 unless the category is granted.
  require(id) {
    return async (request, response, next) => {
      if (await this.granted(request, id)) return next();
      const detail = `"${id}" may not be used for this visitor`;
      const problem = { type: "/problems/no-consent", title: "No consent", status: 403, detail, category: id };
      response.writeHead(403, { "content-type": "application/problem+json", "cache-control": "no-store", vary: "Cookie, Sec-GPC, DNT" });
      response.end(JSON.stringify(problem));
    };
  }

  /// What the request's own cookie and signals say.
  #read({ lines, version, days }, { headers }) {
    const cookies = headers.cookie ?? "";
    if (/[\r\n]/.test(cookies)) return { granted: [] };
    const on = (name) => (headers[name] ?? "").split(",").some((value) => value.trim() === "1");
    const signal = on("sec-gpc") || on("dnt");
    const question = [`n ${version} ${days} ${+signal} 0 ${Date.now()}`, ...lines, `k ${this.#settings.cookie} ${cookies}`];
    const [, , , granted, , , cookie, subject] = this.#judge(question.join("\n")).split(" ");
    return { granted: granted.split("~"), cookie, subject };
  }

  /// Whether the service grants it too: as it has said, or as it says now.
  async #holds(subject, cookie, id) {
    const { maxAge, maxSubjects, accounts } = this.#settings;
    for (let tries = 0; tries < 3; tries++) {
      const asked = performance.now();
      const fresh = asked - this.#asOf <= maxAge;
      let entry = this.#known.get(subject);
      const said = entry?.get(id);
      if (fresh && said && (!accounts || asked - said.asked <= maxAge)) return said.allowed;
      // An answer that an event may have crossed is not kept.
      if (fresh && !entry) {
        if (this.#known.size >= maxSubjects) this.#known.delete(this.#known.keys().next().value);
        this.#known.set(subject, (entry = new Map()));
      }
      const allowed = await this.#authorize(cookie, id);
      if (fresh && this.#known.get(subject) !== entry) continue;
      if (fresh) entry.set(id, { allowed, asked });
      return allowed;
    }
    return false;
  }

  async #follow() {
    const { maxAge } = this.#settings;
    const wait = Math.min(30, Math.floor(maxAge / 4000));
    let [cursor, noticeAsOf] = ["now", -Infinity];
    while (!this.#closed) {
      try {
        const begin = performance.now();
        if (begin - noticeAsOf > maxAge / 2) {
          await this.#readNotice();
          noticeAsOf = begin;
        }
        const asked = performance.now();
        const page = await this.#get(`events?after=${cursor}&limit=1000&wait=${wait}`, wait * 1000 + 5000);
        for (const { subject, notice } of page.events) {
          if (subject) this.#known.delete(subject);
          else this.#known.clear();
          if (notice > this.#notice.version) noticeAsOf = -Infinity;
        }
        const idle = page.next === cursor && performance.now() - asked < wait * 500;
        cursor = page.next;
        if (!page.more) this.#asOf = Math.min(asked, noticeAsOf);
        this.trouble = undefined;
        if (idle) await sleep(250);
      } catch (error) {
        this.trouble = error;
        // The place in the feed is lost: nobody knows what happened since.
        if ([400, 404, 409, 410, 422].includes(error.status)) {
          cursor = "now";
          this.#asOf = -Infinity;
          this.#known.clear();
        }
        await sleep(500);
      }
    }
  }

  async #readNotice() {
    const { version, renew_after_days: days, categories } = await this.#get("notice", 5000);
    const lines = categories.flatMap(({ id, necessary, signals, since, services }) => [
      `c ${id} ${+necessary} ${+signals} ${since}`,
      ...services.map((service) => `s ${service.id} ${service.since}`),
    ]);
    const necessary = new Set(categories.filter((category) => category.necessary).map(({ id }) => id));
    // What was answered under another notice says nothing any more.
    if (lines.join() !== this.#notice?.lines.join() || version !== this.#notice.version || days !== this.#notice.days) {
      this.#notice = { version, days, lines, necessary };
      this.#known.clear();
    }
  }

  /// By the records of the cookie's subject, and those of the account that it is linked to.
  async #authorize(value, id) {
    const [category, service] = id.split(":");
    const query = new URLSearchParams(service ? { category, service } : { category });
    const cookie = `${this.#settings.cookie}=${value}`;
    const { status } = await this.#send(`authorize?${query}`, { cookie }, this.#settings.timeout);
    if (status !== 204 && status !== 403) throw Error(`authorize was answered with ${status}`);
    return status === 204;
  }

  async #get(path, timeout) {
    const response = await this.#send(path, { authorization: `Bearer ${this.#settings.key}` }, timeout);
    const { ok, status } = response;
    if (!ok) throw Object.assign(Error(`${path.split("?")[0]} was answered with ${status}`), { status });
    return response.json();
  }

  #send(path, headers, timeout) {
    const { service, site } = this.#settings;
    return fetch(`${service}/v1/sites/${site}/${path}`, { headers, redirect: "error", signal: AbortSignal.timeout(timeout) });
  }
}
