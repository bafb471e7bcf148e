// Loads a model with ONNX Runtime and nothing else of ours: load LIBRARY MODEL [PROVIDER], or
// load LIBRARY MODEL save OUT to write it in ONNX Runtime's own format. What the library says goes to stderr.
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "onnxruntime_c_api.h"

static const OrtApi *api;

static void check(OrtStatus *status) {
  if (!status) return;
  fprintf(stderr, "ONNX Runtime: %s\n", api->GetErrorMessage(status));
  _Exit(1);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!lib) return fprintf(stderr, "dlopen: %s\n", dlerror()), 1;
  const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))dlsym(lib, "OrtGetApiBase");
  api = base ? base()->GetApi(ORT_API_VERSION) : NULL;
  if (!api) return fprintf(stderr, "want interface %d, the library is %s\n", ORT_API_VERSION, base ? base()->GetVersionString() : "none"), 1;
  OrtEnv *env;
  OrtSessionOptions *options;
  OrtSession *session;
  check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "load", &env));
  check(api->CreateSessionOptions(&options));
  if (argc == 5 && !strcmp(argv[3], "save")) {
    check(api->SetOptimizedModelFilePath(options, argv[4]));
    check(api->AddSessionConfigEntry(options, "session.save_model_format", "ORT"));
  } else if (argc == 4) {
    OrtCUDAProviderOptionsV2 *cuda;
    check(api->CreateCUDAProviderOptions(&cuda));
    check(api->SessionOptionsAppendExecutionProvider_CUDA_V2(options, cuda));
  }
  check(api->CreateSession(env, argv[2], options, &session));
  puts("loaded");
  fflush(stdout);
  _Exit(0);
}
