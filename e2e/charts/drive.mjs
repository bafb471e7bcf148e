// Opens pages of figures in Chromium, from files and without a network, and
// looks for what is drawn: drive.mjs PAGE=KIND..., KIND as in kinds below.

import assert from "node:assert/strict";
import path from "node:path";

const { chromium } = await import(process.env.PLAYWRIGHT);
const shots = process.env.SHOTS;
const root = process.getuid() === 0 ? ["--no-sandbox"] : [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: root });

// What must be on each kind of page.
const kinds = {
  bench: {
    headings: ["Over time", "Distribution of latencies", "Figures", "What was run"],
    figures: ["Latency, from when a request was due", "Answered well", "Errors: none", "Under way at the window's end", "Server's CPU", "Server's memory",
      "How often which latency", "Share that is not slower", "Towards the slowest"],
    data: (d) => assert.ok(d.ok > 0 && d.windows.length > 3 && d.run.command[1] === "bench" && d.run.machine.cpu, "the result as data"),
  },
  errors: { headings: ["Over time"], figures: ["Errors"], data: (d) => assert.ok(d.sent > d.ok) },
  slo: { headings: ["The highest rate that holds "], figures: ["Latency at p"], data: (d) => assert.ok(d.slo.steps.length > 1) },
  compare: { headings: ["Compared with an earlier run"], figures: ["Answered well"], data: (d) => assert.ok(d.ok > 0) },
  bursts: { headings: ["Bursts from zero"], figures: ["Answered well"], data: (d) => assert.equal(d.bursts.length, 2) },
};

async function open(file, options) {
  const context = await browser.newContext({ offline: true, ...options });
  const page = await context.newPage();
  page.wrong = [];
  page.on("console", (m) => page.wrong.push(`console ${m.type()}: ${m.text()}`));
  page.on("pageerror", (e) => page.wrong.push("error: " + e.message));
  page.on("request", (r) => r.url() !== url(file) && !r.url().startsWith("data:") && page.wrong.push("request to " + r.url()));
  await page.goto(url(file));
  return page;
}
const url = (file) => "file://" + path.resolve(file);

// drawn asks the browser itself where each mark is: it must have a size, lie
// within its figure, and be told by a title.
const drawn = (page) => page.evaluate(() => [...document.querySelectorAll("figure svg.chart")].map((svg) => {
  const frame = svg.getBoundingClientRect();
  const outside = [...svg.querySelectorAll("text, .line, .bar, .band, .axis")].filter((e) => {
    const b = e.getBoundingClientRect();
    return b.left < frame.left - 1 || b.right > frame.right + 1 || b.top < frame.top - 1 || b.bottom > frame.bottom + 1;
  }).map((e) => e.textContent.slice(0, 40) || e.getAttribute("class"));
  const texts = [...svg.querySelectorAll("text")].map((e) => ({ text: e.textContent, box: e.getBoundingClientRect() })).filter((t) => t.text);
  const over = [];
  for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
    const [a, b] = [texts[i].box, texts[j].box];
    if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3) over.push(texts[i].text + " | " + texts[j].text);
  }
  return {
    title: svg.querySelector(".title").textContent,
    lines: [...svg.querySelectorAll("path.line")].map((l) => l.getTotalLength()),
    colours: new Set([...svg.querySelectorAll("path.line")].map((l) => getComputedStyle(l).stroke)).size,
    axis: svg.querySelectorAll(".axis").length, ticks: svg.querySelectorAll(".tick").length,
    untitled: [...svg.querySelectorAll(".line, .dot, .bar")].filter((e) => !e.closest("g:has(> title)") && !e.querySelector("title")).length,
    outside, over,
  };
}));

// contrast is that of a figure's letters with what is behind them.
const contrast = (page) => page.evaluate(() => {
  const light = (c) => c.match(/[\d.]+/g).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const bad = [];
  for (const svg of document.querySelectorAll("svg.chart")) {
    const back = light(getComputedStyle(svg.querySelector(".back")).fill);
    const against = (name, colour, least) => {
      const ratio = (Math.max(light(colour), back) + 0.05) / (Math.min(light(colour), back) + 0.05);
      if (ratio < least) bad.push(`${name}: ${ratio.toFixed(2)}`);
    };
    for (const t of svg.querySelectorAll("text")) against(t.textContent, getComputedStyle(t).fill, 4.5);
    for (const l of svg.querySelectorAll("path.line")) against("line of " + svg.querySelector(".title").textContent, getComputedStyle(l).stroke, 3);
  }
  return bad;
});

let failed = false;
for (const arg of process.argv.slice(2)) {
  const [file, kind] = arg.split("=");
  const want = kinds[kind];
  for (const colorScheme of ["light", "dark"]) for (const width of [1280, 390]) {
    const name = `${path.basename(file, ".html")}-${colorScheme}-${width}`;
    try {
      const page = await open(file, { colorScheme, viewport: { width, height: 900 }, javaScriptEnabled: true });
      const headings = await page.$$eval("h2", (all) => all.map((h) => h.textContent));
      for (const h of want.headings) assert.ok(headings.some((got) => got.startsWith(h)), `want the heading ${h}, got ${headings}`);
      const figures = await drawn(page);
      for (const title of want.figures) {
        const f = figures.find((f) => f.title.startsWith(title));
        assert.ok(f, `want the figure ${title}, got ${figures.map((f) => f.title)}`);
        assert.ok(f.lines.length > 0 && f.lines.every((l) => l > 0), `${title}: want lines of some length, got ${f.lines}`);
        assert.ok(f.axis === 1 && f.ticks >= 5, `${title}: want an axis with ticks, got ${f.ticks}`);
        assert.equal(f.colours, Math.min(f.lines.length, 8), `${title}: want a colour for each line`);
      }
      for (const f of figures) {
        assert.deepEqual(f.outside, [], `${f.title}: drawn outside`);
        assert.deepEqual(f.over, [], `${f.title}: texts over each other`);
        assert.equal(f.untitled, 0, `${f.title}: marks without a title`);
      }
      assert.deepEqual(await contrast(page), [], "contrast");
      want.data(JSON.parse(await page.textContent("#data")));
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "the page is wider than the window");
      assert.equal(await page.locator("script:not([type='application/json'])").count(), 0);
      assert.deepEqual(page.wrong, []);
      if (shots) await page.screenshot({ path: path.join(shots, name + ".png"), fullPage: true });
      await page.context().close();
      console.log("ok   " + name);
    } catch (err) {
      failed = true;
      console.log("FAIL " + name + "\n" + err.message);
    }
  }
}
// Without scripts, and on paper, all is there as well.
const page = await open(process.argv[2].split("=")[0], { javaScriptEnabled: false, colorScheme: "dark" });
assert.ok((await page.locator("path.line").count()) > 5);
await page.emulateMedia({ media: "print", colorScheme: "dark" });
if (shots) await page.pdf({ path: path.join(shots, "print.pdf") });
await page.context().close();
await browser.close();
process.exit(failed ? 1 : 0);
