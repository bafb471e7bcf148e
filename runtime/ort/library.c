//go:build cgo

#include "engine.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

// Every message that the ring cannot hold is lost, oldest first: they are
// diagnostics beside the status that each call returns.
#define RING 64
static gw_message ring[RING];
static unsigned ring_head, ring_count;
static pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER;

static void ORT_API_CALL gw_log(void *param, OrtLoggingLevel level, const char *category, const char *logid,
                                const char *location, const char *message) {
  (void)param;
  (void)logid;
  (void)location;
  pthread_mutex_lock(&ring_lock);
  gw_message *m = &ring[(ring_head + ring_count) % RING];
  if (ring_count == RING)
    ring_head = (ring_head + 1) % RING;
  else
    ring_count++;
  m->level = (int)level;
  snprintf(m->text, sizeof m->text, "%s: %s", category, message);
  pthread_mutex_unlock(&ring_lock);
}

int gw_log_take(gw_message *m) {
  pthread_mutex_lock(&ring_lock);
  int any = ring_count > 0;
  if (any) {
    *m = ring[ring_head];
    ring_head = (ring_head + 1) % RING;
    ring_count--;
  }
  pthread_mutex_unlock(&ring_lock);
  return any;
}

int gw_library_open(const char *path, gw_library *lib, char **error) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) {
    *error = strdup(dlerror());
    return ORT_NO_SUCHFILE;
  }
  const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))dlsym(handle, "OrtGetApiBase");
  if (base == NULL) {
    *error = strdup("it has no function OrtGetApiBase, so it is not ONNX Runtime");
    return ORT_NO_SUCHFILE;
  }
  lib->version = base()->GetVersionString();
  lib->api = base()->GetApi(ORT_API_VERSION);
  if (lib->api == NULL) {
    char text[160];
    snprintf(text, sizeof text, "want ONNX Runtime 1.%d or newer, got %.40s", ORT_API_VERSION, lib->version);
    *error = strdup(text);
    return ORT_NOT_IMPLEMENTED;
  }
  const OrtApi *api = lib->api;
  int code;
  if ((code = gw_failed(api, api->CreateEnvWithCustomLogger(gw_log, NULL, ORT_LOGGING_LEVEL_WARNING, "godwit", &lib->env), error)) ||
      (code = gw_failed(api, api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &lib->cpu), error)) ||
      (code = gw_failed(api, api->GetAllocatorWithDefaultOptions(&lib->allocator), error)))
    return code;
  return ORT_OK;
}
