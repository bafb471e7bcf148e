//go:build cgo

#include "engine.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#ifdef __GLIBC__
#include <sys/mman.h>
#include <unistd.h>
#define POPULATE_WRITE 23 // MADV_POPULATE_WRITE, which older headers lack
#endif

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

void gw_reserve(int kilobytes, int used) {
#ifdef __GLIBC__
  enum { size = 120, most = 72 }; // KB just below what is mapped by itself
  char *piece[most];
  int pieces = kilobytes / size < most ? kilobytes / size : most;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < pieces; i++)
    piece[i] = malloc(size << 10);
  if (used > 0) { // what lies behind is kept, or glibc would give the pages back
    void *volatile behind = malloc(1);
    (void)behind;
  }
  int populates = 1; // Linux from 5.14 on
  for (int i = 0; i < pieces; i++) {
    uintptr_t from = ((uintptr_t)piece[i] + page - 1) & ~(page - 1), to = ((uintptr_t)piece[i] + (size << 10)) & ~(page - 1);
    if (i < used / size && populates && piece[i] != NULL)
      populates = madvise((void *)from, to - from, POPULATE_WRITE) == 0;
    free(piece[i]);
  }
#else
  (void)kilobytes;
  (void)used;
#endif
}

int gw_library_open(const char *path, gw_library *lib, char **error) {
  gw_reserve(8640, 7200);
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
  return ORT_OK;
}

int gw_library_start(gw_library *lib, char **error) {
  const OrtApi *api = lib->api;
  int code;
  if ((code = gw_failed(api, api->CreateEnvWithCustomLogger(gw_log, NULL, ORT_LOGGING_LEVEL_WARNING, "godwit", &lib->env), error)) ||
      (code = gw_failed(api, api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &lib->cpu), error)) ||
      (code = gw_failed(api, api->GetAllocatorWithDefaultOptions(&lib->allocator), error)))
    return code;
  return ORT_OK;
}
