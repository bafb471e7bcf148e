//go:build cgo

#include "cloop.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *failed(const OrtApi *api, OrtStatus *status) {
  if (status == NULL)
    return NULL;
  char *text = strdup(api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  return text;
}

#define TRY(call)                                                                                                      \
  do {                                                                                                                 \
    char *text = failed(api, (call));                                                                                  \
    if (text)                                                                                                          \
      return text;                                                                                                     \
  } while (0)

static float *floats(const int64_t *shape, size_t rank, size_t *count) {
  *count = 1;
  for (size_t i = 0; i < rank; i++)
    *count *= (size_t)shape[i];
  return aligned_alloc(64, (*count * sizeof(float) + 63) & ~(size_t)63);
}

char *cloop_open(const char *library, const char *model, const char *in, const int64_t *in_shape, size_t in_rank, const float *input,
                 const char *out, const int64_t *out_shape, size_t out_rank, int arena, cloop **loop) {
  cloop *l = *loop = calloc(1, sizeof *l);
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  const OrtApiBase *(*base)(void) = handle ? (const OrtApiBase *(*)(void))dlsym(handle, "OrtGetApiBase") : NULL;
  if (base == NULL || (l->api = base()->GetApi(ORT_API_VERSION)) == NULL)
    return strdup("no ONNX Runtime of the right version there");
  const OrtApi *api = l->api;
  OrtSessionOptions *options;
  TRY(api->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "cloop", &l->env));
  TRY(api->CreateSessionOptions(&options));
  char *text = NULL;
  if ((text = failed(api, api->SetIntraOpNumThreads(options, 1))) == NULL &&
      (text = failed(api, api->SetInterOpNumThreads(options, 1))) == NULL &&
      (text = failed(api, api->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"))) == NULL &&
      (text = failed(api, arena ? api->EnableCpuMemArena(options) : api->DisableCpuMemArena(options))) == NULL)
    text = failed(api, api->CreateSession(l->env, model, options, &l->session));
  api->ReleaseSessionOptions(options);
  if (text)
    return text;
  TRY(api->CreateRunOptions(&l->options));
  TRY(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &l->memory));
  size_t inputs;
  l->in = strdup(in);
  l->out = strdup(out);
  l->input = floats(in_shape, in_rank, &inputs);
  l->output = floats(out_shape, out_rank, &l->outputs);
  memcpy(l->input, input, inputs * sizeof(float));
  TRY(api->CreateTensorWithDataAsOrtValue(l->memory, l->input, inputs * sizeof(float), in_shape, in_rank,
                                          ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &l->x));
  TRY(api->CreateTensorWithDataAsOrtValue(l->memory, l->output, l->outputs * sizeof(float), out_shape, out_rank,
                                          ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &l->y));
  return NULL;
}

char *cloop_run(cloop *l, long n) {
  const OrtApi *api = l->api;
  for (long i = 0; i < n; i++)
    TRY(api->Run(l->session, l->options, (const char *const *)&l->in, (const OrtValue *const *)&l->x, 1, (const char *const *)&l->out, 1, &l->y));
  return NULL;
}

void cloop_close(cloop *l) {
  const OrtApi *api = l->api;
  if (l->x)
    api->ReleaseValue(l->x);
  if (l->y)
    api->ReleaseValue(l->y);
  if (l->memory)
    api->ReleaseMemoryInfo(l->memory);
  if (l->options)
    api->ReleaseRunOptions(l->options);
  if (l->session)
    api->ReleaseSession(l->session);
  if (l->env)
    api->ReleaseEnv(l->env);
  free(l->in);
  free(l->out);
  free(l->input);
  free(l->output);
  free(l);
}

long long cloop_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}
