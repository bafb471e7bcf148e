// Nodes, and values as people read them. What a server says becomes text
// nodes and attributes, never markup.

const $ = (id) => document.getElementById(id);
const only = (list) => list.flat(3).filter((c) => c !== null && c !== undefined && c !== false);

// el("td.number", { title }, …) makes a node; functions among the attributes
// are listeners, and what is null, undefined or false is left out.
function el(kind, ...children) {
  const [tag, ...classes] = kind.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  if (children[0]?.constructor === Object) {
    for (const [name, v] of Object.entries(children.shift())) {
      if (typeof v === "function") node.addEventListener(name, v);
      else if (only([v]).length) node.setAttribute(name, v === true ? "" : v);
    }
  }
  node.append(...only(children));
  return node;
}

const times = (n, f) => Array.from({ length: n }, (_, i) => f(i));
const quiet = (...text) => el("span.quiet", ...text);
const button = (label, click, attributes) => el("button", { type: "button", click, ...attributes }, label);
const check = (text, input) => el("label.check", el("input", { type: "checkbox", ...input }), " ", text);

// facts is a list of names and values; those without a value are left out.
const facts = (pairs) => el("dl.facts", pairs.filter((p) => p[1]).map(([name, v]) => el("div", el("dt", name), el("dd", v))));

const isFloat = (datatype) => /^(FP|BF)/.test(datatype);
const exact = (v) => (v instanceof Num ? v.text : typeof v === "string" ? v : JSON.stringify(v));

function show(v, datatype) {
  const n = v instanceof Num && isFloat(datatype) ? Number(v.text) : 0;
  if (Number.isInteger(n)) return exact(v);
  return Math.abs(n) < 1e-3 || Math.abs(n) >= 1e6 ? n.toExponential(3) : String(Number(n.toPrecision(5)));
}

const shapeText = (shape, names = []) => "[" + shape.map((d, i) => (d < 0 ? names[i] || "any" : d)).join(", ") + "]";

const duration = (ms) =>
  ms < 1 ? Math.round(ms * 1000) + " µs" : ms < 10 ? ms.toFixed(1) + " ms" : ms < 1000 ? Math.round(ms) + " ms" : (ms / 1000).toFixed(2) + " s";

// A digest's beginning is enough to compare by eye; the rest is in the title.
const digest = (text) => text && el("code", { title: text }, text.replace(/([0-9a-f]{12})[0-9a-f]+$/, "$1…"));

async function copy(text, from) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not a secure context, or not allowed: the old way
    const area = el("textarea.away");
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    from.focus();
  }
  from.textContent = done ? "Copied" : "Not allowed";
  setTimeout(() => { from.textContent = "Copy"; }, 1500);
}
