// The one origin of the bench: the page, the other banners' files, and our service behind it as behind a site's reverse proxy.
// A process of its own, so that the driver of the browser, which is busy while a page loads, does not keep it from answering.

import { readFileSync, readdirSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";

import { variants } from "./variants.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const types = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml" };

// What is served as it is: brotli at its best for everybody, made before anybody asks.
const files = new Map();
const keep = (address, body, cache = "public, max-age=31536000, immutable") =>
  files.set(address, {
    body: brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: body.length } }),
    type: types[address.split(".").pop()],
    cache,
  });

const compose = (variant, returning, fragment) => {
  const { head = "", last = "", gate } = variant;
  // Without a banner nobody would start what is marked. A first visitor has not agreed to anything, so there the analytics stay
  // off in this page too; for a returning one they are plain, and that is what the gated ones are compared with.
  const mark = gate ?? (returning ? "" : 'type="text/plain"');
  return readFileSync(path.join(here, "page.html"), "utf8")
    .replace("<!--head-->", () => head)
    .replace("<!--body-first-->", () => (variant.fragment && !returning ? fragment : ""))
    .replace("<!--body-last-->", () => last)
    .replaceAll(/<script gate\b/g, () => `<script ${mark}`.trimEnd());
};

const serve = ({ origin, keys, fragment }) => {
  for (const key of keys) {
    for (const visit of ["first", "returning"]) {
      keep(`/${visit}/${key}.html`, Buffer.from(compose(variants[key], visit === "returning", fragment)), "no-cache");
    }
  }
  const own = (folder) => readdirSync(path.join(here, folder)).map((name) => [folder, path.join(here, folder, name)]);
  const theirs = ["cookieconsent.css", "cookieconsent.umd.js"].map((name) => ["peer", path.join(here, "node_modules/vanilla-cookieconsent/dist", name)]);
  for (const [folder, file] of [...own("page"), ...own("peer"), ...theirs]) keep(`/${folder}/${path.basename(file)}`, readFileSync(file));

  const { hostname, port, host } = new URL(origin);
  const agent = new http.Agent({ keepAlive: true });
  const answer = (response, { status, headers, body }) => {
    response.writeHead(status, headers).end(body);
  };
  // A proxy keeps what is marked as public, and so does this one: then everybody's files come out of this process's memory, and
  // nobody's have one server more to pass. How fast the service answers is measured elsewhere (`make bench`).
  const kept = new Map();
  const pass = (request, response) => {
    const { "accept-encoding": encoding, "accept-language": language } = request.headers;
    const name = request.method === "GET" && [request.url, encoding, language].join("\n");
    if (kept.has(name)) return answer(response, kept.get(name));
    // The service's allowed origin is its own address: towards it, this host is that one.
    const headers = { ...request.headers, host };
    if (headers.origin) headers.origin = origin;
    if (headers.referer) headers.referer = origin + "/";
    delete headers.connection;
    const failed = (error) => {
      process.send({ passed: `${request.method} ${request.url}`, status: 0, error: String(error) });
      response.destroy();
    };
    const onward = http.request({ agent, hostname, port, path: request.url, method: request.method, headers }, async (from) => {
      const { statusCode: status, rawHeaders } = from;
      const chunks = [];
      try {
        for await (const chunk of from) chunks.push(chunk);
      } catch (error) {
        return failed(error);
      }
      // Names and values in turn; without those that are about the one connection, and without the date: with that of the first answer,
      // what is kept here would be past its max-age five minutes later, in a browser that has just got it. Node writes today's.
      const ours = rawHeaders.filter((_, i) => !/^(connection|keep-alive|transfer-encoding|date)$/i.test(rawHeaders[i - (i % 2)]));
      const whole = { status, headers: ours, body: Buffer.concat(chunks) };
      if (name && status === 200 && /\bpublic\b/.test(from.headers["cache-control"])) kept.set(name, whole);
      answer(response, whole);
      process.send({ passed: `${request.method} ${request.url}`, status });
    });
    onward.on("error", failed);
    request.pipe(onward);
  };

  const server = http.createServer((request, response) => {
    const file = files.get(request.url.split("?")[0]);
    if (/^\/(v1|assets)\//.test(request.url)) pass(request, response);
    else if (!file) response.writeHead(404).end();
    // Never another encoding in silence: the sizes are about this one.
    else if (!/\bbr\b/.test(request.headers["accept-encoding"] ?? "")) response.writeHead(406).end();
    else {
      const { body, type, cache } = file;
      const headers = { "content-type": type, "content-encoding": "br", "content-length": body.length, "cache-control": cache };
      response.writeHead(200, { ...headers, vary: "Accept-Encoding", "x-content-type-options": "nosniff" }).end(body);
    }
  });
  // Longer than a visit: no visitor has to connect twice.
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1", () => process.send({ origin: `http://127.0.0.1:${server.address().port}` }));
};

process.once("message", serve);
process.once("disconnect", () => process.exit());
