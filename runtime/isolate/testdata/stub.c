// A libonnxruntime that passes everything on to the real one, at REAL, but for what CRASH names. Both are environment
// variables unless the compiler is told them.
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime_c_api.h"

#ifndef REAL
#define REAL getenv("REAL")
#endif
#ifndef CRASH
#define CRASH getenv("CRASH")
#endif

static OrtApi table;
static OrtApiBase base;
static const OrtApiBase *real;

static OrtStatus *segfault(void) {
	volatile int *nowhere = NULL;
	*nowhere = 1;
	return NULL;
}

static volatile int depth;

static OrtStatus *recurse(void) {
	volatile char frame[4096];
	frame[depth++ % sizeof frame] = 1;
	OrtStatus *s = recurse();
	return frame[0] ? s : NULL;
}

static OrtStatus *quit(void) { abort(); }

static OrtStatus *(*create)(const OrtEnv *, const char *, const OrtSessionOptions *, OrtSession **);

static OrtStatus *choosy(const OrtEnv *env, const char *path, const OrtSessionOptions *options, OrtSession **session) {
	if (strstr(path, "crash")) abort();
	return create(env, path, options, session);
}

static const OrtApi *get(uint32_t version) {
	const OrtApi *api = real->GetApi(version);
	if (!api) return NULL;
	memcpy(&table, api, sizeof table);
	const char *crash = CRASH;
	create = (void *)api->CreateSession;
	if (!strcmp(crash, "path")) *(void **)&table.CreateSession = (void *)choosy;
	if (!strcmp(crash, "open-segfault")) *(void **)&table.CreateSession = (void *)segfault;
	if (!strcmp(crash, "open-abort")) *(void **)&table.CreateSession = (void *)quit;
	if (!strcmp(crash, "run-segfault")) *(void **)&table.Run = (void *)segfault;
	if (!strcmp(crash, "run-recurse")) *(void **)&table.Run = (void *)recurse;
	return &table;
}

const OrtApiBase *ORT_API_CALL OrtGetApiBase(void) {
	if (!strcmp(CRASH, "library-abort")) abort();
	void *lib = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
	if (!lib) return NULL;
	real = ((const OrtApiBase *(*)(void))dlsym(lib, "OrtGetApiBase"))();
	base.GetApi = get;
	base.GetVersionString = real->GetVersionString;
	return &base;
}
