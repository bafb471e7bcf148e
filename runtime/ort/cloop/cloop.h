#ifndef GODWIT_CLOOP_H
#define GODWIT_CLOOP_H

#include "../include/onnxruntime_c_api.h"

typedef struct {
  const OrtApi *api;
  OrtEnv *env;
  OrtSession *session;
  OrtRunOptions *options;
  OrtMemoryInfo *memory;
  char *in, *out;
  float *input, *output;
  size_t outputs;
  OrtValue *x, *y;
} cloop;

// Functions return NULL or a malloc'ed message. *loop is closed by the caller
// in both cases.
char *cloop_open(const char *library, const char *model, const char *in, const int64_t *in_shape, size_t in_rank, const float *input,
                 const char *out, const int64_t *out_shape, size_t out_rank, int arena, cloop **loop);
char *cloop_run(cloop *loop, long n);
void cloop_close(cloop *loop);
long long cloop_cpu(void); // nanoseconds

#endif
