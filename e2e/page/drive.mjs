// Drives the page of three servers in a browser: digits, penguins, and one
// with many models and no recorded request.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { anonymous, body, close, contrasts, copied, finish, open, paint, send, set, shoot, step, table, whole } from "./harness.mjs";

const [digits, penguins, many] = process.argv.slice(2);
const examples = process.env.EXAMPLES;
const json = async (url, options) => (await fetch(url, options)).json();
const pixels = (page) => body(page).then((b) => b.inputs[0].data.flat(Infinity));
const answered = (page, text) => page.waitForFunction((t) => document.getElementById("status").textContent === t, text);

await step("headers", async () => {
  const r = await fetch(digits);
  const policy = r.headers.get("content-security-policy");
  assert.match(policy, /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; /);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.equal(r.headers.get("x-content-type-options"), "nosniff");
  const again = await fetch(digits, { headers: { "If-None-Match": r.headers.get("etag") } });
  assert.equal(again.status, 304);
});

await step("digits: loads, shows the model", async () => {
  const page = await open(digits);
  const meta = await json(digits + "v2/models/digits");
  assert.equal(await page.title(), "digits · Godwit");
  assert.equal(await page.textContent(".model .state"), "READY");
  assert.equal(await page.getAttribute(".model dd code", "title"), meta.properties.digest);
  const shape = (t) => t.shape.map((d) => (d < 0 ? "batch" : d)).join(", ");
  const want = (part) => [["type", "shape"], ...meta[part].map((t) => [t.datatype, `[${shape(t)}]`])];
  for (const [i, part] of ["inputs", "outputs"].entries()) {
    const rows = await table(page, `.signature:nth-of-type(${i + 1})`);
    assert.deepEqual(rows.map((r) => r.slice(1)), want(part));
    assert.deepEqual(rows.slice(1).map((r) => r[0]), meta[part].map((t) => t.name));
  }
  const names = await page.$$eval("#example option", (all) => all.map((o) => o.value));
  assert.deepEqual(names, ["1", "2", "3", "4", "5", "6", "7", "8", "several"]);
  assert.deepEqual(await pixels(page), JSON.parse(readFileSync(path.join(examples, "digits/requests/digits/1.json"))).inputs[0].data);
  // A row of the picture is a line of the text.
  assert.match(await page.inputValue("#body"), /\n *0, +0, +0, 12, 13, +5, +0, +0,\n/);
  await close(page);
});

await step("digits: held-out rows by the text area", async () => {
  const page = await open(digits);
  const [, ...rows] = readFileSync(path.join(examples, "digits/heldout.csv"), "utf8").trim().split("\n").map((l) => l.split(",").map(Number));
  const wrong = [];
  for (const [index, label, ...data] of rows.slice(0, 120).filter((_, i) => i % 3 === 0)) {
    await page.fill("#body", JSON.stringify({ inputs: [{ name: "pixels", shape: [1, 64], datatype: "FP32", data }] }));
    await send(page, () => page.press("#body", "Control+Enter"));
    const best = await page.textContent(".bars .best th");
    assert.equal(await page.textContent(".hero"), best);
    if (best !== String(label)) wrong.push(index);
  }
  const known = JSON.parse(readFileSync(path.join(examples, "digits/heldout.json"))).mistakes.map((m) => m.index);
  assert.deepEqual(wrong.filter((i) => !known.includes(i)), [], "rows of the data set that are not known mistakes");
  await close(page);
});

await step("digits: the answer, its bars, times and identity", async () => {
  const page = await open(digits);
  await send(page);
  const answer = await whole(page), shares = answer.outputs[1].data;
  assert.equal(await page.textContent(".hero"), "1");
  const rows = await table(page, ".bars");
  assert.deepEqual(rows.map((r) => r[0]), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  assert.deepEqual(rows.map((r) => r[2]), shares.map((s) => s.toFixed(4)));
  const widths = await page.$$eval(".bars .bar", (all) => all.map((b) => b.getBoundingClientRect().width / b.parentNode.getBoundingClientRect().width));
  widths.forEach((w, i) => assert.ok(Math.abs(w - shares[i]) < 0.02, `bar ${i} is ${w}, its share ${shares[i]}`));
  assert.equal(await page.textContent("#prediction"), answer.parameters.prediction_id);
  assert.match(await page.textContent("#took"), /^\d+(\.\d)? ms$/);
  await page.waitForSelector("#server:visible");
  assert.match(await page.textContent("#server"), /^queue [\d.]+ (µs|ms), compute [\d.]+ (µs|ms)$/);
  await shoot(page, "digits");
  await close(page);
});

await step("digits: several rows", async () => {
  const page = await open(digits);
  await page.selectOption("#example", "several");
  await send(page);
  const answer = await whole(page), labels = answer.outputs[0].data;
  const rows = await table(page, ".batch tbody");
  assert.deepEqual(rows.map((r) => r[1]), labels.map(String));
  assert.equal(await page.locator(".batch canvas").count(), 12);
  assert.equal(await page.locator(".chip canvas").count(), 12);
  await page.click(".chip >> nth=4");
  assert.equal(await page.getAttribute(".chip >> nth=4", "aria-pressed"), "true");
  const before = await pixels(page);
  await page.uncheck("#live");
  await paint(page, [[[0.06, 0.06], [0.9, 0.06]]]);
  const after = await pixels(page);
  assert.deepEqual(after.filter((_, i) => Math.floor(i / 64) !== 4), before.filter((_, i) => Math.floor(i / 64) !== 4));
  assert.notDeepEqual(after, before);
  await shoot(page, "digits-several");
  await page.click("[aria-label='remove this row']");
  assert.deepEqual((await body(page)).inputs[0].shape, [11, 64]);
  assert.deepEqual(await pixels(page), before.filter((_, i) => Math.floor(i / 64) !== 4));
  await page.click("[aria-label='add a row']");
  assert.deepEqual((await body(page)).inputs[0].shape, [12, 64]);
  await send(page);
  assert.equal(await page.locator(".batch tbody tr").count(), 12);
  await close(page);
});

await step("digits: painting", async () => {
  const page = await open(digits);
  await page.uncheck("#live");
  await page.click("#clear");
  assert.deepEqual(await pixels(page), Array(64).fill(0));
  const strokes = {
    "label: 1": [[[0.35, 0.3], [0.52, 0.12], [0.52, 0.92]]],
    "label: 4": [[[0.5, 0.1], [0.25, 0.6], [0.75, 0.6]], [[0.6, 0.4], [0.55, 0.95]]],
    "label: 5": [[[0.72, 0.1], [0.35, 0.1], [0.33, 0.45], [0.62, 0.45], [0.72, 0.65], [0.55, 0.9], [0.28, 0.85]]],
  };
  await page.check("#live");
  for (const [status, lines] of Object.entries(strokes)) {
    await page.click("#clear");
    await paint(page, lines);
    await answered(page, status); // by itself, after the stroke
    const values = await pixels(page);
    assert.ok(values.every((v) => Number.isInteger(v) && v >= 0 && v <= 16) && values.includes(16), String(values));
  }
  await shoot(page, "digits-painted");
  await page.uncheck("#live");
  const inked = (await pixels(page)).reduce((a, b) => a + b);
  await paint(page, [[[0.1, 0.5], [0.9, 0.5]]], "right");
  const erased = (await pixels(page)).reduce((a, b) => a + b);
  assert.ok(erased < inked, `${inked} before, ${erased} after`);
  // By keyboard.
  await page.click("#clear");
  await page.focus("#picture");
  for (const key of ["ArrowUp", "ArrowLeft", "ArrowLeft", " "]) await page.keyboard.press(key);
  assert.equal((await pixels(page))[3 * 8 + 2], 16);
  await page.keyboard.press("Delete");
  assert.equal((await pixels(page))[3 * 8 + 2], 0);
  // What is typed is drawn, and waits where it is not whole.
  const dark = () => page.evaluate(() => document.getElementById("picture").getContext("2d").getImageData(0, 0, 1, 1).data[0] < 128);
  await page.fill("#body", JSON.stringify({ inputs: [{ name: "pixels", shape: [1, 64], datatype: "FP32", data: [16, ...Array(63).fill(0)] }] }));
  assert.ok(await dark());
  await page.fill("#body", '{"inputs": [');
  assert.ok(await page.$eval("#editor", (e) => e.inert));
  assert.match(await page.textContent("#body-note"), /^Not JSON yet: /);
  assert.equal(await page.getAttribute("#body", "aria-invalid"), "true");
  await close(page);
});

await step("errors are the server's", async () => {
  const page = await open(digits);
  const right = await body(page);
  const cases = {
    "broken JSON": '{"inputs": [1, 2',
    "wrong shape": JSON.stringify({ inputs: [{ ...right.inputs[0], shape: [2, 32] }] }),
    "too few": JSON.stringify({ inputs: [{ ...right.inputs[0], data: [1] }] }),
    "wrong name": JSON.stringify({ inputs: [{ ...right.inputs[0], name: "it's" }] }),
  };
  for (const [name, text] of Object.entries(cases)) {
    await page.fill("#body", text);
    await send(page);
    const want = await json(digits + "v2/models/digits/infer", { method: "POST", headers: { "Content-Type": "application/json" }, body: text });
    assert.equal(await page.textContent("#error"), want.error, name);
    assert.equal(await page.textContent("#result .error strong"), want.code + " · HTTP 400", name);
    assert.equal(await page.getAttribute("#result .error", "role"), "alert");
    assert.deepEqual(JSON.parse((await copied(page)).out), want, name + " by curl");
    if (name === "wrong shape") await shoot(page, "error");
  }
  await page.route("**/infer", (r) => r.abort());
  await send(page);
  assert.equal(await page.textContent("#result .error strong"), "No answer");
  page.wrong = page.wrong.filter((w) => !w.includes("net::ERR_FAILED"));
  await close(page, 4);
});

await step("curl answers as the page does", async () => {
  for (const [url, names] of [[digits, ["1", "several"]], [penguins, ["1", "several"]]]) {
    const page = await open(url);
    for (const name of names) {
      await page.selectOption("#example", name);
      await send(page);
      const { line, out } = await copied(page);
      assert.equal(await page.textContent("#curl"), line);
      assert.deepEqual(anonymous(JSON.parse(out)), anonymous(await whole(page)));
    }
    await close(page);
  }
});

await step("curl with every character, and with a large body", async () => {
  const page = await open(many);
  await page.selectOption("#model", "text");
  const hard = ["it's a \"test\" '\\'' $HOME `id` $(id) !! \\ \\n %s @ * ~ & ; | < > #", "é ü 漢 🐧\t\n\u0001\u2028 <b>"];
  const ask = (data) => set(page, JSON.stringify({ inputs: [{ name: "x", shape: [data.length / 2, 2], datatype: "BYTES", data }] }, null, 1));
  await ask(hard);
  await send(page);
  const small = await copied(page);
  assert.deepEqual(JSON.parse(small.out).outputs[0].data, hard);
  assert.deepEqual((await whole(page)).outputs[0].data, hard);
  assert.ok(small.line.includes("--data-raw"));
  const long = Array.from({ length: 4000 }, (_, i) => hard[i % 2] + i);
  await ask(long);
  await send(page);
  const large = await copied(page);
  assert.deepEqual(JSON.parse(large.out).outputs[0].data, long);
  assert.ok(large.line.length > 131072);
  await close(page);
});

await step("copying without a secure context, and another choice", async () => {
  const page = await open(digits);
  await page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
  await page.click("#copy-curl");
  await page.waitForFunction(() => document.getElementById("copy-curl").textContent === "Copied");
  const reader = await page.context().newPage();
  await reader.goto(digits);
  assert.equal(await reader.evaluate(() => navigator.clipboard.readText()), await page.textContent("#curl"));
  await reader.close();
  // An answer does not stay beside another request.
  await send(page);
  await page.selectOption("#example", "2");
  assert.equal(await page.textContent("#result"), "Nothing sent yet.");
  assert.equal(await page.textContent("#status"), "");
  await close(page);
});

await step("penguins: fields, strings, several rows", async () => {
  const page = await open(penguins);
  await send(page);
  assert.equal(await page.textContent(".hero"), "Adelie");
  assert.deepEqual((await table(page, ".bars")).map((r) => r[0]), ["Adelie", "Chinstrap", "Gentoo"]);
  await shoot(page, "penguins");
  const names = await page.$$eval(".fields label span", (all) => all.map((s) => s.textContent));
  assert.deepEqual(names, ["island", "sex", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]);
  await page.getByLabel("island").fill("Biscoe \"'\\");
  await page.getByLabel("island").fill("Biscoe");
  await page.getByLabel("bill_length_mm").fill("46.10");
  await page.getByLabel("bill_depth_mm").fill("13.2");
  await page.getByLabel("flipper_length_mm").fill("211");
  await page.getByLabel("body_mass_g").fill("4500");
  assert.match(await page.inputValue("#body"), /"data": \[46\.10\]/); // as typed
  await page.getByLabel("body_mass_g").fill("heavy");
  assert.equal(await page.getByLabel("body_mass_g").getAttribute("aria-invalid"), "true");
  assert.deepEqual((await body(page)).inputs[5].data, [4500]);
  await page.getByLabel("body_mass_g").press("Control+Enter");
  await answered(page, "output_label: Gentoo");
  assert.equal(await page.textContent(".bars .best th"), "Gentoo");
  await page.selectOption("#example", "several");
  await send(page);
  const answer = await whole(page);
  assert.deepEqual((await table(page, ".batch tbody")).map((r) => r[1]), answer.outputs[0].data);
  await page.click(".chip >> nth=2");
  assert.equal(await page.getByLabel("island").inputValue(), (await body(page)).inputs[0].data[2]);
  await shoot(page, "penguins-several");
  await close(page);
});

await step("what a model says is text, never markup", async () => {
  const page = await open(many);
  await page.selectOption("#model", "text");
  const evil = '<img src="x" onerror="document.title=1"><script>document.title=2</script>';
  await page.getByLabel("x[0]").fill(evil);
  await send(page);
  assert.equal(await page.textContent(".plain td"), evil);
  assert.equal(await page.locator("img").count(), 0);
  assert.equal(await page.title(), "text · Godwit");
  await close(page);
});

await step("several models, versions, and no recorded request", async () => {
  const page = await open(many);
  const keys = await page.$$eval("#model option", (all) => all.map((o) => o.value));
  assert.deepEqual(keys, ["colours", "empty", "flags", "grey", "large", "text", "whole, version 1", "whole, version 2"]);
  assert.equal(await page.locator(".model").count(), 8);
  assert.ok(await page.isVisible("#no-example"));
  assert.ok(!(await page.isVisible("#example")));
  await shoot(page, "many");
  await page.selectOption("#model", "whole, version 1");
  const exact = ["9007199254740993", "-9223372036854775808", "9223372036854775807"];
  for (const [i, text] of exact.entries()) await page.getByLabel(`x[${i}]`).fill(text);
  await send(page);
  assert.deepEqual((await table(page, ".plain tbody"))[0], exact);
  assert.match(await page.textContent("#whole"), /\[9007199254740993, -9223372036854775808, 9223372036854775807\]/);
  const { line, out } = await copied(page);
  assert.match(line, /\/v2\/models\/whole\/versions\/1\/infer /);
  assert.match(out, /9007199254740993/);
  assert.equal((await whole(page)).model_version, "1");
  await page.selectOption("#model", "flags");
  await page.getByLabel("x[1]").check();
  await send(page);
  assert.deepEqual((await whole(page)).outputs[0].data, [false, true, false]);
  await page.selectOption("#model", "empty");
  await send(page);
  assert.deepEqual(await table(page, ".batch tbody"), [["1", "1"], ["2", "2"], ["3", "3"]]);
  await page.selectOption("#model", "large");
  assert.match(await page.textContent("#body-note"), /too large/);
  await close(page);
});

await step("pictures with channels, and without recorded values", async () => {
  const page = await open(many);
  await page.selectOption("#model", "colours");
  await page.uncheck("#live");
  await paint(page, [[[0.5, 0.5], [0.5, 0.5]]]);
  const colours = await pixels(page);
  assert.equal(colours.length, 360);
  for (const ch of [0, 1, 2]) assert.equal(colours[ch * 120 + 6 * 10 + 5], 0.543, "one of the four in the middle");
  const size = await page.$eval("#picture", (c) => [c.width, c.height]);
  assert.deepEqual(size, [10, 12]);
  await page.selectOption("#model", "grey");
  await page.getByLabel("ink").fill("100");
  await paint(page, [[[0.1, 0.1], [0.9, 0.9]]]);
  assert.equal(Math.max(...(await pixels(page))), 100);
  assert.equal(await page.locator(".chip:visible").count(), 0); // its batch is fixed
  await send(page);
  assert.deepEqual((await whole(page)).outputs[0].data, await pixels(page));
  await shoot(page, "grey");
  await close(page);
});

await step("binary outputs", async () => {
  const page = await open(digits);
  const asked = await body(page);
  await page.fill("#body", JSON.stringify({ ...asked, outputs: [{ name: "label" }, { name: "probabilities", parameters: { binary_data: true } }] }));
  await send(page);
  assert.equal(await page.textContent(".hero"), "1");
  assert.match(await page.textContent("#result"), /A binary tensor, which this page does not show/);
  assert.equal((await whole(page)).outputs[1].parameters.binary_data_size, 40);
  await close(page);
});

await step("models that load, or do not", async () => {
  let asked = 0;
  const page = await open(digits, {
    ready: ".loading",
    routes: {
      "**/v2/repository/index": (r) => (asked++ ? r.continue() : r.fulfill({ json: [
        { name: "digits", version: "1", state: "LOADING", reason: "" }, { name: "bad", version: "", state: "UNAVAILABLE", reason: "no <such> file" }] })),
    },
  });
  assert.deepEqual(await page.$$eval(".state", (all) => all.map((s) => s.textContent)), ["LOADING", "UNAVAILABLE"]);
  assert.equal(await page.textContent(".model .error"), "no <such> file");
  assert.ok(!(await page.isVisible("#form")));
  await page.waitForSelector("#form:visible");
  assert.equal(await page.textContent(".state"), "READY");
  await close(page);

  const broken = await open(digits, { ready: "#failed:not([hidden])", routes: { "**/v2/repository/index": (r) => r.fulfill({ status: 403, json: { error: "not for you", code: "denied" } }) } });
  assert.match(await broken.textContent("#failed"), /not for you$/);
  await close(broken, 1);
});

await step("under a path of a gateway", async () => {
  const page = await open(digits + "stage/prod/?x=1#y", { ready: "", routes: { "**/stage/prod/**": async (r) => {
    const to = new URL(r.request().url());
    await r.fulfill({ response: await r.fetch({ url: digits + to.pathname.replace("/stage/prod/", "") }) });
  } } });
  await page.waitForSelector("#columns:not([hidden])");
  await send(page);
  assert.equal(await page.textContent(".hero"), "1");
  assert.match(await page.textContent("#curl"), /\/stage\/prod\/v2\/models\/digits\/infer /);
  await close(page);
});

await step("without scripts", async () => {
  const page = await open(digits, { javaScriptEnabled: false, ready: "" });
  assert.match(await page.innerText("noscript"), /This page needs JavaScript/);
  assert.ok(!(await page.isVisible("main")));
  await close(page);
});

for (const [name, url] of [["digits", digits], ["penguins", penguins], ["many", many]]) {
  await step(name + ": on a phone, in light and dark, with labels and contrast", async () => {
    const grounds = [];
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [390, 1280]) {
        const page = await open(url, { colorScheme, viewport: { width, height: 844 }, deviceScaleFactor: width === 390 ? 2 : 1, hasTouch: width === 390 });
        if (url !== many) await page.selectOption("#example", "several");
        for (const shown of url === many ? ["colours"] : ["several", "1"]) {
          if (url !== many) await page.selectOption("#example", shown);
          await send(page);
          const sides = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
          assert.ok(sides[0] <= sides[1], `${shown} at ${width}: ${sides[0]} wide`);
          assert.deepEqual(await contrasts(page), [], `${shown} at ${width}, ${colorScheme}`);
          await shoot(page, `${name}-${shown}-${width}-${colorScheme}`);
        }
        const unnamed = await page.$$eval("input, select, textarea, button", (all) =>
          all.filter((e) => !e.labels?.length && !e.textContent.trim() && !e.getAttribute("aria-label")).map((e) => e.outerHTML));
        assert.deepEqual(unnamed, []);
        grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
        await close(page);
      }
    }
    assert.equal(new Set(grounds).size, 2);
  });
}

await finish();
