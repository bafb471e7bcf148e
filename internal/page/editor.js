// The body as something to edit without JSON: a picture, or a field for each
// value. Both write back into the body.

const maxFields = 24, maxChips = 64;

// viewOf says how a body is shown, or null when only as text.
function viewOf(model, body) {
  if (!isArray(body?.inputs)) return null;
  const tensors = body.inputs.map((t) => ({ input: t, name: t?.name, datatype: t?.datatype, list: flat(t) }));
  if (!tensors.length || !tensors.every((t) => t.list?.length && model.inputs.some((m) => m.name === t.name))) return null;
  const firsts = tensors.map((t) => dims(t.input)[0]);
  const rows = firsts.every((n) => n === firsts[0]) && firsts[0] || 1;
  for (const t of tensors) t.per = t.list.length / rows;
  // Rows come and go where every input may have any number of them.
  const free = model.inputs.every((m) => m.shape[0] === -1);
  const view = { kind: "", tensors, rows, free };
  const numeric = tensors.filter((t) => t.datatype !== "BYTES" && t.datatype !== "BOOL");
  const pic = numeric.length === 1 && pictureOf(numeric[0].datatype, dims(numeric[0].input));
  if (pic && pic.size === numeric[0].per) return { ...view, kind: "picture", pic, of: numeric[0] };
  if (tensors.reduce((n, t) => n + t.per, 0) <= maxFields) view.kind = "fields";
  return view;
}

// fields is a form of one row of a batch.
function fields(view, row, changed) {
  const field = (t, j) => {
    const i = row * t.per + j, label = t.per > 1 ? `${t.name}[${j}]` : t.name, text = t.datatype === "BYTES";
    const set = (v) => {
      t.list[i] = v;
      changed(t);
    };
    if (t.datatype === "BOOL") return check(label, { checked: t.list[i] === true, change: (event) => set(event.target.checked) });
    return el("label", el("span", label), el("input", {
      type: "text", inputmode: text ? "text" : "decimal", value: exact(t.list[i]), spellcheck: "false", autocapitalize: "off",
      input: ({ target }) => {
        const ok = text || /^\s*-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?\s*$/i.test(target.value);
        target.setAttribute("aria-invalid", !ok);
        if (ok) set(text ? target.value : new Num(target.value.trim()));
      },
    }));
  };
  return el("div.fields", view.tensors.map((t) => times(t.per, (j) => field(t, j))));
}

// chips choose a row of a batch; pictures show what is in each.
function chips(view, row, range, choose, add, remove) {
  const chip = (label, name, click, pressed) => button(label, click, { class: "chip", "aria-label": name, title: name, "aria-pressed": pressed });
  return only([
    quiet("Rows"),
    times(Math.min(view.rows, maxChips), (i) =>
      chip(view.kind === "picture" ? thumbnail(view.pic, view.of.list, i, range) : i + 1, "row " + (i + 1), () => choose(i), String(i === row))),
    view.rows > maxChips && quiet(`and ${view.rows - maxChips} more`),
    view.free && chip("+", "add a row", add),
    view.free && view.rows > 1 && chip("−", "remove this row", remove),
  ]);
}

// resize adds a row after row, or takes row away, in all inputs alike. A new
// picture is blank; other new rows are as the one before them.
function resize(view, row, range, add) {
  for (const t of view.tensors) {
    const old = t.list.slice(row * t.per, (row + 1) * t.per);
    if (add) t.list.splice((row + 1) * t.per, 0, ...(t === view.of ? old.fill(new Num(range.lo)) : old));
    else t.list.splice(row * t.per, t.per);
    t.input.shape[0] = new Num(view.rows + (add ? 1 : -1));
    fill(t.input, t.list);
  }
}

const maxBlank = 1 << 18;

// blank is a request made from the inputs of a model: every free dimension is
// 1, every number 0, every string empty. What is too large has no data.
function blank(model) {
  const empty = { BOOL: false, BYTES: "" };
  return {
    inputs: model.inputs.map(({ name, datatype, shape }) => {
      const sides = shape.map((d) => (d < 0 ? 1 : d)), n = count(sides);
      return { name, shape: sides.map((d) => new Num(d)), datatype, data: Array(n > maxBlank ? 0 : n).fill(empty[datatype] ?? new Num(0)) };
    }),
  };
}
