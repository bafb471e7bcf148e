package telemetry

import (
	"time"

	"godwit.dev/runtime/fault"
)

// Other is the model name, with no version, under which requests for models
// that the server does not have are counted: names that callers make up must
// not make series.
const Other = "other"

// The protocols that RequestEvent.Protocol can be.
const (
	ProtocolREST = "rest"
	ProtocolGRPC = "grpc"
)

// A Sink takes measurements. Its methods may be called concurrently and stand
// in the path of every request, so they must not block: wrap a sink that
// talks to a network in Async.
type Sink interface {
	// Request records an inference request that has been answered, also one
	// that never reached a model.
	Request(RequestEvent)
	// Inference records one answer of a model.
	Inference(InferenceEvent)
	// Start records how long one phase of the process's start took: "load",
	// "warmup", "ready", and inside of loading "library", "environment",
	// "session" and "digest". Phases are a small fixed set.
	Start(phase string, took time.Duration)
	// Cache records what a model's response cache holds, and whether answers
	// were found in it.
	Cache(CacheEvent)
	// Runtime records what is running. It is called once the engine is known;
	// a second call replaces the first.
	Runtime(RuntimeInfo)
	// Restarted records that the process of an isolated engine ended by itself
	// and was started again.
	Restarted()
}

// RequestEvent is one inference request, from its first byte to its last.
type RequestEvent struct {
	Model, Version string // of a model that the server has, else Other and ""
	Protocol       string // one of the Protocol constants, or an adapter's own
	Code           fault.Code
	Duration       time.Duration
}

// InferenceEvent is one answer of a model.
type InferenceEvent struct {
	Model, Version string
	Queue          time.Duration // waiting for a free run
	Compute        time.Duration // inside the engine
	Rows           int           // of the run
}

// CacheEvent is the state of one model's response cache.
type CacheEvent struct {
	Model, Version string
	Bytes          int64 // held now
	Hits, Misses   int   // answers found and not found since the last event
}

// RuntimeInfo says which software runs.
type RuntimeInfo struct {
	Version       string // Godwit's
	Engine        string // "onnxruntime"
	EngineVersion string
	Provider      string // the execution provider in use: "cpu", "cuda"
	Target        string // "knative", "awslambda", …; "" for a laptop
}

// Discard is a Sink that forgets everything.
type Discard struct{}

var _ Sink = Discard{}

func (Discard) Request(RequestEvent)        {}
func (Discard) Inference(InferenceEvent)    {}
func (Discard) Start(string, time.Duration) {}
func (Discard) Cache(CacheEvent)            {}
func (Discard) Runtime(RuntimeInfo)         {}
func (Discard) Restarted()                  {}

// Multi is a Sink that passes everything on to each of its members, in order.
type Multi []Sink

var _ Sink = Multi(nil)

func (m Multi) Request(e RequestEvent) {
	for _, s := range m {
		s.Request(e)
	}
}

func (m Multi) Inference(e InferenceEvent) {
	for _, s := range m {
		s.Inference(e)
	}
}

func (m Multi) Start(phase string, took time.Duration) {
	for _, s := range m {
		s.Start(phase, took)
	}
}

func (m Multi) Cache(e CacheEvent) {
	for _, s := range m {
		s.Cache(e)
	}
}

func (m Multi) Restarted() {
	for _, s := range m {
		s.Restarted()
	}
}

func (m Multi) Runtime(i RuntimeInfo) {
	for _, s := range m {
		s.Runtime(i)
	}
}
