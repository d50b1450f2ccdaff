// Takes the pictures that a person looks at (tests/browser/shots), and checks what can be measured of legibility.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Demo, Visitor, close, eventually, shots, sleep } from "./harness.mjs";

mkdirSync(shots, { recursive: true });
const demos = { notice: await Demo.start({ preset: "notice" }), choice: await Demo.start({ preset: "choice" }) };
after(async () => {
  await close();
  for (const demo of Object.values(demos)) await demo.stop();
});

/** What is cut off, spills over or too faint in all that the widget shows. */
const faults = (page) =>
  page.evaluate(() => {
    const found = [];
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => (value * a + under[i] * (255 - a)) / 255);
    const ground = (node) => {
      if (!node) return rgba(getComputedStyle(document.body).backgroundColor).slice(0, 3);
      const parent = node.parentElement ?? node.getRootNode().host;
      const color = rgba(getComputedStyle(node).backgroundColor);
      return color[3] === 255 ? color.slice(0, 3) : over(color, ground(parent));
    };
    const light = (color) => {
      const [r, g, b] = color.map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (a, b) => {
      const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
      return (high + 0.05) / (low + 0.05);
    };
    const name = (node) => `${node.localName}.${node.className || node.dataset.consentAction || node.id} "${node.textContent.trim().slice(0, 30)}"`;
    for (const host of document.querySelectorAll("[data-consent]")) {
      for (const node of host.shadowRoot.querySelectorAll("*")) {
        if (!node.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
        const box = node.getBoundingClientRect();
        if (!box.width || !box.height) continue;
        const style = getComputedStyle(node);
        if (box.left < -0.5 || box.right > document.documentElement.clientWidth + 0.5) found.push(`outside the window: ${name(node)} ${box.left} to ${box.right}`);
        if (node.scrollWidth > node.clientWidth + 1 && style.overflowX !== "visible") found.push(`wider than its box: ${name(node)} ${node.scrollWidth} in ${node.clientWidth}`);
        if (node.matches("button") && (node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + 1)) found.push(`cut off: ${name(node)}`);
        if (node.matches("button, a, input") && Math.min(box.width, box.height) < 24) found.push(`too small a target: ${name(node)} ${box.width} x ${box.height}`);
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
        if (own) {
          const back = ground(node);
          const ratio = contrast(over(rgba(style.color), back), back);
          if (ratio < 4.5) found.push(`too faint (${ratio.toFixed(2)}): ${name(node)}`);
          if (parseFloat(style.fontSize) < 12) found.push(`too small a text (${style.fontSize}): ${name(node)}`);
        }
      }
    }
    if (document.documentElement.scrollWidth > document.documentElement.clientWidth) found.push("the page scrolls sideways");
    return found;
  });

const heights = { 320: 568, 1280: 800 };

for (const preset of ["notice", "choice"]) {
  for (const width of [320, 1280]) {
    for (const colorScheme of ["light", "dark"]) {
      describe(`${preset}, ${width} px, ${colorScheme}`, () => {
        let visitor;
        const shoot = async (name) => {
          await visitor.page.screenshot({ path: path.join(shots, `${preset}-${width}-${colorScheme}-${name}.png`), animations: "disabled" });
        };
        const inView = async (locator) => {
          const box = await locator.boundingBox();
          return box && box.y >= 0 && box.y + box.height <= heights[width] && box.x >= 0 && box.x + box.width <= width;
        };
        before(async () => {
          visitor = await Visitor.arrive(null, demos[preset], { viewport: { width, height: heights[width] }, colorScheme });
          await visitor.visit();
          await sleep(300);
        });
        after(() => visitor.context.close());

        test("the first layer is legible, whole, and leaves the page to be seen", async () => {
          await shoot("1-first-layer");
          assert.deepEqual(await faults(visitor.page), []);
          for (const control of await visitor.layer.locator("button, a").all()) assert.ok(await inView(control), await control.innerText());
          const { height } = await visitor.layer.boundingBox();
          assert.ok(height < heights[width] * 0.8, `${height} of ${heights[width]} px`);
        });

        test("the settings are legible, and Forget my settings is in their first view", async () => {
          await visitor.button("Settings", visitor.layer).click();
          await visitor.dialog.waitFor();
          await sleep(300);
          await shoot("2-settings");
          assert.deepEqual(await faults(visitor.page), []);
          for (const name of ["Forget my settings", "Cancel", "Save"]) assert.ok(await inView(visitor.button(name, visitor.dialog)), name);
        });

        test("something of the categories is in the first view, and the rest can be scrolled to", async () => {
          const body = visitor.dialog.locator(".body");
          const { height } = await body.boundingBox();
          assert.ok(height >= 160, `only ${height} px are left for the content`);
          await body.hover();
          // A turn of the wheel that comes before the frame that it is for is lost, as it is for a person, who turns again.
          await eventually("the end", async () => {
            await visitor.page.mouse.wheel(0, 5000);
            return body.evaluate((node) => node.scrollTop + node.clientHeight >= node.scrollHeight - 1);
          });
          await shoot("3-settings-end");
          assert.ok(await inView(visitor.dialog.getByRole("link", { name: "Privacy policy" })));
          await body.evaluate((node) => (node.scrollTop = 0));
        });

        test("the open details are legible", async () => {
          for (const name of ["Website statistics", "Functional cookies"]) {
            await visitor.button("View details", visitor.dialog.getByRole("region", { name })).click();
          }
          await visitor.toggle().check();
          assert.deepEqual(await faults(visitor.page), []);
          const region = visitor.dialog.getByRole("region", { name: "Website statistics" });
          await visitor.dialog.getByRole("region", { name: "Functional cookies" }).scrollIntoViewIfNeeded();
          await shoot("4-details-functional");
          await region.evaluate((node) => node.scrollIntoView());
          await sleep(250);
          await shoot("5-details-statistics");
        });

        test("Deleted! is legible and in view, and so are the buttons", async () => {
          await visitor.button("Forget my settings", visitor.dialog).click();
          const said = visitor.dialog.getByText("Deleted!");
          await said.waitFor();
          await sleep(250);
          await shoot("6-forgotten");
          assert.ok(await inView(said));
          assert.deepEqual(await faults(visitor.page), []);
          await visitor.button("Close", visitor.dialog).click();
        });

        test("what stays on the page afterwards is legible", async () => {
          await visitor.button("Settings", visitor.layer).or(visitor.reopen).first().click();
          await visitor.button("Save", visitor.dialog).click();
          await visitor.dialog.waitFor({ state: "detached" });
          await sleep(250);
          await shoot("7-saved");
          assert.deepEqual(await faults(visitor.page), []);
          assert.ok(await inView(visitor.reopen));
          await visitor.page.locator('[data-consent="placeholder"] .placeholder').first().scrollIntoViewIfNeeded();
          await sleep(250);
          await shoot("8-placeholder");
          assert.deepEqual(await faults(visitor.page), []);
        });
      });
    }
  }
}

/** The choices of a layer can be seen and pressed without scrolling it: refusing must not be further away than reading. */
async function controlsInView(layer, height) {
  for (const control of await layer.locator("button").all()) {
    const box = await control.boundingBox();
    const outer = await layer.boundingBox();
    const name = await control.innerText();
    assert.ok(box.y >= outer.y && box.y + box.height <= Math.min(height, outer.y + outer.height), `${name} is in view without scrolling`);
  }
}

for (const preset of ["notice", "choice"]) {
  test(`${preset} in German at 320 px is legible and whole`, async (t) => {
    const visitor = await Visitor.arrive(t, demos[preset], { viewport: { width: 320, height: 568 }, locale: "de-DE", pageLang: "" });
    await visitor.visit();
    await visitor.page.screenshot({ path: path.join(shots, `${preset}-320-de-1.png`) });
    assert.deepEqual(await faults(visitor.page), []);
    await visitor.button("Einstellungen").click();
    const forget = visitor.button("Meine Einstellungen vergessen");
    await forget.waitFor();
    await visitor.page.screenshot({ path: path.join(shots, `${preset}-320-de-2.png`) });
    assert.deepEqual(await faults(visitor.page), []);
    const box = await forget.boundingBox();
    assert.ok(box.y >= 0 && box.y + box.height <= 568);
  });
}

for (const [name, preset, height, options] of [
  ["in German", "notice", 568, { locale: "de-DE", pageLang: "" }],
  ["in German", "choice", 568, { locale: "de-DE", pageLang: "" }],
  ["with a signal", "choice", 568, { gpc: true }],
  ["in a window 400 px high", "notice", 400, {}],
  ["in a window 400 px high", "choice", 400, {}],
]) {
  test(`the choices of the first layer (${preset}) are in view at 320 px ${name}`, async (t) => {
    const visitor = await Visitor.arrive(t, demos[preset], { viewport: { width: 320, height }, ...options });
    await visitor.visit();
    await visitor.page.screenshot({ path: path.join(shots, `${preset}-320x${height}-${name.replaceAll(" ", "-")}.png`) });
    assert.deepEqual(await faults(visitor.page), []);
    await controlsInView(visitor.page.locator('[data-consent="banner"]'), height);
  });
}

test("with the page's text at twice its size nothing of the widget is cut off at 640 px", async (t) => {
  const visitor = await Visitor.arrive(t, demos.notice, { viewport: { width: 640, height: 800 } });
  await visitor.visit();
  await visitor.page.evaluate(() => (document.documentElement.style.fontSize = "32px"));
  await visitor.page.screenshot({ path: path.join(shots, "notice-640-twice-1.png") });
  assert.deepEqual(await faults(visitor.page), []);
  await visitor.button("Settings", visitor.layer).click();
  await visitor.dialog.waitFor();
  await visitor.page.screenshot({ path: path.join(shots, "notice-640-twice-2.png") });
  assert.deepEqual(await faults(visitor.page), []);
});

test("in a window of 320 by 400 px the settings still show every control", async (t) => {
  const visitor = await Visitor.arrive(t, demos.notice, { viewport: { width: 320, height: 400 } });
  await visitor.visit();
  await visitor.button("Settings", visitor.layer).click();
  await visitor.dialog.waitFor();
  await visitor.page.screenshot({ path: path.join(shots, "notice-320x400-settings.png") });
  for (const name of ["Forget my settings", "Cancel", "Save"]) {
    const box = await visitor.button(name, visitor.dialog).boundingBox();
    assert.ok(box.y >= 0 && box.y + box.height <= 400, name);
  }
});

describe("what third parties read", () => {
  for (const width of [320, 1280]) {
    for (const colorScheme of ["light", "dark"]) {
      test(`the keys of the log and the description of the API fit ${width} px, ${colorScheme}`, async () => {
        const visitor = await Visitor.arrive(null, demos.notice, { viewport: { width, height: heights[width] }, colorScheme });
        for (const [name, address] of [["log-keys", "/v1/sites/demo/log/keys.html"], ["docs", "/docs"]]) {
          await visitor.page.goto(demos.notice.origin + address);
          await visitor.page.screenshot({ path: path.join(shots, `${name}-${width}-${colorScheme}.png`) });
          assert.deepEqual(await faults(visitor.page), [], name);
        }
        await visitor.context.close();
      });
    }
  }
});
