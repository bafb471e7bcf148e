// A tensor as a picture: drawn, and painted on.

const paper = [252, 250, 245], ink = [24, 26, 31];

// pictureOf says how a tensor's elements lie on pictures, one for each row of
// the batch, or null when they do not look like pictures: a square in a flat
// row, or two small sides with one or three channels before or after them.
function pictureOf(datatype, shape) {
  if (!/^(U?INT|FP|BF)/.test(datatype)) return null;
  const small = (...sides) => sides.every((n) => n >= 4 && n <= 64), channels = (n) => n === 1 || n === 3;
  const [, a, b, d] = shape, side = Math.sqrt(shape[shape.length - 1]);
  let [h, w, c, planes] = [side, side, 1, true];
  switch (shape.length) {
    case 1: case 2:
      if (!Number.isInteger(side) || side < 8 || side > 64) return null;
      break;
    case 3:
      [h, w] = [a, b];
      break;
    case 4:
      [c, h, w, planes] = channels(a) && small(b, d) ? [a, b, d, true] : [d, a, b, false];
      break;
    default:
      return null;
  }
  if (!small(h, w) || !channels(c)) return null;
  const size = h * w * c;
  // at is the place of a channel of a pixel in the flat data.
  const at = (row, y, x, ch) => row * size + (planes ? (ch * h + y) * w + x : (y * w + x) * c + ch);
  return { h, w, c, planes, size, at };
}

// rangeOf is what the recorded values of an input go from and to: the paper
// and the ink. Without any, what the type suggests.
function rangeOf(model, name, datatype) {
  let lo = 0, hi = 0, whole = true;
  for (const example of model.examples) {
    const t = example.body?.inputs?.find?.((x) => x.name === name);
    for (const v of flat(t) || []) {
      const n = Number(v?.text) || 0;
      lo = Math.min(lo, n);
      hi = Math.max(hi, n);
      whole = whole && Number.isInteger(n);
    }
  }
  if (hi > lo) return { lo, hi, whole: whole && hi - lo > 1 };
  const most = { UINT8: 255, INT8: 127 }[datatype] || (isFloat(datatype) ? 1 : 255);
  return { lo: 0, hi: most, whole: most > 1 };
}

// draw puts row of list on the canvas, scaled without smoothing by CSS.
function draw(canvas, pic, list, row, range) {
  canvas.width = pic.w;
  canvas.height = pic.h;
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(pic.w, pic.h);
  for (let i = 0; i < pic.w * pic.h; i++) {
    for (let ch = 0; ch < 3; ch++) {
      const v = list[pic.at(row, Math.floor(i / pic.w), i % pic.w, pic.c === 3 ? ch : 0)];
      const part = Math.min(1, Math.max(0, (Number(v?.text) - range.lo) / (range.hi - range.lo))) || 0;
      image.data[4 * i + ch] = pic.c === 3 ? 255 * part : paper[ch] + (ink[ch] - paper[ch]) * part;
    }
    image.data[4 * i + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}

// stroke inks the pixels near the line from a to b, which are in pixels; those
// that it only touches get a part of it.
function stroke(pic, list, row, range, a, b, erase) {
  const radius = Math.max(0.75, Math.min(pic.w, pic.h) / 22);
  const dx = b.x - a.x, dy = b.y - a.y, long = dx * dx + dy * dy;
  for (let y = 0; y < pic.h; y++) {
    for (let x = 0; x < pic.w; x++) {
      const px = x + 0.5 - a.x, py = y + 0.5 - a.y;
      const along = long ? Math.min(1, Math.max(0, (px * dx + py * dy) / long)) : 0;
      const cover = Math.min(1, radius + 0.5 - Math.hypot(px - along * dx, py - along * dy));
      if (cover <= 0) continue;
      for (let ch = 0; ch < pic.c; ch++) {
        const i = pic.at(row, y, x, ch), old = Number(list[i]?.text) || 0;
        const to = range.lo + (range.hi - range.lo) * (erase ? 1 - cover : cover);
        const v = erase ? Math.min(old, to) : Math.max(old, to);
        list[i] = new Num(range.whole ? Math.round(v) : Number(v.toFixed(3)));
      }
    }
  }
}

// thumbnail is one row of list as a small picture.
function thumbnail(pic, list, row, range) {
  const canvas = el("canvas.thumb", { "aria-hidden": "true" });
  draw(canvas, pic, list, row, range);
  return canvas;
}

// picture is a canvas with its tools. changed(done) is called after list was
// painted on, with done at the end of a stroke.
function picture(pic, row, list, range, changed) {
  const redraw = () => draw(canvas, pic, list, row, range);
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width * pic.w, y: (event.clientY - box.top) / box.height * pic.h };
  };
  let last = null, erase = false;
  const paint = (points, done) => {
    for (const p of points) {
      stroke(pic, list, row, range, last || p, p, erase);
      last = p;
    }
    redraw();
    changed(done);
    if (done) last = null;
  };
  const end = () => last && paint([], true);

  // By keyboard, a mark is moved from pixel to pixel.
  let x = pic.w >> 1, y = pic.h >> 1;
  const mark = () => {
    const part = { width: 1 / pic.w, height: 1 / pic.h, left: x / pic.w, top: y / pic.h };
    for (const side in part) cursor.style[side] = 100 * part[side] + "%";
    cursor.hidden = !canvas.matches(":focus-visible");
  };
  const canvas = el("canvas.picture", {
    id: "picture", tabindex: 0, role: "application", "aria-label": `Picture of ${pic.w} by ${pic.h} pixels`, "aria-describedby": "picture-note",
    pointerdown: (event) => {
      if (event.button !== 0 && event.button !== 2) return;
      canvas.setPointerCapture(event.pointerId);
      erase = $("erase").checked || event.shiftKey || event.button === 2;
      paint([place(event)], false);
    },
    pointermove: (event) => {
      if (!last) return;
      const all = event.getCoalescedEvents?.() || [];
      paint((all.length ? all : [event]).map(place), false);
    },
    pointerup: end,
    pointercancel: end,
    contextmenu: (event) => event.preventDefault(),
    focus: mark,
    blur: mark,
    keydown: (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step && ![" ", "Delete", "Backspace"].includes(event.key)) return;
      event.preventDefault();
      if (step) {
        x = Math.min(pic.w - 1, Math.max(0, x + step[0]));
        y = Math.min(pic.h - 1, Math.max(0, y + step[1]));
        mark();
      } else {
        erase = event.key !== " ";
        paint([{ x: x + 0.5, y: y + 0.5 }], true);
      }
    },
  });
  const cursor = el("div.cursor", { hidden: true });

  const bound = (key, text) => el("label", text, el("input", {
    type: "number", step: "any", value: range[key],
    input: (event) => {
      const n = event.target.valueAsNumber;
      if (!Number.isFinite(n) || n === range[key === "lo" ? "hi" : "lo"]) return;
      range[key] = n;
      range.whole = range.whole && Number.isInteger(n) && Math.abs(range.hi - range.lo) > 1;
      redraw();
    },
  }));
  const clear = () => {
    list.fill(new Num(range.lo), row * pic.size, (row + 1) * pic.size);
    paint([], false);
  };
  redraw();
  return el("div",
    el("div.easel", canvas, cursor),
    el("p.quiet", { id: "picture-note" }, "Paint on it.", el("span.away", " Arrow keys move, space paints, delete erases.")),
    el("p.tools", button("Clear", clear, { id: "clear" }), check("Erase", { id: "erase" }), bound("lo", "paper "), bound("hi", "ink ")));
}
