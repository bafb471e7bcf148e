// What is asked of the server. Addresses are relative to the page, so a
// gateway may put it under a path of its own.

const address = (path) => new URL(path, location.href.split(/[?#]/)[0]).href;

async function ask(path, options) {
  const reply = await fetch(address(path), { cache: "no-store", ...options });
  const text = await reply.text();
  if (!reply.ok) throw new Error(problem(text).message);
  return parse(text);
}

// problem reads an error body; a proxy's may be anything.
function problem(text) {
  try {
    const { error, code } = parse(text);
    if (typeof error === "string") return { message: error, code };
  } catch { /* not the protocol's */ }
  return { message: text.slice(0, 400).trim() || "no message" };
}

// loadModels gives the model versions with their metadata and examples.
async function loadModels() {
  const [index, api] = await Promise.all([ask("v2/repository/index", { method: "POST" }), ask("openapi.json").catch(() => null)]);
  return Promise.all(index.map(async (entry) => {
    const alone = !entry.version || index.filter((e) => e.name === entry.name).length === 1;
    const path = "v2/models/" + entry.name + (alone ? "" : "/versions/" + entry.version);
    const model = { ...entry, path, key: entry.name + (alone ? "" : ", version " + entry.version), examples: [], properties: {} };
    if (entry.state !== "READY") return model;
    try {
      const meta = await ask(path);
      for (const part of ["inputs", "outputs"]) model[part] = meta[part].map((t) => ({ ...t, shape: dims(t) }));
      Object.assign(model.properties, meta.properties);
      readDocument(model, api);
    } catch (err) {
      model.state = "UNAVAILABLE";
      model.reason = err.message;
    }
    return model;
  }));
}

// readDocument takes from the OpenAPI document the recorded requests, and the
// names of the dimensions that may have any size.
function readDocument(model, api) {
  const post = api?.paths?.["/" + model.path + "/infer"]?.post;
  const json = (x) => x?.content?.["application/json"];
  const request = json(post?.requestBody);
  model.examples = Object.entries(request?.examples || {})
    .map(([name, e]) => ({ name, body: e.value }))
    .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const symbols = (tensors, part, schema) => {
    const found = schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
    for (const { properties: kind } of found?.properties?.[part]?.items?.oneOf || []) {
      const t = tensors.find((x) => x.name === kind?.name?.const);
      if (t) t.symbols = kind.shape?.prefixItems?.map((d) => d.title);
    }
  };
  symbols(model.inputs, "inputs", request?.schema);
  symbols(model.outputs, "outputs", json(post?.responses?.["200"])?.schema);
}

const inferPath = (model) => model.path + "/infer";

// statistics are the model's counters in milliseconds, or null.
async function statistics(model) {
  try {
    const s = (await ask(model.path + "/stats")).model_stats[0].inference_stats;
    return { count: Number(s.success.count.text), queue: Number(s.queue.ns.text) / 1e6, compute: Number(s.compute_infer.ns.text) / 1e6 };
  } catch {
    return null;
  }
}

const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'");

// curlLine is a shell command that sends the same body. A shell takes no
// argument beyond 128 KiB, so a larger one comes through standard input.
function curlLine(model, text) {
  let body = text;
  try {
    JSON.parse(text);
    body = compact(text);
  } catch { /* what is no JSON is sent as it is */ }
  const head = "curl -sS " + quote(address(inferPath(model))) + " \\\n  -H 'Content-Type: application/json' \\\n";
  const quoted = quote(body);
  if (new Blob([quoted]).size < 1e5) return head + "  --data-raw " + quoted;
  let end = "BODY";
  while (("\n" + body + "\n").includes("\n" + end + "\n")) end += "_";
  return head + "  --data-binary @- <<'" + end + "'\n" + body + "\n" + end;
}
