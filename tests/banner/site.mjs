// The service and, before it, the bench's own server: two processes, and one address for the browser.

import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const binary = process.env.CONSENT_BINARY || path.join(here, "../../target/release/consent");

// The configuration of whoever runs the bench is not the bench's own.
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CONSENT_")));

async function demo() {
  if (!existsSync(binary)) throw Error("target/release/consent is missing: run `make build`, or name yours in CONSENT_BINARY");
  const child = spawn(binary, ["demo", "--json", "--listen", "127.0.0.1:0", "--preset", "choice"], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  process.once("exit", () => child.kill("SIGKILL"));
  let said = "";
  child.stderr.on("data", (chunk) => (said += chunk));
  const exited = once(child, "exit");
  const first = await Promise.race([once(createInterface({ input: child.stdout }), "line"), exited.then(() => undefined)]);
  if (!first) throw Error(`the service ended before it said where it is:\n${said}`);
  const stop = async () => {
    child.kill("SIGTERM");
    await Promise.race([exited, sleep(5000)]);
    child.kill("SIGKILL");
  };
  return { origin: new URL(JSON.parse(first[0]).site_url).origin, stop };
}

/** The banner as markup, for the pages that have it in them. */
async function fragment(origin) {
  const address = "/v1/sites/demo/banner.html?lang=en";
  const response = await fetch(origin + address);
  if (!response.ok) {
    throw Error(
      `GET ${address} answered ${response.status}: this binary has no banner to put into the page. ` +
        "Build one that has, or leave that variant out with --without=page",
    );
  }
  return response.text();
}

export async function start(variants) {
  const service = await demo();
  try {
    const markup = Object.values(variants).some((variant) => variant.fragment) ? await fragment(service.origin) : "";
    const front = fork(path.join(here, "server.mjs"));
    process.once("exit", () => front.kill("SIGKILL"));
    let waiting;
    front.on("message", (message) => {
      if (!/^POST .*\/decisions$/.test(message.passed) || !waiting) return;
      const { resolve, reject } = waiting;
      waiting = undefined;
      if (message.status === 201) resolve();
      else reject(Error(`the service answered a decision with ${message.status || message.error}, not with 201`));
    });
    front.send({ origin: service.origin, keys: Object.keys(variants), fragment: markup });
    const [{ origin }] = await once(front, "message");
    return {
      origin,
      /** The next decision, recorded. */
      decision() {
        const promise = new Promise((resolve, reject) => (waiting = { resolve, reject }));
        // Whoever waits for it may be waiting for something else first.
        promise.catch(() => {});
        return promise;
      },
      async stop() {
        front.disconnect();
        await service.stop();
      },
    };
  } catch (error) {
    await service.stop();
    throw error;
  }
}
