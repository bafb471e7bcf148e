//go:build cgo

#include "engine.h"

gw_call *gw_call_new(const gw_library *lib, OrtSession *session, size_t inputs, size_t outputs) {
  gw_call *c = calloc(1, sizeof *c);
  c->lib = lib;
  c->session = session;
  c->inputs = inputs;
  c->in_names = calloc(inputs + 1, sizeof *c->in_names);
  c->out_names = calloc(outputs + 1, sizeof *c->out_names);
  c->in_values = calloc(inputs + 1, sizeof *c->in_values);
  c->out_values = calloc(outputs + 1, sizeof *c->out_values);
  c->in = calloc(inputs + 1, sizeof *c->in);
  c->out = calloc(outputs + 1, sizeof *c->out);
  c->keys = calloc(outputs + 1, sizeof *c->keys);
  c->kinds = calloc(outputs + 1, sizeof *c->kinds);
  OrtStatus *status = lib->api->CreateRunOptions(&c->options);
  if (status) {
    lib->api->ReleaseStatus(status);
    gw_call_free(c);
    return NULL;
  }
  return c;
}

static void disown(gw_tensor *t) {
  for (int i = 0; i < 3; i++) {
    free(t->owned[i]);
    t->owned[i] = NULL;
  }
}

static void drop(gw_call *c, OrtValue **value) {
  if (*value)
    c->lib->api->ReleaseValue(*value);
  *value = NULL;
}

// drop_outputs releases the outputs that the next run does not write into again.
static void drop_outputs(gw_call *c, int all) {
  for (size_t i = 0; i < c->held; i++) {
    if (!all && c->kinds[i] == GW_REUSED)
      continue;
    drop(c, &c->out_values[i]);
    disown(&c->out[i]);
    disown(&c->keys[i]);
  }
}

void gw_reset(gw_call *c) {
  drop_outputs(c, 1);
  c->held = 0;
  free(c->error);
  c->error = NULL;
}

void gw_call_free(gw_call *c) {
  gw_reset(c);
  for (size_t i = 0; i < c->inputs; i++)
    drop(c, &c->in_values[i]);
  if (c->options)
    c->lib->api->ReleaseRunOptions(c->options);
  free(c->in_names);
  free(c->out_names);
  free(c->in_values);
  free(c->out_values);
  free(c->in);
  free(c->out);
  free(c->keys);
  free(c->kinds);
  free(c);
}

static OrtStatus *make_value(gw_call *c, const gw_tensor *t, OrtValue **value) {
  const OrtApi *api = c->lib->api;
  if (t->type != ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING)
    return api->CreateTensorWithDataAsOrtValue(c->lib->cpu, t->data, t->size, t->dims, t->rank, (ONNXTensorElementDataType)t->type, value);
  OrtStatus *status = api->CreateTensorAsOrtValue(c->lib->allocator, t->dims, t->rank, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, value);
  for (size_t i = 0; status == NULL && i < t->count; i++) {
    // Not FillStringTensor: it takes C strings, and an element may hold a NUL.
    size_t begin = t->offsets[i], end = i + 1 < t->count ? t->offsets[i + 1] : t->size;
    char *element;
    status = api->GetResizedStringTensorElementBuffer(*value, i, end - begin, &element);
    if (status == NULL && end > begin)
      memcpy(element, (const char *)t->data + begin, end - begin);
  }
  return status;
}

// describe fills t from a tensor value. Fixed-size elements stay where they are.
static OrtStatus *describe(gw_call *c, OrtValue *value, gw_tensor *t) {
  const OrtApi *api = c->lib->api;
  enum ONNXTensorElementDataType type;
  OrtStatus *status = api->GetTensorElementTypeAndShapeDataReference(value, &type, &t->dims, &t->rank);
  if (status)
    return status;
  t->type = (int)type;
  t->count = 1;
  for (size_t i = 0; i < t->rank; i++)
    t->count *= (size_t)t->dims[i];
  if (t->type != ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) {
    if ((status = api->GetTensorMutableData(value, &t->data)))
      return status;
    return api->GetTensorSizeInBytes(value, &t->size);
  }
  if ((status = api->GetStringTensorDataLength(value, &t->size)))
    return status;
  t->owned[0] = t->data = malloc(t->size + 1);
  t->owned[1] = t->offsets = malloc((t->count + 1) * sizeof *t->offsets);
  if (t->count == 0) // ONNX Runtime refuses a null or short buffer even for nothing
    return NULL;
  return api->GetStringTensorContent(value, t->data, t->size, t->offsets, t->count);
}

static size_t width(int type) { return type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? 4 : 8; }

static int same(const gw_tensor *a, const gw_tensor *b) {
  return a->count == b->count && a->size == b->size && memcmp(a->data, b->data, a->size) == 0 &&
         (a->offsets == NULL || memcmp(a->offsets, b->offsets, a->count * sizeof *a->offsets) == 0);
}

// keep copies fixed-size keys, which live in a value that is about to be released.
static void keep(gw_tensor *t) {
  if (t->owned[0])
    return;
  t->owned[0] = malloc(t->size + 1);
  memcpy(t->owned[0], t->data, t->size);
  t->data = t->owned[0];
}

// gather turns a sequence of N maps with the same K keys into values [N,K] and keys [K].
static OrtStatus *gather(gw_call *c, OrtValue *sequence, gw_tensor *values, gw_tensor *keys) {
  const OrtApi *api = c->lib->api;
  size_t n = 0;
  OrtStatus *status = api->GetValueCount(sequence, &n);
  if (status)
    return status;
  int64_t *dims = calloc(3, sizeof *dims);
  values->owned[2] = dims;
  values->dims = dims;
  values->rank = 2;
  keys->rank = 1;
  keys->dims = dims + 1;
  dims[0] = (int64_t)n;
  values->data = values->owned[0] = NULL;
  values->size = values->count = keys->count = keys->size = 0;
  values->type = keys->type = 0; // stays so when there is no map to tell them
  for (size_t i = 0; i < n && status == NULL; i++) {
    OrtValue *map = NULL, *k = NULL, *v = NULL;
    gw_tensor row = {0}, names = {0};
    if ((status = api->GetValue(sequence, (int)i, c->lib->allocator, &map)) == NULL &&
        (status = api->GetValue(map, 0, c->lib->allocator, &k)) == NULL &&
        (status = api->GetValue(map, 1, c->lib->allocator, &v)) == NULL && (status = describe(c, k, &names)) == NULL &&
        (status = describe(c, v, &row)) == NULL) {
      size_t line = row.count * width(row.type);
      if (i == 0) {
        keep(&names);
        *keys = names;
        memset(names.owned, 0, sizeof names.owned);
        keys->rank = 1;
        keys->dims = dims + 1;
        dims[1] = (int64_t)row.count;
        values->type = row.type;
        values->count = n * row.count;
        values->size = n * line;
        values->owned[0] = values->data = malloc(values->size + 1);
      }
      if (row.type != values->type || row.count * n != values->count || !same(&names, keys))
        status = api->CreateStatus(ORT_FAIL, "the maps of a sequence have different keys, so they are no table");
      else
        memcpy((char *)values->data + i * line, row.data, line);
    }
    disown(&row);
    disown(&names);
    if (v)
      api->ReleaseValue(v);
    if (k)
      api->ReleaseValue(k);
    if (map)
      api->ReleaseValue(map);
  }
  return status;
}

static OrtStatus *run(gw_call *c) {
  return c->lib->api->Run(c->session, c->options, c->in_names, (const OrtValue *const *)c->in_values, c->inputs, c->out_names,
                          c->outputs, c->out_values);
}

int gw_run(uintptr_t call) {
  gw_call *c = (gw_call *)call;
  const OrtApi *api = c->lib->api;
  OrtStatus *status = NULL;
  int again = 0;
  if (c->again)
    drop_outputs(c, 0);
  else
    gw_reset(c);
  c->held = c->outputs;
  for (size_t i = 0; i < c->outputs; i++) {
    c->out[i].fresh = c->out_values[i] == NULL;
    again |= !c->out[i].fresh;
  }
  for (size_t i = 0; status == NULL && i < c->inputs; i++) {
    if (c->in[i].fresh || c->in_values[i] == NULL) {
      drop(c, &c->in_values[i]);
      status = make_value(c, &c->in[i], &c->in_values[i]);
    }
  }
  if (status == NULL)
    status = run(c);
  if (status && again) {
    // Perhaps the shape of an output depends on values, and that of the last
    // run does not fit this one. ONNX Runtime has no code for that, so it is
    // asked once more; a run that was stopped fails again at once.
    api->ReleaseStatus(status);
    drop_outputs(c, 1);
    for (size_t i = 0; i < c->outputs; i++)
      c->out[i].fresh = 1;
    status = run(c);
    c->dynamic = status == NULL;
  }
  for (size_t i = 0; status == NULL && i < c->outputs; i++) {
    if (c->kinds[i] == GW_GATHERED)
      status = gather(c, c->out_values[i], &c->out[i], &c->keys[i]);
    else if (c->out[i].fresh)
      status = describe(c, c->out_values[i], &c->out[i]);
  }
  for (size_t i = 0; i < c->inputs; i++) {
    if (c->in[i].type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING)
      drop(c, &c->in_values[i]); // the only values that hold memory of their own
  }
  if (status == NULL)
    return ORT_OK;
  int code = (int)api->GetErrorCode(status);
  free(c->error);
  c->error = strdup(api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  return code;
}

void gw_terminate(gw_call *c) {
  OrtStatus *status = c->lib->api->RunOptionsSetTerminate(c->options);
  if (status)
    c->lib->api->ReleaseStatus(status);
}

void gw_unterminate(gw_call *c) {
  OrtStatus *status = c->lib->api->RunOptionsUnsetTerminate(c->options);
  if (status)
    c->lib->api->ReleaseStatus(status);
}

void gw_release_value(const gw_library *lib, OrtValue *value) { lib->api->ReleaseValue(value); }
