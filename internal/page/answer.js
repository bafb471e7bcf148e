// An answer, as tables, bars and one big value.

const maxRows = 100, maxColumns = 20, topBars = 10;

// outputsOf reads the outputs of an answer: their data flat, the labels that
// another output holds for their last dimension (NAME_keys), and whether each
// row of them is shares of one.
function outputsOf(answer) {
  const all = (answer.outputs || []).map((o) => ({ name: o.name, datatype: o.datatype, shape: dims(o), list: flat(o) }));
  const labels = new Set();
  for (const o of all) {
    o.per = o.shape.length ? o.shape[o.shape.length - 1] : 1;
    const keys = all.find((k) => k.name === o.name + "_keys" && k.list?.length === o.per);
    if (keys) labels.add(keys);
    o.key = (i) => (keys ? exact(keys.list[i]) : i);
    o.shares = o.list?.length > 0 && isFloat(o.datatype) && areShares(o.list.map((v) => Number(v?.text)), o.per);
  }
  return all.filter((o) => !labels.has(o));
}

function areShares(list, per) {
  if (per < 2 || !list.every((n) => n >= -1e-4 && n <= 1.0001)) return false;
  for (let i = 0; i < list.length; i += per) {
    if (Math.abs(list.slice(i, i + per).reduce((a, b) => a + b) - 1) > 0.01) return false;
  }
  return true;
}

const largest = (list) => list.reduce((best, v, i) => (Number(v.text) > Number(list[best].text) ? i : best), 0);
const cell = (v, text, more = "") => el("td" + (v instanceof Num ? ".number" : "") + more, { title: exact(v) }, text);
const column = (text, span) => el("th", { scope: "col", ...span }, text);

// answerView is the nodes for all outputs, and a line to read out.
function answerView(outputs, view, range) {
  const whole = outputs.filter((o) => o.list), nodes = [], said = [];
  const n = whole.length && whole.every((o) => o.shape[0] === whole[0].shape[0]) ? whole[0].shape[0] : 1;
  const inBatch = (o) => n > 1 && o.list && (o.shares ? o.shape.length === 2 : o.list.length / n <= maxColumns);
  const together = outputs.filter(inBatch);
  if (together.length) {
    nodes.push(batchTable(together, n, view?.kind === "picture" && view.rows === n && view, range));
    said.push(n + " rows");
  }
  for (const o of outputs) {
    if (inBatch(o)) continue;
    const title = el("h3", el("code", o.name), quiet(` ${o.datatype} ${shapeText(o.shape)}`));
    if (o.list?.length === 1) {
      const text = show(o.list[0], o.datatype);
      nodes.push(el("div", title, el("strong.hero", { title: exact(o.list[0]) }, text)));
      said.push(o.name + ": " + text);
    } else {
      nodes.push(el("div", title, content(o)));
    }
  }
  return { nodes, said: said.join(", ") };
}

function content(o) {
  if (!o.list) return quiet("A binary tensor, which this page does not show.");
  if (!o.list.length) return quiet("No elements.");
  return o.shares && o.list.length === o.per ? bars(o) : plainTable(o);
}

// bars are a row of shares, in order when they are few, else the largest.
function bars(o) {
  const best = largest(o.list), value = (i) => Number(o.list[i].text);
  let order = times(o.per, (i) => i);
  if (o.per > maxColumns) order = order.sort((a, b) => value(b) - value(a)).slice(0, topBars);
  return [
    el("table.bars", order.map((i) => {
      const bar = el("span.bar");
      bar.style.width = 100 * value(i) + "%";
      return el(i === best ? "tr.best" : "tr", el("th", { scope: "row" }, o.key(i)), el("td.track", bar), cell(o.list[i], value(i).toFixed(4)));
    })),
    order.length < o.per && quiet(`and ${o.per - order.length} smaller ones`),
  ];
}

// batchTable is one line for each row of the batch, over all outputs; with
// the pictures that were asked about.
function batchTable(outputs, n, pictures, range) {
  const heads = [column(pictures ? "" : "row", { rowspan: 2 })], below = [];
  for (const o of outputs) {
    o.width = o.list.length / n;
    const keys = o.width > maxColumns ? ["largest", "value"] : o.width > 1 ? times(o.width, o.key) : [];
    heads.push(column(o.name, keys.length ? { colspan: keys.length } : { rowspan: 2 }));
    below.push(keys.map((k) => column(k)));
  }
  const cells = (o, row) => {
    const part = o.list.slice(row * o.width, (row + 1) * o.width);
    if (!o.shares) return part.map((v) => cell(v, show(v, o.datatype), o.width > 1 ? "" : ".best"));
    const best = largest(part);
    if (o.width > maxColumns) return [el("td.best", o.key(best)), cell(part[best], Number(part[best].text).toFixed(4))];
    return part.map((v, i) => {
      const td = cell(v, Number(v.text).toFixed(2), i === best ? ".share.best" : ".share");
      td.style.setProperty("--share", v.text);
      return td;
    });
  };
  const line = (row) => el("tr",
    el("th", { scope: "row", "aria-label": "row " + (row + 1) }, pictures ? thumbnail(pictures.pic, pictures.of.list, row, range) : row + 1),
    outputs.map((o) => cells(o, row)));
  return table("batch", [el("tr", heads), el("tr", below)], n, line);
}

// plainTable is a line for each row of the last dimension.
function plainTable(o) {
  const rows = o.list.length / o.per, columns = Math.min(o.per, maxColumns);
  const place = (i) => {
    const at = [];
    for (const side of o.shape.slice(0, -1).reverse()) {
      at.unshift(i % side);
      i = Math.floor(i / side);
    }
    return el("th", { scope: "row" }, at.join(", "));
  };
  const head = columns > 1 && el("tr", rows > 1 && el("td"), times(columns, (i) => column(o.key(i))));
  return table("plain", head, rows, (i) => el("tr",
    rows > 1 && place(i), o.list.slice(i * o.per, i * o.per + columns).map((v) => cell(v, show(v, o.datatype)))), columns < o.per);
}

function table(kind, head, n, line, cut) {
  return [
    el("div.scroll", el("table." + kind, head && el("thead", head), el("tbody", times(Math.min(n, maxRows), line)))),
    (cut || n > maxRows) && quiet("The first of them; all are in the whole answer below."),
  ];
}
