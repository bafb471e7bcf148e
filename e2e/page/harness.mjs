// A browser with the page open, and steps that say what failed.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";

const { chromium } = await import(process.env.PLAYWRIGHT);
const shots = process.env.SHOTS;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

let failed = 0, passed = 0;

export async function step(name, f) {
  try {
    await f();
    passed++;
    console.log("ok   " + name);
  } catch (err) {
    failed++;
    console.log("FAIL " + name + "\n" + String(err.stack || err).slice(0, 3000).replace(/^/gm, "     "));
  }
}

export async function finish() {
  await browser.close();
  console.log(`${passed} passed, ${failed} failed, in Chromium ${browser.version()}`);
  process.exit(failed ? 1 : 0);
}

// open gives a page and what went wrong on it: lines of the console, errors of
// scripts, requests to other hosts. options are playwright's for a context,
// and routes to answer instead of the server.
export async function open(url, { routes = {}, ready = "#columns:not([hidden])", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, permissions: ["clipboard-read", "clipboard-write"], ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.wrong = [];
  page.refused = 0; // answers of the server that Chromium's console calls errors
  page.on("console", (m) => {
    if (/^Failed to load resource: the server responded with a status of 4/.test(m.text())) page.refused++;
    else page.wrong.push(`console ${m.type()}: ${m.text()}`);
  });
  page.on("pageerror", (err) => page.wrong.push("error: " + err.message));
  page.on("request", (r) => {
    const to = new URL(r.url());
    if (to.protocol !== "data:" && to.origin !== new URL(url).origin) page.wrong.push("request to " + to);
  });
  for (const [pattern, f] of Object.entries(routes)) await page.route(pattern, f);
  page.first = await page.goto(url);
  if (ready) await page.waitForSelector(ready);
  return page;
}

export async function close(page, refused = 0) {
  const { wrong, refused: got } = page;
  await page.context().close();
  assert.deepEqual(wrong, []);
  assert.equal(got, refused, "answers with an error status");
}

export const shoot = (page, name) => page.screenshot({ path: path.join(shots, name + ".png"), fullPage: true });

// send presses the button and waits for the answer or the error.
export async function send(page, press = () => page.click("#form .primary")) {
  await page.evaluate(() => document.getElementById("result").replaceChildren());
  await press();
  await page.waitForSelector("#whole, #error", { state: "attached" });
}

// set is fill for a large text, which Chromium takes a minute to type.
export const set = (page, text) => page.$eval("#body", (area, to) => {
  area.value = to;
  area.dispatchEvent(new Event("input", { bubbles: true }));
}, text);

export const whole = async (page) => JSON.parse(await page.textContent("#whole"));
export const body = async (page) => JSON.parse(await page.inputValue("#body"));

// table reads the text of a table's cells by row.
export const table = (page, selector) =>
  page.$$eval(selector + " tr", (rows) => rows.map((r) => [...r.children].map((c) => c.textContent)));

// copied runs the line that the button copies, in bash, and gives its output.
export async function copied(page) {
  await page.evaluate(() => navigator.clipboard.writeText(""));
  await page.click("#copy-curl");
  await page.waitForFunction(async () => (await navigator.clipboard.readText()) !== "");
  const line = await page.evaluate(() => navigator.clipboard.readText());
  return { line, out: execFileSync("bash", { input: line, encoding: "utf8", maxBuffer: 1 << 28 }) };
}

// anonymous is an answer without what differs between two equal ones.
export function anonymous(answer) {
  delete answer.parameters?.prediction_id;
  return answer;
}

// paint draws lines with the mouse; points are shares of the picture's sides.
export async function paint(page, lines, button = "left") {
  const box = await page.locator("#picture").boundingBox();
  for (const line of lines) {
    const at = line.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
    await page.mouse.move(...at[0]);
    await page.mouse.down({ button });
    for (const p of at.slice(1)) await page.mouse.move(...p, { steps: 4 });
    await page.mouse.up({ button });
  }
}

// contrasts are the texts whose colour is too near to what is behind them.
export const contrasts = (page) => page.evaluate(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    const [r, g, b, a] = node ? rgba(getComputedStyle(node).backgroundColor) : [255, 255, 255, 255];
    if (a === 255) return [r, g, b];
    const under = behind(node.parentElement);
    return [r, g, b].map((c, i) => c * a / 255 + under[i] * (1 - a / 255));
  };
  const bad = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement, style = getComputedStyle(node);
    if (!texts.currentNode.data.trim() || !node.checkVisibility() || node.closest(".away, noscript, script, style, [inert]")) continue;
    const [a, b] = [light(rgba(style.color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700;
    if (ratio < (large ? 3 : 4.5)) bad.push(`${ratio.toFixed(2)} ${texts.currentNode.data.trim().slice(0, 30)}`);
  }
  return bad;
});
