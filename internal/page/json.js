// JSON that is read and written again without loss, and laid out for people.

// A number as the text has it: integers beyond 2^53 and the writer's way to
// round survive.
class Num {
  constructor(text) { this.text = String(text); }
}

function parse(text) {
  JSON.parse(text); // throws, and says where, unless it is JSON
  const token = /\s*([{}[\],:]|"[^"\\]*(?:\\.[^"\\]*)*"|[^\s{}[\],:"]+)/y;
  const next = () => token.exec(text)[1];
  const value = (t) => {
    if (t === "{") {
      const o = Object.create(null); // so that "__proto__" is a key like others
      for (t = next(); t !== "}"; t = next()) {
        if (t === ",") t = next();
        next();
        o[JSON.parse(t)] = value(next());
      }
      return o;
    }
    if (t === "[") {
      const list = [];
      for (t = next(); t !== "]"; t = next()) if (t !== ",") list.push(value(t));
      return list;
    }
    return /^[-\d]/.test(t) ? new Num(t) : JSON.parse(t);
  };
  return value(next());
}

const isArray = Array.isArray;
const isLeaf = (v) => v instanceof Num || typeof v !== "object" || v === null;
const isTensor = (v) => isArray(v?.data) && isArray(v.shape);

function inline(v) {
  if (v instanceof Num) return v.text;
  if (isArray(v)) return "[" + v.map(inline).join(", ") + "]";
  if (!isLeaf(v)) return "{" + Object.keys(v).map((k) => JSON.stringify(k) + ": " + inline(v[k])).join(", ") + "}";
  return JSON.stringify(v);
}

// compact takes the white space out of a JSON text and leaves the rest as is.
const compact = (text) => text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|\s+/g, (t) => (t[0] === '"' ? t : ""));

// layout writes v with one row of a tensor's data on each line.
function layout(v, pad = "", row = 0) {
  if (isLeaf(v)) return inline(v);
  const length = isTensor(v) ? rowLength(v) : 0;
  const items = isArray(v) ? v : v.data;
  if (row < 2 && length < 2 || items.length <= (row || length)) {
    const one = inline(v);
    if (pad.length + one.length <= 72) return one;
  }
  const deep = pad + "  ";
  let lines = [];
  if (!isArray(v)) {
    lines = Object.keys(v).map((k) => JSON.stringify(k) + ": " + layout(v[k], deep, k === "data" ? length : 0));
    if (length && !lines.some((l) => l.includes("\n"))) return "{" + lines.slice(0, -1).join(", ") + ",\n" + pad + " " + lines.pop() + "}";
  } else if (!v.every(isLeaf)) {
    lines = v.map((x) => layout(x, deep, row));
  } else {
    // Right-aligned, so that a column of numbers is one.
    const texts = v.map(inline), step = row || 1;
    const wide = v.every((x) => x instanceof Num) ? texts.reduce((n, t) => Math.max(n, t.length), 0) : 0;
    for (let i = 0; i < v.length; i += step) lines.push(texts.slice(i, i + step).map((t) => t.padStart(wide)).join(", "));
  }
  const [open, close] = isArray(v) ? "[]" : "{}";
  return open + "\n" + deep + lines.join(",\n" + deep) + "\n" + pad + close;
}

// rowLength is how many elements of a tensor stand on one line.
function rowLength(t) {
  const pic = flat(t) && pictureOf(t.datatype, dims(t));
  return pic ? pic.w * (pic.planes ? 1 : pic.c) : dims(t).findLast((d) => d !== 1) || 1;
}

const dims = (t) => t.shape.map((d) => Number(d?.text));
const count = (shape) => shape.reduce((a, b) => a * b, 1);

// flat is a tensor's data in one list, or null when there are not as many
// elements as the shape says.
function flat(t) {
  const list = isTensor(t) && t.data.flat(Infinity);
  return list && list.length === count(dims(t)) ? list : null;
}

// fill gives t other data, nested as it was or not.
function fill(t, list) {
  const nest = (items, [n, ...shape]) => {
    const step = items.length / n;
    return shape.length ? Array.from({ length: n }, (_, i) => nest(items.slice(i * step, (i + 1) * step), shape)) : items;
  };
  t.data = t.data.some(isArray) ? nest(list, dims(t)) : list;
}
