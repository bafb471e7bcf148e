// The page of godwit cost in a browser: everything that should be drawn is, in
// light, in dark and on paper, and nothing is fetched.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { close, finish, open, shoot, step } from "../page/harness.mjs";

const [file, document] = process.argv.slice(2);
const report = JSON.parse(readFileSync(document, "utf8"));
const known = report.targets.filter((t) => t.at_rate);

await step("what was measured is in the document", () => {
  assert.equal(report.schema, "godwit.dev/cost/v1");
  const { service, busy, start, memory_bytes: memory } = report.times;
  assert.ok(service[0].p50_ms > 0 && service[0].n > 100, JSON.stringify(service));
  assert.ok(service.at(-1).rows > 1, "the model takes more rows than one");
  assert.ok(busy.p50_ms > 0 && busy.p50_ms < 10 * service[0].p50_ms, JSON.stringify(busy));
  assert.ok(start.p50_ms > service[0].p50_ms && start.n === 7, JSON.stringify(start));
  assert.ok(memory > 1 << 20, String(memory));
  assert.ok(known.length > 12, `${known.length} targets with figures`);
});

for (const colorScheme of ["light", "dark"]) {
  const page = await open(pathToFileURL(file).href, { colorScheme, ready: "main" });
  await step(`${colorScheme}: lines, bars, axes, tables`, async () => {
    const drawn = await page.evaluate(() => {
      const count = (selector) => [...document.querySelectorAll(selector)].filter((e) => {
        const box = e.getBoundingClientRect();
        return box.width + box.height > 0;
      }).length;
      return {
        lines: count("svg .line"), bars: count("svg .bar"), axes: count("svg .axis"), verticals: count("svg .vertical"), titles: document.querySelectorAll("svg title").length,
        tables: count("table"), rows: count("table tr"), tiles: count(".tile"),
        wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        page: getComputedStyle(document.body).backgroundColor,
      };
    });
    assert.ok(drawn.lines >= 6 && drawn.axes >= 2 && drawn.verticals >= 2 && drawn.titles > 20, JSON.stringify(drawn));
    assert.equal(drawn.bars, known.length, JSON.stringify(drawn));
    assert.ok(drawn.tables >= 5 && drawn.rows > 60 && drawn.tiles >= 4, JSON.stringify(drawn));
    assert.equal(drawn.wide, 0, "the page is no wider than the window");
    const light = /rgb\((\d+)/.exec(drawn.page)[1] > 128;
    assert.equal(light, colorScheme === "light", drawn.page);
  });
  await step(`${colorScheme}: the data in the page are the document`, async () => {
    const data = JSON.parse(await page.textContent("#data"));
    assert.deepEqual(data, report);
  });
  await shoot(page, `cost-${colorScheme}`);
  if (colorScheme === "light") {
    await step("on paper there is a page of it", async () => {
      const pdf = await page.pdf({ path: path.join(process.env.SHOTS, "cost.pdf") });
      assert.ok(pdf.length > 10_000);
    });
  }
  await step(`${colorScheme}: nothing went wrong, and nothing was fetched`, () => close(page));
}
await finish();
