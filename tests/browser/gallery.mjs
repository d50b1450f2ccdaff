// The service with consent-server/notices/gallery.toml, in both presets, and a page of the tests' own: Example Gardens in five languages.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Visitor, eventually, sleep, subjectText } from "./harness.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
export const binary = process.env.CONSENT_BINARY || path.join(here, "../../target/debug/consent");
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CONSENT_")));

export const languages = ["en", "de", "el", "ar", "fi"];
export const presets = ["notice", "choice"];

/** What version 2 says of statistics, and what version 1 did not have. */
export const news = {
  recipients: {
    en: "{controller}, and Example Numbers Ltd, who count for us.",
    de: "{controller} und die Example Numbers Ltd, die für uns zählt.",
    el: "Η {controller} και η Example Numbers Ltd, που μετρά για εμάς.",
    ar: "{controller} وشركة Example Numbers Ltd التي تعدّ نيابةً عنا.",
    fi: "{controller} ja Example Numbers Ltd, joka laskee puolestamme.",
  },
  service: { en: "Reading depth", de: "Lesetiefe", el: "Βάθος ανάγνωσης", ar: "عمق القراءة", fi: "Lukusyvyys" },
};

/** The built-in words of a language. */
export const words = (language) => JSON.parse(readFileSync(path.join(here, `../../consent-core/texts/${language}.json`), "utf8")).common;

const first = readFileSync(path.join(here, "../../consent-server/notices/gallery.toml"), "utf8");

/** What version 1 says in a field of a category. */
export function said(category, language, field) {
  const [, text] = first.split(`[[category]]\nid = "${category}"`)[1].split(`[category.text.${language}]`)[1].split(`${field} = "`);
  return text.split('"')[0];
}

/** The notice in a preset and version: 2 tells more recipients of statistics, and a new service. */
export function draft(preset, version) {
  let text = first.replace('preset = "choice"', `preset = "${preset}"`);
  if (version === 1) return text;
  for (const language of languages) text = text.replace(said("statistics", language, "recipients"), news.recipients[language]);
  const names = Object.entries(news.service).map(([language, name]) => `${language} = "${name}"`);
  const service = `[[category.service]]\nid = "reading-depth"\nname = { ${names.join(", ")} }\nprovider = "Example Numbers Ltd"\ncountry = "IE"\n\n`;
  return text.replace('[[category]]\nid = "marketing"', (next) => service + next);
}

/** `consent serve` with the sites `notice` and `choice`, and `notice-2` and `choice-2`, whose notice has changed once. */
export class Gallery {
  static async start() {
    const gallery = new Gallery();
    gallery.data = mkdtempSync(path.join(tmpdir(), "consent-gallery-"));
    const free = createServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    const { port } = free.address();
    free.close();
    gallery.origin = `http://127.0.0.1:${port}`;
    for (const preset of presets) {
      gallery.site(preset, preset);
      gallery.site(`${preset}-2`, preset);
      gallery.publish(`${preset}-2`, preset, 2);
    }
    const args = ["serve", "--listen", `127.0.0.1:${port}`, "--data", gallery.data, "--publish-every-seconds", "1"];
    gallery.process = spawn(binary, args, { env: environment, stdio: "ignore" });
    process.once("exit", () => gallery.process.kill("SIGKILL"));
    await eventually("the server answers", async () => (await fetch(gallery.address("notice", "consent.js"))).ok);
    return gallery;
  }

  consent(...args) {
    return execFileSync(binary, [...args, "--data", this.data], { env: environment, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  /** A site for one test alone; gives the public key of its log. */
  site(name, preset) {
    const said = this.consent("site", "create", name, "--log-origin", `${name}.gardens.example/consent`, "--origin", this.origin);
    this.publish(name, preset, 1);
    return said.trim().split("\n").at(-1);
  }

  publish(site, preset, version) {
    const file = path.join(this.data, `${site}-${version}.toml`);
    writeFileSync(file, draft(preset, version));
    return this.consent("notice", "publish", file, "--site", site, ...(version === 1 ? [] : ["--material", "statistics"]));
  }

  address(site, rest) {
    return `${this.origin}/v1/sites/${site}/${rest}`;
  }

  async stop() {
    const exited = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await Promise.race([exited, sleep(5000)]);
    this.process.kill("SIGKILL");
    rmSync(this.data, { recursive: true, force: true });
  }
}

const prose = "Most fruit trees forgive a clean cut in the wrong place. Few forgive a ragged one in the right place. We put the spade away in March, and this is what the beds looked like in November.";

/** A page of a site; `lang` is its own language, `asked` what the script's address asks for, `style` more of its style. */
export function page({ site, lang = "en", asked, style = "" }) {
  return `<!doctype html><html lang="${lang}" dir="${lang === "ar" ? "rtl" : "ltr"}"><head><meta charset="utf-8"><title>Example Gardens</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; font: 1rem/1.6 system-ui, sans-serif; background: light-dark(#fff, #161b15) }
body { max-width: 44rem; margin: 0 auto; padding: 16px; background: light-dark(#fff, #161b15) }
iframe { width: 100%; border: 0 }
a { color: light-dark(#3f6b34, #9cc98b) }
${style}</style>
<script src="/v1/sites/${site}/consent.js${asked ? `?lang=${asked}` : ""}"></script></head>
<body><header><a href="/gallery.html">Example Gardens</a></header>
<main><h1>A journal for slow gardeners</h1><p>${prose}</p>
<iframe title="Readers this week" data-category="statistics" data-service="visitor-numbers" data-src="/gallery-frame.html" height="200"></iframe>
<p>${prose}</p><p>${prose}</p><p><a href="#end" id="end">The next note</a></p></main></body></html>`;
}

/**
 * A person with a fresh profile on that page. `returning`: with a choice of two weeks ago under version 1, with everything granted.
 */
export async function arrive(t, gallery, { site, lang, asked, style, returning, ...options } = {}) {
  const visitor = await Visitor.arrive(t, gallery, options);
  await visitor.context.addInitScript(look);
  await visitor.serve("/gallery.html", page({ site, lang, asked, style }));
  await visitor.serve("/gallery-frame.html", "<!doctype html><title>Readers</title><p>407 readers this week");
  if (returning) {
    const decided = Math.floor(Date.now() / 1000) - 14 * 86400;
    const value = `1.1.${decided}.${subjectText()}.statistics~marketing.`;
    await visitor.context.addCookies([{ name: "consent", value, url: gallery.origin }]);
  }
  // A site that a command has made is noticed within a quarter of a second, which a page can be faster than.
  await eventually("the server knows the site", async () => (await fetch(gallery.address(site, "notice"))).ok);
  await visitor.visit("/gallery.html");
  return visitor;
}

/** In the page: `look`, which sees what is ours through shadow roots. */
function look() {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => (value * a + under[i] * (255 - a)) / 255);
  const ground = (node) => {
    if (!node) return rgba(getComputedStyle(document.body).backgroundColor).slice(0, 3);
    const color = rgba(getComputedStyle(node).backgroundColor);
    return color[3] === 255 ? color.slice(0, 3) : over(color, ground(node.assignedSlot ?? node.parentElement ?? node.getRootNode().host));
  };
  const light = (color) => {
    const [r, g, b] = color.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const hosts = () => [...document.querySelectorAll("[data-consent]")];
  // Every element of ours that is drawn: in the shadow roots, and what is shown through their slots.
  const ours = (selector = "*") =>
    hosts()
      .flatMap((host) => [...host.shadowRoot.querySelectorAll(selector), ...host.querySelectorAll(selector), ...(host.matches(selector) ? [host] : [])])
      .filter((node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
      .filter((node) => node.getBoundingClientRect().width && node.getBoundingClientRect().height);
  const name = (node) => `${node.localName}.${node.className || node.dataset.consentAction || node.id} "${node.textContent.trim().slice(0, 30)}"`;
  /** Which part of the widget a node belongs to. */
  const part = (node) => (node.closest("[data-consent]") ?? node.getRootNode().host).dataset.consent;
  /** All words in a node that are drawn. */
  const text = (node) => {
    if (node.nodeType === 3) return node.data;
    if (node.nodeType !== 1 || (!node.shadowRoot && !node.checkVisibility())) return "";
    const inside = node.localName === "slot" ? node.assignedNodes() : (node.shadowRoot ?? node).childNodes;
    return [...inside].map(text).join("");
  };
  /** The words' contrast with what is behind them. */
  const legibility = (node) => contrast(over(rgba(getComputedStyle(node).color), ground(node)), ground(node));
  /** The words that go on in the next line, but for names in code. */
  const torn = (node) => {
    const words = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    const found = [];
    while (words.nextNode()) {
      if (words.currentNode.parentNode.matches("code")) continue;
      for (const { 0: word, index } of words.currentNode.data.matchAll(/[\p{L}\p{N}]+/gu)) {
        const range = document.createRange();
        range.setStart(words.currentNode, index);
        range.setEnd(words.currentNode, index + word.length);
        if (new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1) found.push(word);
      }
    }
    return found;
  };
  /** What is cut off, torn, spills over or cannot be scrolled to. */
  const faults = () => {
    const { clientWidth, scrollWidth } = document.documentElement;
    const found = scrollWidth > clientWidth ? [`the page scrolls sideways: ${scrollWidth} in ${clientWidth}`] : [];
    const words = [];
    for (const node of ours()) {
      const { left, right } = node.getBoundingClientRect();
      const style = getComputedStyle(node);
      if (left < -0.5 || right > clientWidth + 0.5) found.push(`outside the window: ${name(node)} ${left} to ${right}`);
      if (node.scrollWidth > node.clientWidth + 1 && style.overflowX !== "visible") found.push(`wider than its box: ${name(node)} ${node.scrollWidth} in ${node.clientWidth}`);
      if (node.matches("button") && (node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + 1)) found.push(`cut off: ${name(node)}`);
      if (node.matches("button, a, label, th, td")) words.push(...torn(node).map((word) => `torn: ${word} in ${name(node)}`));
    }
    // The first say it: what holds them is too wide.
    return [...found.slice(0, 6), ...words.slice(0, 6)];
  };
  /** How many pixels above and below each other belong to a control, by touching them. */
  const reach = (node) => {
    const { left, right, top, bottom } = node.getBoundingClientRect();
    const x = (left + right) / 2;
    const hit = (y) => {
      let found = document.elementFromPoint(x, y);
      while (found?.shadowRoot && found.shadowRoot.elementFromPoint(x, y) && found.shadowRoot.elementFromPoint(x, y) !== found)
        found = found.shadowRoot.elementFromPoint(x, y);
      return found && (found === node || node.contains(found));
    };
    const middle = (top + bottom) / 2;
    if (!hit(middle)) return 0;
    let above = middle;
    let below = middle;
    while (middle - above < 40 && hit(above - 0.5)) above -= 0.5;
    while (below - middle < 40 && hit(below + 0.5)) below += 0.5;
    return below - above;
  };
  window.look = { rgba, over, ground, contrast, hosts, ours, name, part, text, legibility, faults, reach };
}

// Found by what they do, whatever they are called.
export const banner = (visitor) => visitor.page.locator('[data-consent="banner"]');
export const control = (visitor, action) => visitor.page.locator(`[data-consent-action="${action}"]`);
export const settings = (visitor) => visitor.page.locator('[data-consent="settings"] dialog');

/** The settings, from wherever they can be opened, with every detail shown. */
export async function openSettings(visitor, { details = true } = {}) {
  const first = control(visitor, "settings");
  await ((await first.isVisible()) ? first : control(visitor, "open")).click();
  await settings(visitor).waitFor();
  if (details) for (const more of await settings(visitor).locator(".more[aria-controls]").all()) await more.click();
}
