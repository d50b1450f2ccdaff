// What people can see, reach and read: by eye and by ear, by keyboard and by finger, in five languages, in two directions of writing.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Gallery, arrive, banner, binary, control, languages, news, openSettings, page, presets, said, settings, words } from "./gallery.mjs";
import { close, eventually, sleep, temporary } from "./harness.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const gallery = await Gallery.start();
after(async () => {
  await close();
  await gallery.stop();
});

/** Nobody has asked for motion or against it, unless a test does. */
const person = (t, options) => arrive(t, gallery, options);
const refusing = { notice: "close", choice: "reject" };
const refuse = async (visitor, preset) => {
  await banner(visitor).locator(`[data-consent-action="${refusing[preset]}"]`).click();
  await control(visitor, "open").waitFor();
};
const changes = (visitor, where = "changes") => visitor.page.locator(`[data-consent="${where}"] .changes`);

// ---------------------------------------------------------------------------------------------------------------------------------
// By the rules that a machine can check (WCAG 2.2 and good practice, axe-core).

/** Every rule of axe-core that is on by default, over the whole page and all shadow roots. */
async function violations(page) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"], iframes: false }));
  return found.violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target} ${node.failureSummary.replace(/\s+/g, " ")}`));
}

const looks = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  "forced colours": { forcedColors: "active" },
};

for (const preset of presets) {
  for (const [look, media] of Object.entries(looks)) {
    for (const lang of ["en", "ar"]) {
      describe(`axe finds nothing (${preset}, ${look}, ${lang})`, () => {
        let visitor;
        before(async () => {
          visitor = await person(null, { site: preset, lang, ...media });
        });
        after(() => visitor.context.close());

        test("in the first layer, and in the placeholder behind it", async () => {
          await visitor.page.locator(".placeholder").waitFor();
          assert.deepEqual(await violations(visitor.page), []);
        });

        test("in the settings with their details open", async () => {
          await openSettings(visitor);
          assert.deepEqual(await violations(visitor.page), []);
          await visitor.page.keyboard.press("Escape");
        });

        test("in the control that opens them again", async () => {
          await refuse(visitor, preset);
          assert.deepEqual(await violations(visitor.page), []);
        });

        test("in what has changed", async (t) => {
          const again = await person(t, { site: `${preset}-2`, lang, returning: true, ...media });
          await changes(again).waitFor();
          assert.deepEqual(await violations(again.page), []);
        });

        for (const page of ["settings.html", "declaration.html"]) {
          test(`in ${page}`, async () => {
            await visitor.page.goto(gallery.address(preset, `${page}?lang=${lang}`));
            assert.deepEqual(await violations(visitor.page), []);
          });
        }
      });
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------------------
// By keyboard.

/** What the next presses of Tab reach, one after the other. */
async function stops(visitor, count, key = "Tab") {
  const found = [];
  for (let i = 0; i < count; i++) {
    await visitor.page.keyboard.press(key);
    const { action, tag, text, id } = await visitor.focused();
    found.push(action ?? (id || (tag === "a" ? text : tag)));
  }
  return found;
}

const controls = {
  notice: (lang) => [words(lang).privacy_policy, "close", "settings"],
  choice: (lang) => [words(lang).privacy_policy, "accept", "reject", "settings"],
};

for (const preset of presets) {
  for (const lang of ["en", "ar"]) {
    test(`Tab reaches the first layer first, and leaves it for the page (${preset}, ${lang})`, async (t) => {
      const visitor = await person(t, { site: preset, lang });
      const own = controls[preset](lang);
      assert.deepEqual(await stops(visitor, own.length + 4), [...own, "Example Gardens", "once", "always", "end"]);
      // And back the same way.
      assert.deepEqual(await stops(visitor, own.length + 3, "Shift+Tab"), [...own, "Example Gardens", "once", "always"].reverse());
    });
  }

  test(`Escape on the first layer decides nothing (${preset})`, async (t) => {
    const visitor = await person(t, { site: preset });
    await visitor.page.keyboard.press("Escape");
    for (const stop of controls[preset]("en")) {
      await visitor.page.keyboard.press("Tab");
      await visitor.page.keyboard.press("Escape");
      const focus = await visitor.focused();
      assert.equal(focus.action ?? focus.text, stop, "the focus stays");
    }
    await sleep(200);
    assert.ok(await banner(visitor).isVisible());
    assert.deepEqual(visitor.posts(), []);
    assert.deepEqual(await visitor.cookies(), {});
  });

  test(`in the settings Tab goes round, Escape records nothing and leads back (${preset})`, async (t) => {
    const visitor = await person(t, { site: preset });
    await visitor.tabTo((focus) => focus.action === "settings", { most: 4 });
    await visitor.page.keyboard.press("Enter");
    await settings(visitor).waitFor();
    const once = await stops(visitor, 13);
    const first = once[0];
    const again = once.lastIndexOf(first);
    assert.ok(again > 8, `round and round: ${once}`);
    for (const wanted of ["switch-statistics", "switch-marketing", "forget", "close", "save"]) assert.ok(once.slice(0, again).includes(wanted), wanted);
    await visitor.page.keyboard.press("Escape");
    await settings(visitor).waitFor({ state: "detached" });
    assert.equal((await visitor.focused()).action, "settings");
    assert.deepEqual(visitor.posts(), []);
    assert.deepEqual(await visitor.cookies(), {});
  });
}

for (const [size, viewport] of [
  ["320 px", { width: 320, height: 568 }],
  ["1280 px", { width: 1280, height: 800 }],
]) {
  for (const preset of presets) {
    test(`nothing of ours lies over what the keyboard reaches on the page (${preset}, ${size})`, async (t) => {
      // At the lower edge, where lines begin, is where most pages have their last link.
      const visitor = await person(t, { site: preset, viewport, style: "body { margin: 0; max-width: none; box-sizing: border-box; min-height: 100vh; display: grid; align-content: space-between }" });
      const covered = async () => {
        const found = [];
        for (const stop of ["The next note", "Example Gardens"]) {
          for (let i = 0; i < 20 && (await visitor.focused()).text !== stop; i++) await visitor.page.keyboard.press("Tab");
          const hidden = await visitor.page.evaluate(() => {
            const { left, right, top, bottom } = document.activeElement.getBoundingClientRect();
            const points = [0.1, 0.5, 0.9].flatMap((x) => [0.1, 0.5, 0.9].map((y) => [left + x * (right - left), top + y * (bottom - top)]));
            return points.every(([x, y]) => document.elementFromPoint(x, y) !== document.activeElement);
          });
          if (hidden) found.push(stop);
        }
        return found;
      };
      assert.deepEqual(await covered(), [], "with the first layer");
      await refuse(visitor, preset);
      assert.deepEqual(await covered(), [], "with the control that opens the settings");
    });
  }
}

/**
 * How many pixels change by 3:1 and more when what has the focus loses it, for each two CSS pixels around it (WCAG 2.2, 1.4.11 and
 * 2.4.13): 1 is enough. Measured in what is painted, so that a ring that is cut off, covered or too faint does not count.
 */
async function ring(visitor) {
  const box = await visitor.page.evaluate(() => {
    let node = document.activeElement;
    while (node.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
    window.held = node;
    return node.getBoundingClientRect().toJSON();
  });
  const { width, height } = visitor.page.viewportSize();
  const [x, y] = [Math.max(0, box.x - 10), Math.max(0, box.y - 10)];
  const clip = { x, y, width: Math.min(width, box.right + 10) - x, height: Math.min(height, box.bottom + 10) - y };
  const shoot = async () => (await visitor.page.screenshot({ clip, caret: "initial" })).toString("base64");
  const focused = await shoot();
  await visitor.page.evaluate(() => held.blur());
  const plain = await shoot();
  await visitor.page.evaluate(() => held.focus({ preventScroll: true }));
  const strong = await visitor.page.evaluate(
    async (pictures) => {
      const [one, other] = await Promise.all(
        pictures.map(async (data) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
          const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
          canvas.drawImage(bitmap, 0, 0);
          return canvas.getImageData(0, 0, bitmap.width, bitmap.height).data;
        }),
      );
      let count = 0;
      for (let i = 0; i < one.length; i += 4) {
        const same = one[i] === other[i] && one[i + 1] === other[i + 1] && one[i + 2] === other[i + 2];
        if (!same && look.contrast(one.slice(i, i + 3).values().toArray(), other.slice(i, i + 3).values().toArray()) >= 3) count++;
      }
      return count;
    },
    [focused, plain],
  );
  return strong / (4 * (box.width + box.height));
}

const pages = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  "forced colours": { forcedColors: "active" },
  // Most sites have no dark side; ours has.
  "dark, on a page that is white all the same": { colorScheme: "dark", style: ":root, body { color-scheme: light; background: #fff; color: #000 }" },
};

for (const [name, options] of Object.entries(pages)) {
  describe(`the ring of the focus is seen all around (${name})`, () => {
    const measure = async (visitor, count) => {
      const faint = {};
      for (let i = 0; i < count; i++) {
        await visitor.page.keyboard.press("Tab");
        const { tag, text, action, id } = await visitor.focused();
        // Not the host page's own; a part that scrolls is a stop too, and no control.
        if (tag === "body" || ["Example Gardens", "The next note"].includes(text) || !/^(a|button|input)$/.test(tag)) continue;
        const share = await ring(visitor);
        if (share < 1) faint[`${tag} ${action || id || text}`] = share.toFixed(2);
      }
      return faint;
    };

    for (const preset of presets) {
      test(`on the first layer and in the placeholder (${preset})`, async (t) => {
        const visitor = await person(t, { site: preset, ...options });
        assert.deepEqual(await measure(visitor, controls[preset]("en").length + 3), {});
      });
    }

    test("in the settings", async (t) => {
      const visitor = await person(t, { site: "choice", ...options });
      await openSettings(visitor, { details: false });
      assert.deepEqual(await measure(visitor, 10), {});
    });

    test("on the control that opens them again", async (t) => {
      const visitor = await person(t, { site: "choice", ...options });
      await refuse(visitor, "choice");
      await visitor.tabTo(({ action }) => action === "open");
      const share = await ring(visitor);
      assert.ok(share >= 1, `${share.toFixed(2)} of what is needed`);
    });
  });
}

// ---------------------------------------------------------------------------------------------------------------------------------
// By finger, on small screens, and with the text as somebody needs it.

/** Buttons that are less than 44 px high, links that are less than 24, as far as a finger is heard; and what cannot be touched. */
const small = (visitor, within) =>
  visitor.page.evaluate(async (within) => {
    const found = [];
    for (const node of look.ours("button, a, input").filter((node) => look.part(node) === within)) {
      node.scrollIntoView({ block: "center" });
      await new Promise(requestAnimationFrame);
      const least = node.matches("a") ? 24 : 44;
      const reach = look.reach(node);
      const { width } = node.getBoundingClientRect();
      if (reach < least - 1 || width < least) found.push(`${look.name(node)} ${width} x ${reach}`);
    }
    return found;
  }, within);

for (const preset of presets) {
  for (const lang of languages) {
    test(`at 320 px all buttons and switches are 44 px high, and nothing is cut off (${preset}, ${lang})`, async (t) => {
      const visitor = await person(t, { site: preset, lang, viewport: { width: 320, height: 568 } });
      assert.deepEqual(await visitor.page.evaluate(() => look.faults()), []);
      assert.deepEqual(await small(visitor, "banner"), []);
      await openSettings(visitor);
      assert.deepEqual(await visitor.page.evaluate(() => look.faults()), []);
      assert.deepEqual(await small(visitor, "settings"), []);
      await visitor.page.keyboard.press("Escape");
      await refuse(visitor, preset);
      assert.deepEqual(await small(visitor, "control"), []);
      assert.deepEqual(await small(visitor, "placeholder"), []);
      assert.deepEqual(await visitor.page.evaluate(() => look.faults()), []);
    });
  }

  test(`at 320 px what has changed is whole, and the buttons are in view (${preset})`, async (t) => {
    for (const lang of languages) {
      const visitor = await person(t, { site: `${preset}-2`, lang, returning: true, viewport: { width: 320, height: 568 } });
      await changes(visitor).waitFor();
      assert.deepEqual(await visitor.page.evaluate(() => look.faults()), [], lang);
      assert.deepEqual(await unreached(visitor), [], lang);
    }
  });
}

/** The settings.html of a browser without scripts. */
for (const lang of languages) {
  test(`at 320 px the settings without scripts are whole, and their targets 44 px high (${lang})`, async (t) => {
    const visitor = await person(t, { site: "choice", lang, viewport: { width: 320, height: 568 } });
    await visitor.page.goto(gallery.address("choice", `settings.html?lang=${lang}`));
    assert.deepEqual(await visitor.page.evaluate(() => look.faults()), []);
    assert.deepEqual(await small(visitor, "settings"), []);
  });
}

/** The buttons of ours that are not in the window whole, or under something else, when nobody has scrolled. */
const unreached = (visitor, within = "banner") =>
  visitor.page.evaluate((within) =>
    look
      .ours("button:not(.more)")
      .filter((node) => look.part(node) === within)
      .filter((node) => {
        const { top, bottom, left, right } = node.getBoundingClientRect();
        return top < 0 || left < 0 || bottom > innerHeight || right > innerWidth || !look.reach(node);
      })
      .map((node) => look.name(node)),
    within,
  );

for (const [size, viewport] of [
  ["320 px", { width: 320, height: 568 }],
  ["1280 by 1024 px at 400 %", { width: 320, height: 256 }],
]) {
  for (const preset of presets) {
    for (const lang of languages) {
      test(`at ${size} every button is reached, and nothing scrolls sideways (${preset}, ${lang})`, async (t) => {
        const visitor = await person(t, { site: preset, lang, viewport });
        assert.deepEqual(await visitor.page.evaluate(() => look.faults()), []);
        assert.deepEqual(await unreached(visitor), [], "on the first layer");
        // By keyboard too, and the words can be scrolled to by it.
        for (const action of controls[preset](lang).slice(1)) {
          const focus = await visitor.tabTo((focus) => focus.action === action, { most: 4 });
          assert.ok(focus.seen, action);
        }
        await openSettings(visitor, { details: false });
        assert.deepEqual(await visitor.page.evaluate(() => look.faults()), []);
        for (const wanted of [(focus) => focus.id === "switch-statistics", (focus) => focus.id === "switch-marketing", ...["forget", "close", "save"].map((name) => (focus) => focus.action === name)]) {
          const focus = await visitor.tabTo(wanted);
          assert.ok(focus.seen, JSON.stringify(focus));
        }
        // Something of what the buttons are about is there to be read.
        const left = await settings(visitor).locator(".body").evaluate((node) => node.clientHeight);
        assert.ok(left >= 44, `${left} px are left for the words`);
      });
    }
  }
}

/** WCAG 2.2, 1.4.12, in the page and in every shadow root. */
const spaced = (visitor) =>
  visitor.page.evaluate(() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(
      `*, ::slotted(*) { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }
       p, ::slotted(p) { margin-block-end: 2em !important }`,
    );
    for (const root of [document, ...look.hosts().map((host) => host.shadowRoot)]) root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
  });

for (const preset of presets) {
  for (const width of [320, 1280]) {
    test(`text with wider spacing is not cut off at ${width} px (${preset})`, async (t) => {
      for (const lang of languages) {
        const visitor = await person(t, { site: preset, lang, viewport: { width, height: width === 320 ? 568 : 800 } });
        await spaced(visitor);
        assert.deepEqual(await visitor.page.evaluate(() => look.faults()), [], `first layer, ${lang}`);
        assert.deepEqual(await unreached(visitor), [], lang);
        await openSettings(visitor);
        await spaced(visitor);
        assert.deepEqual(await visitor.page.evaluate(() => look.faults()), [], `settings, ${lang}`);
        assert.deepEqual(await unreached(visitor, "settings"), [], lang);
        await visitor.page.keyboard.press("Escape");
        await refuse(visitor, preset);
        await spaced(visitor);
        assert.deepEqual(await visitor.page.evaluate(() => look.faults()), [], `afterwards, ${lang}`);
        await visitor.context.close();
      }
    });
  }
}

// ---------------------------------------------------------------------------------------------------------------------------------
// Accepting and refusing have equal weight (EDPB cookie banner taskforce, types D and E).

for (const lang of languages) {
  for (const width of [320, 768, 1280]) {
    test(`Accept and Reject are as large, as clear and as near as each other (${lang}, ${width} px)`, async (t) => {
      const visitor = await person(t, { site: "choice", lang, viewport: { width, height: 800 } });
      const [accept, reject] = await Promise.all(
        ["accept", "reject"].map((action) =>
          control(visitor, action).evaluate((node) => {
            const { width, height } = node.getBoundingClientRect();
            const { color, backgroundColor, borderColor, borderWidth, borderStyle, borderRadius, fontFamily, fontSize, fontWeight, opacity, textDecorationLine, boxShadow } = getComputedStyle(node);
            return {
              area: width * height,
              contrast: look.legibility(node),
              style: { color, backgroundColor, borderColor, borderWidth, borderStyle, borderRadius, fontFamily, fontSize, fontWeight, opacity, textDecorationLine, boxShadow },
            };
          }),
        ),
      );
      const ratio = accept.area / reject.area;
      assert.ok(ratio >= 0.9 && ratio <= 1.1, `area ${ratio.toFixed(2)}`);
      assert.deepEqual(accept.style, reject.style);
      assert.ok(Math.abs(accept.contrast - reject.contrast) <= 1);
      assert.ok(Math.min(accept.contrast, reject.contrast) >= 4.5, `${accept.contrast} and ${reject.contrast}`);
      assert.deepEqual(await unreached(visitor), [], "both without scrolling");
      const order = await stops(visitor, 4);
      assert.equal(order.indexOf("reject") - order.indexOf("accept"), 1, "one press of Tab lies between them");
    });
  }
}

// ---------------------------------------------------------------------------------------------------------------------------------
// In a person's language.

const heading = (visitor) => banner(visitor).locator("h2").innerText();

for (const [name, { lang, asked, locale }, want] of [
  ["the page's language", { lang: "fi", locale: "de-DE" }, "fi"],
  ["the page's language, with a region", { lang: "de-AT", locale: "fi-FI" }, "de"],
  ["the browser's, where the page's is not offered", { lang: "fr", locale: "de-DE" }, "de"],
  ["the browser's, where the page says none", { lang: "", locale: "el-GR" }, "el"],
  ["the notice's own, where neither is offered", { lang: "fr", locale: "pl-PL" }, "en"],
  ["the one that is asked for, over both", { lang: "fi", locale: "de-DE", asked: "el" }, "el"],
]) {
  test(`the words are in ${name}`, async (t) => {
    const visitor = await person(t, { site: "choice", lang, asked, locale });
    assert.equal(await heading(visitor), words(want).title);
    assert.equal(await banner(visitor).count(), 1);
    assert.equal(await banner(visitor).getAttribute("lang"), want);
    assert.ok((await visitor.page.locator(".placeholder").innerText()).includes(words(want).placeholder_once));
    await openSettings(visitor);
    assert.equal(await settings(visitor).locator("h2").innerText(), words(want).settings_title);
    assert.ok((await settings(visitor).innerText()).includes(said("statistics", want, "purpose")));
    assert.deepEqual(visitor.complaints(), []);
  });
}

test("from right to left everything is mirrored, on a page from left to right too", async (t) => {
  for (const lang of ["ar", "en"]) {
    const visitor = await person(t, { site: "choice", lang, asked: "ar" });
    const at = async (action) => (await control(visitor, action).boundingBox()).x;
    assert.equal(await banner(visitor).getAttribute("dir"), "rtl");
    assert.ok((await at("accept")) > (await at("reject")) && (await at("reject")) > (await at("settings")), "the first button is at the right");
    const title = await banner(visitor).locator("h2").evaluate((node) => {
      const range = document.createRange();
      range.selectNodeContents(node);
      return node.getBoundingClientRect().right - range.getBoundingClientRect().right;
    });
    assert.ok(title < 2, "the heading begins at the right");
    await openSettings(visitor);
    const label = await settings(visitor).locator("#name-statistics").boundingBox();
    const toggle = await settings(visitor).locator("#switch-statistics").boundingBox();
    assert.ok(label.x > toggle.x, "the switch is at the left of its name");
    assert.ok((await at("forget")) > (await at("close")) && (await at("close")) > (await at("save")));
    // What begins a line is as near to the edge as what ends it is from left to right.
    const uneven = await settings(visitor).evaluate((dialog) =>
      [...dialog.querySelectorAll("table")].map((table) => {
        const [first] = table.querySelectorAll("th");
        const range = document.createRange();
        range.selectNodeContents(first);
        return Math.round(table.getBoundingClientRect().right - range.getBoundingClientRect().right);
      }),
    );
    assert.ok(uneven.every((gap) => gap <= 1), `tables begin where lines do, not ${uneven} px from there`);
    // The number of a house stays before the name of its street.
    const address = await settings(visitor).getByText("1 Example Lane").evaluate((node) => {
      const words = document.createTreeWalker(node, NodeFilter.SHOW_TEXT).nextNode();
      return [words.data.indexOf("1"), words.data.indexOf("Lane")].map((at) => {
        const range = document.createRange();
        range.setStart(words, at);
        range.setEnd(words, at + 1);
        return range.getBoundingClientRect().x;
      });
    });
    assert.ok(address[0] < address[1], "what is written from left to right is read so");
    await visitor.page.keyboard.press("Escape");
    await refuse(visitor, "choice");
    const reopen = await control(visitor, "open").boundingBox();
    assert.ok(reopen.x + reopen.width > 1280 - 40, "the control that opens the settings is where lines begin");
    await visitor.context.close();
  }
});

test("a list in Arabic has Arabic commas", async (t) => {
  const visitor = await person(t, { site: "choice", lang: "ar" });
  assert.ok((await banner(visitor).innerText()).includes(`${said("statistics", "ar", "name")}، ${said("marketing", "ar", "name")}`));
});

test("only the language that is needed is sent", async (t) => {
  const others = languages.filter((language) => language !== "el");
  const visitor = await person(t, { site: "choice-2", lang: "el", locale: "el-GR", returning: true });
  await changes(visitor).waitFor();
  await openSettings(visitor);
  const bodies = [await (await fetch(gallery.address("choice", "consent.js?lang=el"))).text()];
  for (const answer of visitor.answers) if (/\/v1\//.test(answer.url())) bodies.push(await answer.text());
  assert.ok(bodies.length >= 3, `${bodies.length} answers`);
  for (const body of bodies) {
    assert.ok(body.includes(words("el").title) || body.includes(words("el").settings_title));
    assert.doesNotMatch(body, /\p{Script=Arabic}/u);
    for (const language of others)
      for (const text of [words(language).title, words(language).reject, said("statistics", language, "purpose"), news.recipients[language].replace(/\{controller\}/, "Example Gardens Ltd")])
        assert.ok(!body.includes(text), `${language}: ${text}`);
  }
});

// ---------------------------------------------------------------------------------------------------------------------------------
// When something has changed.

/** The words of version 2 in a language, as a person reads them. */
const told = (lang) => ({
  before: said("statistics", lang, "recipients").replace("{controller}", "Example Gardens Ltd"),
  after: news.recipients[lang].replace("{controller}", "Example Gardens Ltd"),
  service: `${news.service[lang]} (Example Numbers Ltd)`,
});

for (const preset of presets) {
  for (const lang of languages) {
    test(`who returns is told what has changed, in the page's language and no other (${preset}, ${lang})`, async (t) => {
      const visitor = await person(t, { site: `${preset}-2`, lang, locale: "en-US", returning: true });
      await changes(visitor).waitFor();
      const text = await visitor.page.evaluate(() => look.text(document.querySelector("[data-consent=changes]")));
      const { before, after, service } = told(lang);
      for (const wanted of [words(lang).outdated, words(lang).changed, words(lang).before, before, words(lang).now, after, words(lang).services, service])
        assert.ok(text.includes(wanted), `${wanted} is in ${text}`);
      for (const other of languages.filter((other) => other !== lang)) {
        const strange = told(other);
        for (const unwanted of [strange.before, strange.after, news.service[other], words(other).outdated]) assert.ok(!text.includes(unwanted), unwanted);
      }
      // What has not changed is not told.
      for (const [category, unchanged] of [["marketing", "purpose"], ["statistics", "retention"]]) assert.ok(!text.includes(said(category, lang, unchanged)));
    });
  }
}

for (const preset of presets) {
  describe(`a choice that a newer notice asks about again (${preset})`, () => {
    const site = `moving-${preset}`;
    let visitor;
    let former;
    let subject;
    const records = async () => {
      const response = await fetch(gallery.address(site, "records"), { headers: { "consent-subject": subject } });
      return (await response.json()).records.map(({ leaf }) => leaf);
    };
    before(async () => {
      gallery.site(site, preset);
      visitor = await person(null, { site, lang: "de" });
      await openSettings(visitor, { details: false });
      for (const id of ["statistics", "marketing"]) await settings(visitor).locator(`#switch-${id}`).check();
      await control(visitor, "save").click();
      await control(visitor, "open").waitFor();
      await visitor.sent();
      former = await visitor.cookie();
      subject = await visitor.subject();
      // The next choice is of a later second.
      await sleep(1100);
      gallery.publish(site, preset, 2);
      await eventually("version 2 is served", async () => (await (await fetch(gallery.address(site, "consent.js?lang=de"))).text()).match(/\bv:2\b/));
      await visitor.reload();
      await banner(visitor).waitFor();
      await changes(visitor).waitFor();
    });
    after(() => visitor.context.close());

    test("the layer says why it asks, and what it was and is", async () => {
      const text = await visitor.page.evaluate(() => look.text(document.querySelector("[data-consent=banner]")));
      const { before, after, service } = told("de");
      for (const wanted of [words("de").outdated, words("de").changed, "Website-Statistik", before, after, service]) assert.ok(text.includes(wanted), wanted);
    });

    test("what it asks about does not hold meanwhile, and the other part does", async () => {
      const held = await visitor.holds();
      assert.deepEqual([held.status, held.statistics, held.marketing], ["outdated", false, true]);
    });

    test("the cookie is as it was, with the date of the choice", async () => {
      assert.equal((await visitor.cookie()).value, former.value);
      assert.equal((await records()).length, 1);
    });

    test("the settings say the same, show what holds, and when it was chosen", async () => {
      await openSettings(visitor, { details: false });
      const text = await settings(visitor).innerText();
      const { before, after, service } = told("de");
      for (const wanted of [words("de").outdated, words("de").changed, before, after, service]) assert.ok(text.includes(wanted), wanted);
      assert.deepEqual(
        [await settings(visitor).locator("#switch-statistics").isChecked(), await settings(visitor).locator("#switch-marketing").isChecked()],
        [false, true],
      );
      const date = await visitor.page.evaluate(
        (at) => new Intl.DateTimeFormat("de", { dateStyle: "long", timeStyle: "short" }).format(at),
        former.decidedAt * 1000,
      );
      assert.ok(text.includes(date), date);
      await control(visitor, "close").last().click();
      await settings(visitor).waitFor({ state: "detached" });
    });

    if (preset === "notice") {
      test("Close answers what was asked, and leaves the other part its answer", async () => {
        await refuse(visitor, preset);
        await visitor.sent();
        const all = await records();
        assert.deepEqual(all.map(({ method, granted, denied, notice }) => [method, granted, denied, notice.version]), [
          ["save", ["marketing", "statistics"], [], 1],
          ["close", [], ["statistics"], 2],
        ]);
      });
    } else {
      test("a choice in the settings answers it", async () => {
        await openSettings(visitor, { details: false });
        await control(visitor, "save").click();
        await control(visitor, "open").waitFor();
        await visitor.sent();
        const { method, denied, granted, notice } = (await records()).at(-1);
        assert.deepEqual([method, granted, denied, notice.version], ["save", ["marketing"], ["statistics"], 2]);
      });
    }

    test("the other part holds as before", async () => {
      const held = await visitor.holds();
      assert.deepEqual([held.status, held.statistics, held.marketing], ["valid", false, true]);
    });

    test("nothing is asked or told any more", async () => {
      await visitor.reload();
      await sleep(500);
      assert.equal(await banner(visitor).count(), 0);
      assert.equal(await visitor.page.locator(".changes").count(), 0);
      await openSettings(visitor, { details: false });
      assert.ok(!(await settings(visitor).innerText()).includes(words("de").outdated));
      assert.equal(await visitor.page.locator(".changes").count(), 0);
      await visitor.page.keyboard.press("Escape");
    });

    if (preset === "notice") {
      test("the other part keeps its date: the settings show when the oldest of the answers was given", async () => {
        // One cookie has one date. A later one would let the older answer hold longer than it was given for.
        assert.equal((await visitor.cookie()).decidedAt, former.decidedAt);
      });
    }
  });
}

// ---------------------------------------------------------------------------------------------------------------------------------
// What a person is handed.

for (const lang of languages) {
  test(`the consent ID and the date of the choice are shown in the page's language (${lang})`, async (t) => {
    const visitor = await person(t, { site: "choice", lang, locale: "en-US" });
    await control(visitor, "accept").click();
    await control(visitor, "open").waitFor();
    await visitor.sent();
    await openSettings(visitor, { details: false });
    const { decidedAt } = await visitor.cookie();
    const date = await visitor.page.evaluate(
      ([lang, at]) => new Intl.DateTimeFormat(lang, { dateStyle: "long", timeStyle: "short" }).format(at),
      [lang, decidedAt * 1000],
    );
    const shown = await settings(visitor).locator("[data-identity] > div").evaluateAll((pairs) =>
      pairs.map((pair) => [pair.querySelector("dt").textContent, pair.querySelector("dd").textContent]),
    );
    assert.deepEqual(shown, [
      [words(lang).consent_id, await visitor.subject()],
      [words(lang).chosen_on, date],
    ]);
  });
}

/** Presses the button that downloads the receipt and gives the file's name and bytes. */
async function download(visitor, t) {
  const [file] = await Promise.all([visitor.page.waitForEvent("download"), control(visitor, "receipt").click()]);
  const to = path.join(temporary(t), file.suggestedFilename());
  await file.saveAs(to);
  return { name: file.suggestedFilename(), bytes: readFileSync(to), to };
}

const receipt = async (site, record, subject) => {
  const response = await fetch(gallery.address(site, `records/${record}/receipt`), { headers: { "consent-subject": subject } });
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
};

for (const preset of presets) {
  test(`the receipt of a grant is downloaded, as the server gives it, and can be checked offline (${preset})`, async (t) => {
    const site = `receipt-${preset}`;
    const key = gallery.site(site, preset);
    const visitor = await person(t, { site });
    await openSettings(visitor, { details: false });
    await settings(visitor).locator("#switch-statistics").check();
    await control(visitor, "save").click();
    await control(visitor, "open").waitFor();
    await visitor.sent();
    const [{ id }] = visitor.posts();
    const subject = await visitor.subject();
    // After a reload nothing is known but the cookie.
    for (const when of ["at once", "after a reload"]) {
      await openSettings(visitor, { details: false });
      const { name, bytes, to } = await download(visitor, t);
      assert.equal(name, `consent-${id}.tlog-proof`, when);
      const want = await receipt(site, id, subject);
      assert.equal(bytes.toString(), want.toString(), when);
      assert.ok(bytes.toString().startsWith("c2sp.org/tlog-proof@v1\n"), when);
      execFileSync(binary, ["verify", to, "--key", key], { stdio: "pipe" });
      assert.equal((await visitor.focused()).action, "receipt", "the focus stays");
      await visitor.reload();
    }
    assert.deepEqual(visitor.complaints(), []);
  });

  test(`who only refused gets the receipt of that record in the same page view, and not later (${preset})`, async (t) => {
    const site = `refused-${preset}`;
    const key = gallery.site(site, preset);
    const visitor = await person(t, { site });
    await openSettings(visitor, { details: false });
    assert.ok(await control(visitor, "receipt").isHidden(), "there is none yet");
    await visitor.page.keyboard.press("Escape");
    await refuse(visitor, preset);
    await eventually("the answer", () => visitor.answers.some((answer) => answer.request().method() === "POST"));
    await visitor.sent();
    await openSettings(visitor, { details: false });
    const subject = await settings(visitor).locator("[data-identity] code").innerText();
    const [{ id }] = visitor.posts();
    const { name, bytes, to } = await download(visitor, t);
    assert.equal(name, `consent-${id}.tlog-proof`);
    assert.equal(bytes.toString(), (await receipt(site, id, subject)).toString());
    execFileSync(binary, ["verify", to, "--key", key], { stdio: "pipe" });
    assert.equal((await visitor.cookie()).subject, "-", "nobody is named by it");

    await visitor.reload();
    await openSettings(visitor, { details: false });
    assert.ok(await control(visitor, "receipt").isHidden());
    assert.ok((await settings(visitor).innerText()).includes(words("en").no_consent_id));
  });
}

// ---------------------------------------------------------------------------------------------------------------------------------
// Without motion, and on paper.

for (const reducedMotion of ["reduce", "no-preference"]) {
  test(`nothing moves by itself (prefers-reduced-motion: ${reducedMotion})`, async (t) => {
    const visitor = await person(t, { site: "choice-2", returning: true, reducedMotion });
    // Looks at every frame from here on.
    await visitor.page.evaluate(() => {
      window.moved = [];
      const watch = () => {
        for (const root of [document, ...look.hosts().map((host) => host.shadowRoot)])
          for (const animation of root.getAnimations()) moved.push(`${animation.constructor.name} on ${look.name(animation.effect.target)}`);
        requestAnimationFrame(watch);
      };
      watch();
    });
    await changes(visitor).waitFor();
    await control(visitor, "accept").hover();
    await openSettings(visitor);
    await settings(visitor).locator("#switch-statistics").check();
    await settings(visitor).locator(".body").hover();
    await visitor.page.mouse.wheel(0, 300);
    await control(visitor, "save").hover();
    await control(visitor, "save").click();
    await control(visitor, "open").waitFor();
    await openSettings(visitor);
    await control(visitor, "forget").click();
    await sleep(300);
    assert.deepEqual(await visitor.page.evaluate(() => moved), []);
  });
}

for (const preset of presets) {
  test(`on paper nothing of ours is seen (${preset})`, async (t) => {
    const visitor = await person(t, { site: preset });
    await visitor.serve("/gallery-2.html", page({ site: `${preset}-2` }));
    const printed = async () => {
      await visitor.page.emulateMedia({ media: "print" });
      const found = await visitor.page.evaluate(() => look.ours().map(look.name));
      // Nor is room kept for what is not there.
      const room = await visitor.page.evaluate(() => getComputedStyle(document.documentElement).paddingBottom);
      await visitor.page.emulateMedia({ media: "screen" });
      return room === "0px" ? found : [...found, `room for the layer: ${room}`];
    };
    const seen = { "the first layer": await printed() };
    await openSettings(visitor);
    seen["the settings"] = await printed();
    await control(visitor, "save").click();
    await control(visitor, "open").waitFor();
    seen["what was said, and the control that opens the settings"] = await printed();
    await visitor.context.addCookies([{ name: "consent", value: `1.1.${(await visitor.cookie()).decidedAt}.-..`, url: gallery.origin }]);
    await visitor.page.goto(gallery.origin + "/gallery-2.html");
    await changes(visitor).waitFor();
    seen["what has changed"] = await printed();
    assert.deepEqual(seen, { "the first layer": [], "the settings": [], "what was said, and the control that opens the settings": [], "what has changed": [] });
  });
}

test("the settings without scripts and the declaration can be printed: they are pages", async (t) => {
  const visitor = await person(t, { site: "choice" });
  for (const [name, text] of [["settings.html", words("en").settings_title], ["declaration.html", "demo_visits"]]) {
    await visitor.page.goto(gallery.address("choice", name));
    await visitor.page.emulateMedia({ media: "print" });
    assert.ok(await visitor.page.getByText(text).first().isVisible(), name);
  }
});
