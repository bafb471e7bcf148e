// The page: what is chosen, what is sent, what came back.

let models = [], model = null;
let body = null;            // the parsed text, or null while it is not JSON
let view = null, row = 0;   // how the body is shown
let range = null;           // paper and ink of the picture
let sending = null;         // the AbortController of the request in progress

function modelCard(m) {
  const signature = (name, tensors) => el("table.signature",
    el("thead", el("tr", [name, "type", "shape"].map((t) => column(t)))),
    el("tbody", tensors.length ? tensors.map((t) => el("tr", [t.name, t.datatype, shapeText(t.shape, t.symbols)].map((text) => el("td", el("code", text))))) : el("tr", el("td", "none"))));
  return el("details.card.model", { name: "models", open: m === model },
    el("summary", el("strong", m.name), m.version && quiet("version " + m.version), el("span.state." + m.state.toLowerCase(), m.state)),
    m.reason && el("p.error", m.reason),
    m.inputs && el("div.about",
      facts([["digest", digest(m.properties.digest)], ["engine", m.properties.engine], ["provider", m.properties.provider], ["route", el("code", "POST /" + inferPath(m))]]),
      signature("input", m.inputs), signature("output", m.outputs)));
}

const options = (select, names, chosen) =>
  select.replaceChildren(...names.map((name) => el("option", { value: name, selected: name === chosen }, name)));

function chooseModel(m) {
  model = m;
  document.title = m.name + " · Godwit";
  $("models").children[models.indexOf(m)].open = true;
  $("example-pick").hidden = !m.examples.length;
  $("no-example").hidden = m.examples.length > 0;
  options($("example"), m.examples.map((e) => e.name));
  chooseExample();
}

function chooseExample() {
  const example = model.examples.find((e) => e.name === $("example").value);
  row = 0;
  range = null;
  $("editor").replaceChildren();
  sending?.abort();
  $("status").textContent = "";
  $("result").replaceChildren(quiet("Nothing sent yet."));
  body = example ? parse(inline(example.body)) : blank(model); // a copy, to be painted on
  writeBody();
  showEditor();
  if (!example && body.inputs.some((t) => !t.data.length && count(dims(t)))) note("An input is too large to write here: fill in its data.");
}

function note(text, bad = false) {
  $("body-note").textContent = text;
  $("body").setAttribute("aria-invalid", bad);
}

// writeBody puts the parsed body into the text area.
function writeBody() {
  const text = layout(body);
  $("body").value = text;
  $("body").rows = Math.min(26, Math.max(6, text.split("\n", 27).length + 1));
  note("");
  showCurl();
}

// readBody follows what a person types.
function readBody() {
  try {
    body = parse($("body").value);
    note("");
  } catch (err) {
    body = null;
    note("Not JSON yet: " + err.message, true);
  }
  showCurl();
  showEditor();
}

const maxCurl = 4000;

function showCurl() {
  const line = curlLine(model, $("body").value);
  $("curl").textContent = line.length <= maxCurl ? line : line.slice(0, maxCurl) + "… (Copy takes the whole)";
}

function showEditor() {
  view = body && viewOf(model, body);
  const editor = $("editor"), kind = view?.kind;
  // While a person types, the picture stays, and waits for a whole body.
  editor.inert = !kind;
  $("rows").inert = !kind;
  if (!kind && editor.firstChild) return;
  row = view ? Math.min(row, view.rows - 1) : 0;
  if (kind === "picture") range ??= rangeOf(model, view.of.name, view.of.datatype);
  $("live-pick").hidden = kind !== "picture";
  editor.hidden = !kind;
  $("edit").className = "as-" + (kind || "text");
  const changed = (t) => {
    fill(t.input, t.list);
    writeBody();
  };
  editor.replaceChildren(...only([
    kind === "fields" && fields(view, row, changed),
    kind === "picture" && picture(view.pic, row, view.of.list, range, (done) => {
      changed(view.of);
      if (!done) return;
      showRows();
      if ($("live").checked) send();
    }),
  ]));
  showRows();
}

function showRows() {
  const rows = $("rows");
  rows.hidden = !view?.kind || view.rows < 2 && !view.free;
  if (rows.hidden) return;
  const choose = (to) => {
    row = to;
    showEditor();
    rows.querySelector("[aria-pressed=true]")?.focus();
  };
  const change = (add) => () => {
    resize(view, row, range, add);
    writeBody();
    choose(add ? row + 1 : Math.max(0, row - 1));
  };
  rows.replaceChildren(...chips(view, row, range, choose, change(true), change(false)));
}

async function send() {
  sending?.abort();
  const control = sending = new AbortController(), asked = model, text = $("body").value;
  const shown = view && { ...view, of: view.of && { list: [...view.of.list] } };
  $("answer").setAttribute("aria-busy", true);
  const before = await statistics(asked);
  try {
    const start = performance.now();
    const reply = await fetch(address(inferPath(asked)), {
      method: "POST", headers: { "Content-Type": "application/json" }, body: text, signal: control.signal, cache: "no-store",
    });
    const bytes = await reply.arrayBuffer();
    const took = performance.now() - start;
    // Binary tensors, where the body asks for them, follow the JSON.
    const answer = new TextDecoder().decode(bytes.slice(0, reply.headers.get("Inference-Header-Content-Length") ?? bytes.byteLength));
    if (!reply.ok) return showProblem(problem(answer), reply.status, took);
    showAnswer(parse(answer), took, shown);
    const after = await statistics(asked);
    // With another count, others asked too, and the difference is not ours.
    if (control.signal.aborted || before?.count + 1 !== after?.count) return;
    $("server").textContent = `queue ${duration(after.queue - before.queue)}, compute ${duration(after.compute - before.compute)}`;
    $("server").closest("div").hidden = false;
  } catch (err) {
    if (!control.signal.aborted) showProblem({ message: err.message });
  } finally {
    if (sending === control) $("answer").removeAttribute("aria-busy");
  }
}

function showAnswer(answer, took, shown) {
  const { nodes, said } = answerView(outputsOf(answer), shown, range);
  const p = answer.parameters || {};
  const about = facts([
    ["round trip, measured here", el("span", { id: "took" }, duration(took))],
    ["on the server", el("span", { id: "server" })],
    ["prediction", p.prediction_id && el("code", { id: "prediction" }, exact(p.prediction_id))],
    ["model", answer.model_name + (answer.model_version ? ", version " + answer.model_version : "")],
    ["digest", digest(p.model_digest)],
  ]);
  $("status").textContent = said;
  $("result").replaceChildren(...only(nodes), about, el("details", el("summary", "The whole answer"), el("pre", { id: "whole", tabindex: 0 }, layout(answer))));
  $("server").closest("div").hidden = true;
}

function showProblem({ message, code }, status, took) {
  $("status").textContent = "";
  $("result").replaceChildren(
    el("div.error", { role: "alert" }, el("strong", only([code, status && "HTTP " + status]).join(" · ") || "No answer"), el("p", { id: "error" }, message)),
    facts([["round trip, measured here", status && duration(took)]]));
}

async function load() {
  const before = model?.key, failed = $("failed");
  try {
    models = await loadModels();
    failed.hidden = true;
  } catch (err) {
    failed.textContent = "The models of this server could not be listed: " + err.message;
    failed.hidden = false;
    return;
  }
  const ready = models.filter((m) => m.state === "READY");
  model = ready.find((m) => m.key === before) || ready[0];
  $("models").replaceChildren(...models.map(modelCard));
  $("columns").hidden = !model;
  $("model-pick").hidden = ready.length < 2;
  options($("model"), ready.map((m) => m.key), model?.key);
  if (model && model.key !== before) chooseModel(model);
  if (models.some((m) => m.state === "LOADING")) setTimeout(load, 1000);
}

$("model").addEventListener("change", () => chooseModel(models.find((m) => m.key === $("model").value)));
$("example").addEventListener("change", chooseExample);
$("body").addEventListener("input", readBody);
$("copy-curl").addEventListener("click", () => copy(curlLine(model, $("body").value), $("copy-curl")));

const submit = async (event) => {
  event.preventDefault();
  await send();
  // On one column the answer is below.
  if (innerWidth < 992) $("answer").scrollIntoView({ block: "nearest" });
};
$("form").addEventListener("submit", submit);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && model) submit(event);
});
document.querySelector("main").hidden = false;
load();
