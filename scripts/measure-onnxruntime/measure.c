// Measures one ONNX Runtime library from bare C; measure.sh drives it.
//
//	measure start LIB [MODEL]  one cold start: dlopen, CreateEnv, session, first answer, all together in µs; peak memory in KiB
//	measure exec  LIB [MODEL]  the same from outside: exec to the end of the process, in µs
//	measure run   LIB [MODEL]  median and best ns of a Run with reused values
//	measure info  LIB          version, its C API, execution providers
//
// MODEL has one float input; without it a Relu over 4 numbers is used.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "onnxruntime_c_api.h"

static const unsigned char relu[] =
	"\x08\x07\x3a\x3b\x0a\x0c\x0a\x01X\x12\x01Y\"\x04Relu\x12\x01gZ\x13\x0a\x01X\x12\x0e\x0a\x0c\x08\x01\x12\x08"
	"\x0a\x02\x08\x01\x0a\x02\x08\x04" "b\x13\x0a\x01Y\x12\x0e\x0a\x0c\x08\x01\x12\x08\x0a\x02\x08\x01\x0a\x02\x08\x04"
	"B\x04\x0a\x00\x10\x0d";

static const OrtApi *api;
extern char **environ;

static double now(void) { // µs
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void ok(OrtStatus *s, const char *what) {
	if (!s) return;
	fprintf(stderr, "measure: %s: %s\n", what, api->GetErrorMessage(s));
	exit(2);
}

static int by_value(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void from_outside(char **argv) {
	char *child[] = {argv[0], "start", argv[2], argv[3], NULL};
	posix_spawn_file_actions_t silent;
	posix_spawn_file_actions_init(&silent);
	posix_spawn_file_actions_addopen(&silent, 1, "/dev/null", O_WRONLY, 0);
	pid_t pid;
	int status;
	double t = now();
	if (posix_spawn(&pid, "/proc/self/exe", &silent, NULL, child, environ) || waitpid(pid, &status, 0) < 0 || status) exit(2);
	printf("%.0f\n", now() - t);
}

int main(int argc, char **argv) {
	if (argc < 3) return fprintf(stderr, "usage: measure start|exec|run|info LIB [MODEL]\n"), 64;
	const char *mode = argv[1], *model = argc > 3 ? argv[3] : NULL;
	if (!strcmp(mode, "exec")) return from_outside(argv), 0;

	double t0 = now();
	void *lib = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
	if (!lib) return fprintf(stderr, "measure: %s\n", dlerror()), 2;
	const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))dlsym(lib, "OrtGetApiBase");
	double t1 = now();
	unsigned level = 0; // the C API's number is the version's middle part
	sscanf(base()->GetVersionString(), "%*u.%u", &level);
	if (!(api = base()->GetApi(level < ORT_API_VERSION ? level : ORT_API_VERSION))) return 2;
	if (!strcmp(mode, "info")) {
		char **names;
		int n;
		ok(api->GetAvailableProviders(&names, &n), "providers");
		printf("%s, C API %u, providers", base()->GetVersionString(), level);
		for (int i = 0; i < n; i++) printf(" %s", names[i]);
		puts("");
		fflush(stdout);
		_exit(0);
	}
	OrtEnv *env;
	ok(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "measure", &env), "env");
	double t2 = now();
	OrtSessionOptions *options;
	OrtSession *session;
	ok(api->CreateSessionOptions(&options), "options");
	ok(api->SetIntraOpNumThreads(options, 1), "threads");
	if (getenv("NO_ARENA")) ok(api->DisableCpuMemArena(options), "arena"); // so that a checker sees every allocation
	ok(model ? api->CreateSession(env, model, options, &session)
	         : api->CreateSessionFromArray(env, relu, sizeof relu - 1, options, &session), "session");
	double t3 = now();

	OrtAllocator *heap;
	char *in, *out;
	OrtTypeInfo *type;
	const OrtTensorTypeAndShapeInfo *info;
	size_t rank, count = 1;
	int64_t shape[16];
	ok(api->GetAllocatorWithDefaultOptions(&heap), "allocator");
	ok(api->SessionGetInputName(session, 0, heap, &in), "input");
	ok(api->SessionGetOutputName(session, 0, heap, &out), "output");
	ok(api->SessionGetInputTypeInfo(session, 0, &type), "type");
	ok(api->CastTypeInfoToTensorInfo(type, &info), "tensor");
	ok(api->GetDimensionsCount(info, &rank), "rank");
	if (rank > 16) return fprintf(stderr, "measure: rank %zu, at most 16\n", rank), 2;
	ok(api->GetDimensions(info, shape, rank), "shape");
	for (size_t i = 0; i < rank; i++) count *= shape[i] = shape[i] < 1 ? 1 : shape[i];
	float *data = malloc(count * sizeof *data);
	for (size_t i = 0; i < count; i++) data[i] = i % 251;
	OrtMemoryInfo *memory;
	OrtValue *x, *y = NULL;
	ok(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), "memory");
	ok(api->CreateTensorWithDataAsOrtValue(memory, data, count * sizeof *data, shape, rank, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &x), "value");
	const char *ins[] = {in}, *outs[] = {out};
	const OrtValue *xs[] = {x};
	ok(api->Run(session, NULL, ins, xs, 1, outs, 1, &y), "run");
	double t4 = now();

	if (!strcmp(mode, "start")) {
		struct rusage used;
		getrusage(RUSAGE_SELF, &used);
		printf("%.0f %.0f %.0f %.0f %.0f %ld\n", t1 - t0, t2 - t1, t3 - t2, t4 - t3, t4 - t0, used.ru_maxrss);
		fflush(stdout);
		if (getenv("LINGER")) sleep(atoi(getenv("LINGER"))); // leaves background threads time to act
		_exit(0);
	}
	enum { rounds = 51 };
	double took[rounds];
	int runs = 1; // per round, so that a round takes about 4 ms
	for (int r = -1; r < rounds; r++) {
		double t = now();
		for (int i = 0; i < runs; i++) ok(api->Run(session, NULL, ins, xs, 1, outs, 1, &y), "run");
		if (r < 0) runs = 4000 / (now() - t) + 1;
		else took[r] = (now() - t) * 1000 / runs;
	}
	qsort(took, rounds, sizeof *took, by_value);
	printf("%.0f %.0f\n", took[rounds / 2], took[0]);
	fflush(stdout);
	_exit(0);
}
