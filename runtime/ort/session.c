//go:build cgo

#include "engine.h"

#include <stdio.h>
#ifdef __linux__
#include <malloc.h>
#endif

#define TRY(call)                                                                                                      \
  do {                                                                                                                 \
    if ((code = gw_failed(api, (call), error)) != ORT_OK)                                                                 \
      goto done;                                                                                                       \
  } while (0)

int gw_session_open(const gw_library *lib, const char *path, const OrtSessionOptions *options, OrtSession **session, char **error) {
  gw_reserve(1440, 0); // this may be another thread than the library was opened on
  return gw_failed(lib->api, lib->api->CreateSession(lib->env, path, options, session), error);
}

// What a session leaves free stays in glibc's arenas, of which every thread has
// another; over many sessions that is several times a model's size. Giving it
// back takes milliseconds, which only closing pays.
void gw_session_close(const gw_library *lib, OrtSession *session) {
  lib->api->ReleaseSession(session);
  gw_trim(0);
}

// mallinfo counts up to 4 GiB and begins again, but mallinfo2 came after the
// glibc that functions are built for.
void gw_trim(size_t least) {
#ifdef __GLIBC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  unsigned kept = (unsigned)mallinfo().fordblks;
#pragma GCC diagnostic pop
  if (kept >= least)
    malloc_trim(0);
#endif
}

int gw_session_count(const gw_library *lib, const OrtSession *session, size_t *inputs, size_t *outputs, char **error) {
  const OrtApi *api = lib->api;
  int code = gw_failed(api, api->SessionGetInputCount(session, inputs), error);
  return code ? code : gw_failed(api, api->SessionGetOutputCount(session, outputs), error);
}

// tensor_info copies type and shape; info is borrowed.
static int tensor_info(const OrtApi *api, const OrtTensorTypeAndShapeInfo *shape, gw_info *info, char **error) {
  enum ONNXTensorElementDataType type;
  const char **symbols = NULL;
  int code;
  TRY(api->GetTensorElementType(shape, &type));
  info->type = (int)type;
  info->ranked = api->TensorTypeAndShape_HasShape(shape);
  TRY(api->GetDimensionsCount(shape, &info->rank));
  if (info->rank > 0) {
    info->dims = calloc(info->rank, sizeof *info->dims);
    info->symbols = calloc(info->rank, sizeof *info->symbols);
    symbols = calloc(info->rank, sizeof *symbols);
    TRY(api->GetDimensions(shape, info->dims, info->rank));
    TRY(api->GetSymbolicDimensions(shape, symbols, info->rank));
    for (size_t i = 0; i < info->rank; i++)
      info->symbols[i] = strdup(symbols[i] ? symbols[i] : "");
  }
done:
  free(symbols);
  return code;
}

// maps_info fills info for a sequence of maps from strings or int64 to tensors
// of rank 0, which is what scikit-learn's classifiers are exported with.
static int maps_info(const OrtApi *api, const OrtTypeInfo *type, gw_info *info, char **error) {
  const OrtSequenceTypeInfo *sequence = NULL;
  OrtTypeInfo *element = NULL, *value = NULL;
  const OrtMapTypeInfo *map = NULL;
  const OrtTensorTypeAndShapeInfo *shape = NULL;
  enum ONNXType kind;
  enum ONNXTensorElementDataType key, value_type;
  int code;
  info->kind = GW_REFUSED;
  info->refused = "a sequence";
  TRY(api->CastTypeInfoToSequenceTypeInfo(type, &sequence));
  TRY(api->GetSequenceElementType(sequence, &element));
  TRY(api->GetOnnxTypeFromTypeInfo(element, &kind));
  if (kind == ONNX_TYPE_TENSOR)
    info->refused = "a sequence of tensors";
  if (kind != ONNX_TYPE_MAP)
    goto done;
  info->refused = "a sequence of maps whose keys are neither strings nor int64, or whose values are no numbers";
  TRY(api->CastTypeInfoToMapTypeInfo(element, &map));
  TRY(api->GetMapKeyType(map, &key));
  TRY(api->GetMapValueType(map, &value));
  TRY(api->GetOnnxTypeFromTypeInfo(value, &kind));
  if (kind != ONNX_TYPE_TENSOR || (key != ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING && key != ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64))
    goto done;
  TRY(api->CastTypeInfoToTensorInfo(value, &shape));
  TRY(api->GetTensorElementType(shape, &value_type));
  if (value_type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && value_type != ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE &&
      value_type != ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64)
    goto done;
  info->kind = GW_MAPS;
  info->refused = NULL;
  info->key_type = (int)key;
  info->type = (int)value_type;
done:
  if (value)
    api->ReleaseTypeInfo(value);
  if (element)
    api->ReleaseTypeInfo(element);
  return code;
}

int gw_session_info(const gw_library *lib, const OrtSession *session, int output, size_t index, gw_info *info, char **error) {
  const OrtApi *api = lib->api;
  OrtTypeInfo *type = NULL;
  const OrtTensorTypeAndShapeInfo *shape = NULL;
  enum ONNXType kind;
  char *name = NULL;
  int code;
  memset(info, 0, sizeof *info);
  if (output) {
    TRY(api->SessionGetOutputName(session, index, lib->allocator, &name));
    TRY(api->SessionGetOutputTypeInfo(session, index, &type));
  } else {
    TRY(api->SessionGetInputName(session, index, lib->allocator, &name));
    TRY(api->SessionGetInputTypeInfo(session, index, &type));
  }
  info->name = strdup(name);
  TRY(api->GetOnnxTypeFromTypeInfo(type, &kind));
  switch (kind) {
  case ONNX_TYPE_TENSOR:
    info->kind = GW_TENSOR;
    TRY(api->CastTypeInfoToTensorInfo(type, &shape));
    code = tensor_info(api, shape, info, error);
    break;
  case ONNX_TYPE_SEQUENCE:
    code = maps_info(api, type, info, error);
    if (code == ORT_OK && info->kind == GW_MAPS && !output) {
      info->kind = GW_REFUSED;
      info->refused = "a sequence of maps as an input";
    }
    break;
  default:
    info->kind = GW_REFUSED;
    info->refused = kind == ONNX_TYPE_MAP            ? "a map"
                    : kind == ONNX_TYPE_OPTIONAL     ? "an optional"
                    : kind == ONNX_TYPE_SPARSETENSOR ? "a sparse tensor"
                                                     : "of an unknown kind";
  }
done:
  if (name)
    (void)!api->AllocatorFree(lib->allocator, name);
  if (type)
    api->ReleaseTypeInfo(type);
  return code;
}

void gw_info_free(gw_info *info) {
  for (size_t i = 0; info->symbols && i < info->rank; i++)
    free(info->symbols[i]);
  free(info->symbols);
  free(info->dims);
  free(info->name);
  memset(info, 0, sizeof *info);
}

// A growing list of NUL-terminated strings in one block.
typedef struct {
  char *text;
  size_t size;
} list;

static void append(list *l, const char *s) {
  size_t n = strlen(s) + 1;
  l->text = realloc(l->text, l->size + n);
  memcpy(l->text + l->size, s, n);
  l->size += n;
}

int gw_session_metadata(const gw_library *lib, const OrtSession *session, char **pairs, size_t *size, char **error) {
  const OrtApi *api = lib->api;
  OrtModelMetadata *meta = NULL;
  char **keys = NULL, *text = NULL, number[32];
  int64_t count = 0, version = 0;
  list l = {0};
  int code;
  TRY(api->SessionGetModelMetadata(session, &meta));
  struct {
    const char *key;
    OrtStatusPtr(ORT_API_CALL *get)(const OrtModelMetadata *, OrtAllocator *, char **);
  } fixed[] = {{"producer", api->ModelMetadataGetProducerName},
               {"graph", api->ModelMetadataGetGraphName},
               {"domain", api->ModelMetadataGetDomain},
               {"description", api->ModelMetadataGetDescription}};
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
    TRY(fixed[i].get(meta, lib->allocator, &text));
    if (*text) {
      append(&l, fixed[i].key);
      append(&l, text);
    }
    (void)!api->AllocatorFree(lib->allocator, text);
  }
  TRY(api->ModelMetadataGetVersion(meta, &version));
  if (version > 0 && version < INT64_MAX) { // an absent version reads as INT64_MAX
    snprintf(number, sizeof number, "%lld", (long long)version);
    append(&l, "version");
    append(&l, number);
  }
  TRY(api->ModelMetadataGetCustomMetadataMapKeys(meta, lib->allocator, &keys, &count));
  for (int64_t i = 0; i < count; i++) {
    text = NULL;
    TRY(api->ModelMetadataLookupCustomMetadataMap(meta, lib->allocator, keys[i], &text));
    append(&l, keys[i]);
    append(&l, text ? text : "");
    if (text)
      (void)!api->AllocatorFree(lib->allocator, text);
  }
done:
  for (int64_t i = 0; keys && i < count; i++)
    (void)!api->AllocatorFree(lib->allocator, keys[i]);
  if (keys)
    (void)!api->AllocatorFree(lib->allocator, keys);
  if (meta)
    api->ReleaseModelMetadata(meta);
  *pairs = l.text;
  *size = l.size;
  return code;
}

int gw_session_providers(const gw_library *lib, const OrtSession *session, char **names, size_t *size, char **error) {
  const OrtApi *api = lib->api;
  const OrtEpAssignedSubgraph *const *graphs = NULL;
  size_t count = 0;
  list l = {0};
  int code;
  TRY(api->Session_GetEpGraphAssignmentInfo(session, &graphs, &count));
  for (size_t i = 0; i < count; i++) {
    const char *name;
    TRY(api->EpAssignedSubgraph_GetEpName(graphs[i], &name));
    append(&l, name);
  }
done:
  *names = l.text;
  *size = l.size;
  return code;
}
