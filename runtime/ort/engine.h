// The C side of package ort: what the Go binding does not offer, or offers
// with a defect, over ONNX Runtime's C API. Everything is prefixed gw_,
// because the binding's C functions share the program's namespace.
//
// Functions return an OrtErrorCode, 0 (ORT_OK) for success; on failure *error
// is a malloc'ed message that the caller frees.
#ifndef GODWIT_ORT_ENGINE_H
#define GODWIT_ORT_ENGINE_H

#include "include/onnxruntime_c_api.h"

// One loaded library with its environment; it lives as long as the process.
typedef struct {
  const OrtApi *api;
  OrtEnv *env;
  OrtMemoryInfo *cpu;
  OrtAllocator *allocator;
  const char *version;
} gw_library;

// gw_failed turns a status into its code and message, and releases it.
static inline int gw_failed(const OrtApi *api, OrtStatus *status, char **error) {
  if (status == NULL)
    return ORT_OK;
  int code = (int)api->GetErrorCode(status);
  *error = strdup(api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  return code;
}

// gw_reserve makes room for small pieces in the calling thread's arena. glibc
// gives every thread but the first an arena that grows by one mprotect a page,
// each of which stops the page faults of the whole process: 2000 of them, and
// as many faults, were most of what a start from Go cost more than one from C.
// Taken in large pieces first and given back, they are one free chunk, or at
// least address space that is writable already. The pages of the first used KB
// are asked for at once and stay with the arena.
void gw_reserve(int kilobytes, int used);

int gw_library_open(const char *path, gw_library *lib, char **error);
// Makes the environment of an opened library, with what every session shares.
int gw_library_start(gw_library *lib, char **error);

// Messages that ONNX Runtime logs go into a bounded ring, which Go drains: a
// callback into Go from inside a run would cost every run the preparation for it.
typedef struct {
  int level; // OrtLoggingLevel
  char text[496];
} gw_message;

int gw_log_take(gw_message *m); // 1 when there was one

typedef enum { GW_TENSOR, GW_MAPS, GW_REFUSED } gw_kind;

// What one input or output of a session is. gw_info_free frees what it holds.
typedef struct {
  char *name;
  gw_kind kind;
  const char *refused; // GW_REFUSED: what it is, a static text
  int type;            // ONNXTensorElementDataType; for GW_MAPS of the maps' values
  int key_type;        // GW_MAPS only
  int ranked;          // 0 when the model does not tell the rank
  size_t rank;
  int64_t *dims;
  char **symbols;
} gw_info;

int gw_session_open(const gw_library *lib, const char *path, const OrtSessionOptions *options, OrtSession **session, char **error);
void gw_session_close(const gw_library *lib, OrtSession *session);

// gw_trim gives the C library's free memory back to the system, if it is at least so many bytes.
void gw_trim(size_t least);
int gw_session_count(const gw_library *lib, const OrtSession *session, size_t *inputs, size_t *outputs, char **error);
int gw_session_info(const gw_library *lib, const OrtSession *session, int output, size_t index, gw_info *info, char **error);
void gw_info_free(gw_info *info);

// The model's metadata as malloc'ed "key\0value\0…" pairs of *size bytes.
int gw_session_metadata(const gw_library *lib, const OrtSession *session, char **pairs, size_t *size, char **error);

// The execution providers that the session's nodes were placed on, as
// malloc'ed "name\0name\0…", one for each subgraph. Needs the session option
// session.record_ep_graph_assignment_info.
int gw_session_providers(const gw_library *lib, const OrtSession *session, char **names, size_t *size, char **error);

// One tensor on its way in or out. Elements of type string are joined in data;
// offsets[i] is where element i begins and size where the last one ends.
typedef struct {
  int type;
  int fresh; // it is not what the value of the last run was made for
  size_t rank;
  const int64_t *dims;
  void *data;
  size_t size;  // bytes
  size_t count; // elements
  size_t *offsets;
  void *owned[3]; // malloc'ed memory behind data, offsets and dims
} gw_tensor;

// How the value of an output is treated from one run to the next.
typedef enum {
  GW_REUSED,   // a tensor of elements of fixed size: the next run may write into the same value
  GW_RENEWED,  // made anew by every run
  GW_GATHERED, // a sequence of maps, made anew and turned into two tensors
} gw_output;

// What one run needs, allocated once and leased to one run at a time. Values
// stay for the next run of the lease: ONNX Runtime spends a good part of a
// small run on making and freeing them.
typedef struct {
  const gw_library *lib;
  OrtSession *session;
  OrtRunOptions *options;
  size_t inputs, outputs;
  size_t held; // outputs of the last run that are still held
  int again;   // the last run's outputs fit this run: same inputs' shapes, same outputs wanted
  int dynamic; // an output had another shape than before though the inputs had the same
  const char **in_names;
  const char **out_names; // the wanted ones, outputs of them
  OrtValue **in_values, **out_values;
  gw_tensor *in, *out;
  gw_tensor *keys;  // of outputs that are GW_GATHERED
  gw_output *kinds; // of the outputs
  char *error;
} gw_call;

// A call for a session with at most the given numbers of inputs and outputs.
gw_call *gw_call_new(const gw_library *lib, OrtSession *session, size_t inputs, size_t outputs);
void gw_call_free(gw_call *call);

// Runs the model. Inputs are read from call->in, outputs described in
// call->out and held until gw_reset, or until a run of this call that does not
// write into them again. An output whose out_values entry the caller took and
// nulled is not held.
int gw_run(uintptr_t call); // a gw_call *; cgo would look into what a pointer points to, at every run
void gw_reset(gw_call *call);
void gw_terminate(gw_call *call);
void gw_unterminate(gw_call *call);
void gw_release_value(const gw_library *lib, OrtValue *value);

// CUDA's provider installs signal handlers without SA_ONSTACK, with which the
// Go runtime dies on the next signal. gw_signals_save before a CUDA session is
// made or first run, gw_signals_restore after.
void gw_signals_save(void);
int gw_signals_restore(void); // how many handlers had to be put back

#endif
