// `node bench.mjs`: what a banner costs a page, beside the same page without one. See README.md.

import { existsSync, mkdirSync } from "node:fs";
import os from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { compare, files, judge } from "./report.mjs";
import { start } from "./site.mjs";
import { variants as all } from "./variants.mjs";
import { conditions, consented, measure, visits } from "./visit.mjs";

// A warm visit opens two pages, so it has fewer variants: none whose files are those of another one.
const brief = Object.keys(all).filter((key) => !all[key].fragment && key !== "tuned");

const usage = `node bench.mjs [options]
  --runs N            visits counted for each variant, condition and kind of visit (15)
  --quick             the same as --runs 3
  --without a,b       leave these variants out (${Object.keys(all).slice(1).join(", ")})
  --with a,b          also: ${all.tuned.title} (tuned), ${all.blocking.title} (blocking)
  --only plain|slow   one condition
  --visit first|returning|again  one kind of visit (again: the next page view, with a warm cache; only ${brief.join(", ")})
  --profile VARIANT   instead, write a Chromium trace of one visit into traces/ (with --only and --visit: of which one)

CONSENT_BINARY and CHROMIUM name the service and the browser.`;

const say = (text) => console.log(text + "\n");
const progress = (text) => process.stderr.write(text + "\n");

const options = () => {
  const { values } = parseArgs({
    options: {
      runs: { type: "string" },
      quick: { type: "boolean" },
      without: { type: "string", default: "" },
      with: { type: "string", default: "" },
      only: { type: "string" },
      visit: { type: "string" },
      profile: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit();
  }
  const among = (name, allowed) => {
    const wrong = (values[name] ?? "").split(",").find((value) => value && !allowed.includes(value));
    if (wrong) throw Error(`--${name}: "${wrong}" is none of ${allowed.join(", ")}`);
    return values[name] ? values[name].split(",") : undefined;
  };
  const banners = Object.keys(all).slice(1);
  const out = among("without", banners) ?? [];
  const extra = among("with", banners) ?? [];
  const profile = among("profile", Object.keys(all))?.[0];
  // To look into one variant, no other is needed.
  const wanted = ([key, variant]) => (profile ? key === profile : !out.includes(key) && (!variant.extra || extra.includes(key)));
  const runs = Number(values.runs ?? (values.quick ? 3 : 15));
  if (!Number.isInteger(runs) || runs < 1) throw Error(`--runs: "${values.runs}" is no number of visits`);
  return {
    runs,
    profile,
    variants: Object.fromEntries(Object.entries(all).filter(wanted)),
    conditions: among("only", Object.keys(conditions)) ?? Object.keys(conditions),
    visits: among("visit", Object.keys(visits)) ?? Object.keys(visits),
  };
};

const launch = async () => {
  let chromium;
  try {
    ({ chromium } = await import("playwright-core"));
  } catch {
    throw Error("playwright-core is missing: run `npm ci` in tests/banner");
  }
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  if (!existsSync(executablePath)) throw Error("Chromium is missing: run `apt-get install chromium`, or name yours in CHROMIUM");
  return chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // Here and not as the context's locale: that sets a header of its own on the first request for a file, and the renderer then
      // finds its copy of whatever says `Vary: Accept-Language` (our files) not to be of the next request.
      "--lang=en-US",
      "--accept-lang=en-US",
      // Else the page is told that it is driven (navigator.webdriver), and vanilla-cookieconsent takes that for a crawler and stays away.
      "--disable-blink-features=AutomationControlled",
    ],
  });
};

/** The variants in turn, each round beginning with another one; the first round warms up and is not counted. */
async function rounds(browser, site, states, { variants, runs }, condition, visit) {
  const keys = Object.keys(variants).filter((key) => visit !== "again" || brief.includes(key));
  const counted = Object.fromEntries(keys.map((key) => [key, []]));
  for (let round = 0; round <= runs; round++) {
    const first = round % keys.length;
    for (const key of [...keys.slice(first), ...keys.slice(0, first)]) {
      const seen = await measure(browser, site, { key, variant: variants[key], condition, kind: visit, state: states[key] });
      if (round) counted[key].push(seen);
    }
    progress(`${condition}, ${visit}: ${round ? `round ${round} of ${runs}` : "warmed up"}`);
  }
  return counted;
}

async function trace(browser, site, states, { profile: key, variants, conditions: [condition], visits: [visit] }) {
  const folder = fileURLToPath(new URL("traces", import.meta.url));
  mkdirSync(folder, { recursive: true });
  const path = `${folder}/${key}-${condition}-${visit}.json`;
  const seen = () => measure(browser, site, { key, variant: variants[key], condition, kind: visit, state: states[key] });
  await seen();
  await browser.startTracing(undefined, {
    path,
    categories: [
      "-*",
      "blink.user_timing",
      "devtools.timeline",
      "disabled-by-default-devtools.timeline",
      "disabled-by-default-v8.cpu_profiler",
      "disabled-by-default-v8.compile",
      "latencyInfo",
      "loading",
      "netlog",
      "toplevel",
      "v8.execute",
      "v8.wasm",
    ],
  });
  const { drawn, fcp, visible, usable, inline, file, script } = await seen();
  await browser.stopTracing();
  const times = Object.entries({ drawn, fcp, visible, usable, inline, file, script }).filter(([, ms]) => ms !== undefined);
  say(`${path}: for chrome://tracing, Perfetto, or the panel Performance of DevTools. Traced, and so slower:`);
  say(times.map(([name, ms]) => `${name} ${ms.toFixed(1)} ms`).join(", "));
}

async function main() {
  const chosen = options();
  const { variants, runs } = chosen;
  const site = await start(variants);
  let browser;
  try {
    browser = await launch();
    const states = {};
    for (const [key, variant] of Object.entries(variants)) states[key] = await consented(browser, site, { key, variant });
    if (chosen.profile) return await trace(browser, site, states, chosen);

    const load = () => os.loadavg().map((n) => n.toFixed(1)).join(" ");
    const before = load();
    const measured = {};
    for (const condition of chosen.conditions) {
      measured[condition] = {};
      for (const visit of chosen.visits) measured[condition][visit] = await rounds(browser, site, states, chosen, condition, visit);
    }
    say(`# Banner bench`);
    say(
      `Chromium ${browser.version()}, Node ${process.versions.node}, ${os.cpus().length} cores (${os.cpus()[0].model.trim()}), ` +
        `load ${before} before, ${load()} after. Medians of ${runs} visits each, interleaved.`,
    );
    for (const [condition, kinds] of Object.entries(measured)) {
      for (const [visit, by] of Object.entries(kinds)) {
        say(`## ${visits[visit]}, ${conditions[condition].title}`);
        say(compare(visit, variants, by));
      }
    }
    say(
      "In brackets: the median of the differences to the empty page of the same round (so not always the difference of the medians); for " +
        "the banner, to when that page’s own text was drawn, seen in the same way. Script and main thread: `ScriptDuration` and " +
        "`TaskDuration` of the page’s process in processor time, the probe’s share in both. Blocking: what long tasks take beyond 50 ms. " +
        "INP 16: at most 16. The heap is JavaScript’s; a WASM memory is not in it.",
    );
    if (chosen.visits.some((visit) => visit !== "again")) {
      say("## Bytes by file");
      say(`${conditions[chosen.conditions[0]].title}; they do not depend on that.`);
      say(files(variants, Object.values(measured)[0]));
    }
    say("## Targets");
    say(judge(variants, measured));
  } finally {
    await browser?.close();
    await site.stop();
  }
}

try {
  await main();
} catch (error) {
  // What this bench says itself is clear without the place where it was said.
  console.error(error.constructor === Error ? `Error: ${error.message}` : error);
  process.exitCode = 1;
}
