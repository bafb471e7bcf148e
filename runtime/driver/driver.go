// Package driver is the seam between Godwit and an inference engine. An engine
// implements Engine and Session, passes runtime/drivertest, and is done:
// checks, queueing, deadlines and statistics are infer's, written once.
package driver

import (
	"context"
	"log/slog"
	"time"

	"godwit.dev/runtime/tensor"
)

// An Engine opens model files. Its methods may be called concurrently.
type Engine interface {
	// Info tells which engine this is. It must not load anything heavy.
	Info() Info

	// Open loads the model at path and makes it ready to run. opts is never nil.
	// Errors: BadModel when the file is not a model that this engine can run,
	// Runtime when the engine or the provider asked for is missing or is not the
	// one that would really be used, Canceled or DeadlineExceeded after ctx.
	Open(ctx context.Context, path string, opts *Options) (Session, error)
}

// A Preparer is an Engine with work to do that depends on no model, such as
// loading a native library. Open does it too, once; who calls Prepare while it
// reads the model's file has it done by then.
type Preparer interface {
	// Prepare may be called concurrently with Open, which waits for it. Its
	// errors are those that Open would have.
	Prepare() error
}

// A Locator is an Engine over a native library in a file.
type Locator interface {
	// Locate is the path of the library that Open would load. Errors: Runtime.
	Locate() (string, error)
}

// A Settler is an Engine that can make the runs of its open sessions faster by
// work that no start should wait for.
type Settler interface {
	// Settle does that work: milliseconds for each 10 MB of weights, a little
	// longer for runs that go on meanwhile. It may be called at any time, also
	// concurrently with all else, and returns early when ctx ends. What could
	// not be done is no error.
	Settle(ctx context.Context)
}

// A Trimmer is an Engine that keeps memory which runs have given back, for runs
// to come.
type Trimmer interface {
	// Trim gives what is kept and not in use back to the system, if it is at
	// least so many bytes: a millisecond for each 30 MB, for which runs that want
	// memory wait. It may be called at any time, also concurrently with all else.
	Trim(least int64)
}

// Info describes an engine for metadata, logs and metrics.
type Info struct {
	Name     string // "onnxruntime"
	Version  string // of the native library, "" until it is loaded
	Platform string // the protocol's platform name: "onnx_onnxv1"
}

// Options say how one session runs.
type Options struct {
	// IntraOp is the number of threads that one Run may use; at least 1.
	// Engines never choose it themselves: they would see the host's cores
	// instead of the container's quota.
	IntraOp int
	// Runs is how many Runs the caller makes at most at once; at least 1.
	Runs int
	// Provider is where operators run. The zero value is the CPU.
	Provider Provider
	// NoArena gives memory back after each Run instead of keeping it: less
	// memory and, for models of a few microseconds, less contention.
	NoArena bool
	// Optimized says that a Baker has optimised the model: its graph is taken
	// as it is.
	Optimized bool
	// Unpacked leaves weights as they lie in the file, mapped into memory,
	// instead of laying them out anew: a load of dense layers takes a
	// twentieth of the time and two thirds of the memory, a run of one row
	// 0.65 of the time, one of two rows up to 2.3 times as long.
	Unpacked bool
}

// Provider names an execution provider and its own options, which are passed
// on unread: {"cuda", {"gpu_mem_limit": "2147483648"}}.
type Provider struct {
	Name    string // "" and "cpu" are the CPU; "cuda", "tensorrt", …
	Options map[string]string
}

// TensorInfo is one input or output of a model.
type TensorInfo struct {
	Name  string
	Type  tensor.DType
	Shape []int64 // -1 is a dynamic dimension
	// Symbols has the dimensions' symbolic names where the model gives them,
	// "" elsewhere. Its length is that of Shape, or 0 when there are none.
	Symbols []string
	// Unranked is true when the model does not tell the rank: Shape is nil and
	// any shape fits.
	Unranked bool
}

// Signature is what a model takes and gives.
type Signature struct {
	Inputs, Outputs []TensorInfo
	// Metadata is the model's own key-value metadata, producer and description
	// included; for people, never for decisions.
	Metadata map[string]string
}

// A Session is one loaded model. Its methods may be called concurrently, but
// for Close.
type Session interface {
	// Signature reports inputs and outputs; a dynamic dimension is -1. The
	// caller must not change it.
	Signature() *Signature

	// Run evaluates the model once. in holds exactly Signature's inputs, in
	// order, already checked by infer; it stays borrowed until Run returns.
	// out names the wanted outputs, which are among Signature's. Run sets Type,
	// and puts shape and elements into the capacity of Shape and Data where
	// that is enough; other elements go into memory of its own, which
	// out[i].Release gives back. So a caller that hands the same out to every
	// run, released before and read before the next, makes no garbage. On an
	// error nothing of out is owned by the caller.
	//
	// When ctx ends, Run stops at the next operator and returns, within
	// milliseconds where an operator takes no longer; the caller checks
	// ctx.Err() even when the error is nil, because an engine cannot stop
	// within an operator.
	Run(ctx context.Context, in, out []tensor.Tensor) error

	// Close frees native memory. No Run is in flight; a second Close is a no-op.
	Close() error
}

// A Placer is a Session that knows where its operators run. infer reports it
// in metadata and metrics.
type Placer interface {
	// Providers lists the execution providers really in use, first the one
	// asked for.
	Providers() []string
}

// Setup is what a native engine needs from the process that it runs in.
type Setup struct {
	Library     string       // path of the native library; it wins over the rest
	LibraryDirs []string     // folders to look in, best first: lib/ beside the binary
	CacheDir    string       // Godwit's folder in the user's cache
	Logger      *slog.Logger // for what the native library reports; nil discards it
	// Start, if not nil, is told how long the parts of the engine's start took,
	// as they end, from several goroutines: "library" and "environment" once a
	// process, "session" for each model.
	Start func(phase string, took time.Duration)
}

// NewEngine makes an engine. Binaries hand theirs to the command line, tests hand in memengine's.
type NewEngine func(*Setup) Engine
