// What ONNX Runtime does by itself: the floor that serving is measured against.
// One FP32 input and one FP32 output; their values are made once and reused.
//
//   floor -l LIBRARY -m MODEL [-t THREADS] [-s SESSIONS] [-i INTRA] [-p SPIN] [-a ARENA]
//     reads lines "ROWS MILLISECONDS" and answers each with "RUNS NANOSECONDS CPU-NANOSECONDS"
//   floor -l LIBRARY -m MODEL -c FILE
//     runs once on FILE's bytes, writes the output's bytes, and ends: a cold start
#include "../../runtime/ort/include/onnxruntime_c_api.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const OrtApi *api;
static OrtMemoryInfo *cpu;
static OrtAllocator *allocator;

static void ok(OrtStatus *status) {
  if (status == NULL)
    return;
  fprintf(stderr, "floor: %s\n", api->GetErrorMessage(status));
  exit(1);
}

static int64_t now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// One thread's values for one number of rows.
typedef struct {
  OrtSession *session;
  char *in_name, *out_name;
  OrtValue *in, *out;
  float *data, *result;
  size_t in_count, out_count;
  int64_t until, runs;
} worker;

static OrtValue *value(OrtSession *s, int output, int64_t rows, float **data, size_t *count) {
  OrtTypeInfo *info;
  const OrtTensorTypeAndShapeInfo *shape;
  size_t rank;
  int64_t dims[8];
  OrtValue *v;
  ok(output ? api->SessionGetOutputTypeInfo(s, 0, &info) : api->SessionGetInputTypeInfo(s, 0, &info));
  ok(api->CastTypeInfoToTensorInfo(info, &shape));
  ok(api->GetDimensionsCount(shape, &rank));
  if (rank > 8)
    exit(1);
  ok(api->GetDimensions(shape, dims, rank));
  api->ReleaseTypeInfo(info);
  *count = 1;
  for (size_t i = 0; i < rank; i++) {
    if (dims[i] < 0)
      dims[i] = i == 0 ? rows : 1;
    *count *= (size_t)dims[i];
  }
  *data = aligned_alloc(64, (*count * sizeof(float) + 63) / 64 * 64);
  for (size_t i = 0; i < *count; i++)
    (*data)[i] = (float)((i * 2654435761u) % 1000) / 1000;
  ok(api->CreateTensorWithDataAsOrtValue(cpu, *data, *count * sizeof(float), dims, rank, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &v));
  return v;
}

static void prepare(worker *w, int64_t rows) {
  if (w->in) {
    api->ReleaseValue(w->in);
    api->ReleaseValue(w->out);
    free(w->data);
    free(w->result);
  }
  w->in = value(w->session, 0, rows, &w->data, &w->in_count);
  w->out = value(w->session, 1, rows, &w->result, &w->out_count);
}

static void run(worker *w) {
  ok(api->Run(w->session, NULL, (const char *const *)&w->in_name, (const OrtValue *const *)&w->in, 1,
              (const char *const *)&w->out_name, 1, &w->out));
}

static void *loop(void *arg) {
  worker *w = arg;
  int64_t start = now(CLOCK_MONOTONIC), n = 1;
  for (;;) { // the clock is read once for what takes some 20 µs
    for (int64_t i = 0; i < n; i++)
      run(w);
    w->runs += n;
    int64_t t = now(CLOCK_MONOTONIC);
    if (t >= w->until)
      return NULL;
    n = w->runs * 20000 / (t - start + 1) + 1;
  }
}

int main(int argc, char **argv) {
  const char *library = NULL, *model = NULL, *cold = NULL;
  int threads = 1, sessions = 1, intra = 1, spin = 0, arena = 1, c;
  while ((c = getopt(argc, argv, "l:m:t:s:i:p:a:c:")) != -1)
    switch (c) {
    case 'l': library = optarg; break;
    case 'm': model = optarg; break;
    case 't': threads = atoi(optarg); break;
    case 's': sessions = atoi(optarg); break;
    case 'i': intra = atoi(optarg); break;
    case 'p': spin = atoi(optarg); break;
    case 'a': arena = atoi(optarg); break;
    case 'c': cold = optarg; break;
    default: return 2;
    }
  if (!library || !model || threads < 1 || threads > 64 || sessions < 1 || sessions > threads)
    return 2;
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  const OrtApiBase *(*base)(void) = handle ? (const OrtApiBase *(*)(void))dlsym(handle, "OrtGetApiBase") : NULL;
  if (!base || !(api = base()->GetApi(ORT_API_VERSION))) {
    fprintf(stderr, "floor: %s: no ONNX Runtime with API %d\n", library, ORT_API_VERSION);
    return 1;
  }
  OrtEnv *env;
  OrtSessionOptions *options;
  ok(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "floor", &env));
  ok(api->CreateSessionOptions(&options));
  ok(api->SetIntraOpNumThreads(options, intra));
  ok(api->SetInterOpNumThreads(options, 1));
  ok(api->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", spin ? "1" : "0"));
  if (!arena)
    ok(api->DisableCpuMemArena(options));
  ok(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &cpu));
  ok(api->GetAllocatorWithDefaultOptions(&allocator));

  worker workers[64] = {0};
  for (int i = 0; i < threads; i++) {
    if (i < sessions)
      ok(api->CreateSession(env, model, options, &workers[i].session));
    else
      workers[i].session = workers[i % sessions].session;
    ok(api->SessionGetInputName(workers[i].session, 0, allocator, &workers[i].in_name));
    ok(api->SessionGetOutputName(workers[i].session, 0, allocator, &workers[i].out_name));
  }
  if (cold) {
    worker *w = &workers[0];
    prepare(w, 1);
    FILE *f = fopen(cold, "rb");
    if (!f || fread(w->data, sizeof(float), w->in_count, f) != w->in_count)
      return 1;
    run(w);
    size_t size = w->out_count * sizeof(float);
    _exit(write(1, w->result, size) == (ssize_t)size ? 0 : 1);
  }
  int64_t rows = 0, asked, milliseconds;
  while (scanf("%ld %ld", &asked, &milliseconds) == 2) {
    pthread_t ids[64];
    if (asked != rows) {
      for (int i = 0; i < threads; i++) {
        prepare(&workers[i], asked);
        run(&workers[i]);
        run(&workers[i]);
      }
      rows = asked;
    }
    int64_t start = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID), runs = 0;
    for (int i = 0; i < threads; i++) {
      workers[i].runs = 0;
      workers[i].until = start + milliseconds * 1000000;
      if (i > 0)
        pthread_create(&ids[i], NULL, loop, &workers[i]);
    }
    loop(&workers[0]);
    for (int i = 1; i < threads; i++)
      pthread_join(ids[i], NULL);
    int64_t took = now(CLOCK_MONOTONIC) - start;
    for (int i = 0; i < threads; i++)
      runs += workers[i].runs;
    printf("%ld %ld %ld\n", runs, took, now(CLOCK_PROCESS_CPUTIME_ID) - used);
    fflush(stdout);
  }
  return 0;
}
