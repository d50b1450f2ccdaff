// Takes the pictures that a person looks at (tests/browser/shots/gallery-*), in five languages, and checks that nothing in them is cut off.
//
// A file for each preset, language, width and colour scheme: the first layer, the placeholder with what stays on the page, what has
// changed, the settings. And one with all of the settings, their details open.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Gallery, arrive, control, openSettings, presets, settings } from "./gallery.mjs";
import { close, shots } from "./harness.mjs";

mkdirSync(shots, { recursive: true });
const gallery = await Gallery.start();
after(async () => {
  await close();
  await gallery.stop();
});

const heights = { 320: 568, 768: 800, 1280: 800 };
const all = ["light", "dark"].flatMap((colorScheme) => Object.keys(heights).map((width) => [+width, colorScheme]));
const few = [
  [320, "light"],
  [1280, "light"],
];
const shown = { en: all, de: all, el: few, ar: few, fi: few };

const file = (...name) => path.join(shots, `gallery-${name.join("-")}.png`);

/** Pictures beside each other in one file. */
async function together(visitor, pictures, columns, to) {
  const page = await visitor.context.newPage();
  const images = pictures.map((picture) => `<img src="data:image/png;base64,${picture.toString("base64")}">`).join("");
  await page.setContent(`<!doctype html><style>body { margin: 0; background: #888; display: inline-grid; gap: 8px; grid: auto / repeat(${columns}, auto) }</style>${images}`);
  await page.waitForFunction(() => [...document.images].every((image) => image.complete));
  await page.locator("body").screenshot({ path: to });
  await page.close();
}

for (const preset of presets) {
  for (const [lang, looks] of Object.entries(shown)) {
    for (const [width, colorScheme] of looks) {
      describe(`${preset}, ${lang}, ${width} px, ${colorScheme}`, () => {
        const viewport = { width, height: heights[width] };
        const pictures = [];
        let visitor;
        const shoot = async (who = visitor) => {
          pictures.push(await who.page.screenshot());
          assert.deepEqual(await who.page.evaluate(() => look.faults()), []);
        };
        before(async () => {
          visitor = await arrive(null, gallery, { site: preset, lang, viewport, colorScheme });
        });
        after(async () => {
          if (pictures.length) await together(visitor, pictures, width === 320 ? 4 : 2, file(preset, lang, width, colorScheme));
          await visitor.context.close();
        });

        test("the first layer", () => shoot());

        test("the settings", async () => {
          await openSettings(visitor, { details: false });
          await shoot();
        });

        test("what stays on the page", async () => {
          await control(visitor, "save").click();
          await control(visitor, "open").waitFor();
          await visitor.page.locator(".placeholder").scrollIntoViewIfNeeded();
          await shoot();
        });

        test("what has changed", async (t) => {
          const again = await arrive(t, gallery, { site: `${preset}-2`, lang, viewport, colorScheme, returning: true });
          await again.page.locator(".changes").waitFor();
          await shoot(again);
        });
      });
    }
  }
}

// The dialog is the same in both presets.
for (const [lang, looks] of Object.entries(shown)) {
  for (const [width, colorScheme] of looks) {
    test(`all of the settings: ${lang}, ${width} px, ${colorScheme}`, async (t) => {
      const visitor = await arrive(t, gallery, { site: "choice-2", lang, viewport: { width, height: heights[width] }, colorScheme, returning: true });
      await visitor.page.locator(".changes").waitFor();
      await openSettings(visitor);
      const wanted = await settings(visitor).evaluate((dialog) => {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync("dialog { max-height: none !important } .body { overflow: visible !important }");
        dialog.getRootNode().adoptedStyleSheets.push(sheet);
        return dialog.scrollHeight;
      });
      await visitor.page.setViewportSize({ width, height: wanted + 64 });
      await settings(visitor).locator("header").hover();
      await settings(visitor).screenshot({ path: file("settings", lang, width, colorScheme) });
      assert.deepEqual(await visitor.page.evaluate(() => look.faults()), []);
    });
  }
}

// Forced colours take everything but what says something.
for (const preset of presets) {
  test(`forced colours: ${preset}`, async (t) => {
    const pictures = [];
    const viewport = { width: 768, height: 800 };
    const visitor = await arrive(t, gallery, { site: preset, viewport, forcedColors: "active" });
    pictures.push(await visitor.page.screenshot());
    await openSettings(visitor);
    await settings(visitor).locator("#switch-statistics").check();
    await settings(visitor).locator("#switch-statistics").evaluate((node) => node.scrollIntoView({ block: "center" }));
    pictures.push(await visitor.page.screenshot());
    await control(visitor, "save").click();
    await control(visitor, "open").waitFor();
    pictures.push(await visitor.page.screenshot());
    const again = await arrive(t, gallery, { site: `${preset}-2`, viewport, forcedColors: "active", returning: true });
    await again.page.locator(".changes").waitFor();
    pictures.push(await again.page.screenshot());
    await together(visitor, pictures, 2, file(preset, "forced-colours"));
  });
}
