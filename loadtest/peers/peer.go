//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"godwit.dev/loadtest"
)

// peer is another server of models, or what people write instead of one.
type peer struct {
	name  string // also its folder in the cache
	title string // for people
	// language it is written in; goals 14 to 16 are about these.
	language string
	folder   string // its sources, below loadtest/peers
	install  installer
	packages []string // those whose versions are told
	settings []setting
	speaks   []loadtest.Protocol
	// argv starts it in its folder of the cache, where a copy of its sources is.
	argv func(home string, s *setting) []string
	env  []string // beside what every peer is told
	port string   // the variable in which it wants its port, beside PEER_HTTP
	// jit is set where code is compiled while it runs: such a peer is warm late.
	jit bool
	// start is about how long it takes until it answers, for the plan alone.
	start time.Duration
	note  string // what to know when reading its figures
}

// setting is one way to run a peer.
type setting struct {
	Name    string
	Intra   int // threads of one run
	Workers int // processes, or sessions in one
	Batch   int // rows that may share a run, 0 for none
}

// The two modes of the comparison: one worker whose runs have two threads, or
// two workers whose runs have one; and either with batching where a peer has it.
var (
	modes = []setting{
		{Name: "L: one worker, two threads a run", Intra: 2, Workers: 1},
		{Name: "T: two workers, one thread a run", Intra: 1, Workers: 2},
	}
	batched = append(modes[:2:2],
		setting{Name: "L with batching", Intra: 2, Workers: 1, Batch: 32},
		setting{Name: "T with batching", Intra: 1, Workers: 2, Batch: 32})
)

// python is the start of a peer's script by its own Python.
func python(script string) func(string, *setting) []string {
	return func(home string, _ *setting) []string {
		return []string{filepath.Join(home, "venv/bin/python"), script}
	}
}

var (
	onlyJSON = []loadtest.Protocol{loadtest.JSON}
	rest     = []loadtest.Protocol{loadtest.JSON, loadtest.Binary}
	all      = []loadtest.Protocol{loadtest.JSON, loadtest.Binary, loadtest.GRPC}
)

// peers are all that are known, in the order in which they are measured.
var peers = []peer{
	{name: "fastapi", title: "FastAPI + onnxruntime", language: "Python", folder: "python", install: pip("fastapi.txt"),
		packages: []string{"fastapi", "uvicorn", "orjson", "onnxruntime"}, settings: modes, speaks: rest,
		argv: python("fastapi_peer.py"), start: 3 * time.Second,
		note: "uvicorn with uvloop and httptools, orjson; the handler reads the body itself, without pydantic"},
	{name: "node", title: "fastify + onnxruntime-node", language: "Node.js", folder: "node", install: npm(),
		packages: []string{"fastify", "onnxruntime-node"}, settings: modes, speaks: rest,
		argv: func(home string, _ *setting) []string { return []string{"node", filepath.Join(home, "src/server.mjs")} },
		jit:  true, start: time.Second, note: "workers are node:cluster's"},
	{name: "rust", title: "axum + ort", language: "Rust", folder: "rust", install: cargo(),
		packages: []string{"axum", "ort", "sonic-rs", "tokio"}, settings: modes, speaks: rest,
		argv:  func(home string, _ *setting) []string { return []string{filepath.Join(home, "target/release/peer")} },
		start: time.Second, note: "the same libonnxruntime file as ours; sonic-rs for JSON, mimalloc, link-time optimisation"},
	{name: "kserve", title: "KServe", language: "Python", folder: "python", install: pip("kserve.txt"),
		packages: []string{"kserve", "uvicorn", "onnxruntime"}, settings: modes, speaks: all,
		argv: python("kserve_peer.py"), start: 6 * time.Second,
		note: "its gRPC server is one process whatever the number of workers"},
	{name: "litserve", title: "LitServe", language: "Python", folder: "python", install: pip("litserve.txt"),
		packages: []string{"litserve", "uvicorn", "onnxruntime"}, settings: batched, speaks: onlyJSON,
		argv: python("litserve_peer.py"), start: 5 * time.Second, note: "fast_queue (ZeroMQ); batch_timeout=0: what is queued goes into one run"},
	{name: "mlserver", title: "MLServer", language: "Python", folder: "python", install: pip("mlserver.txt"),
		packages: []string{"mlserver", "uvicorn", "onnxruntime"}, settings: batched, speaks: []loadtest.Protocol{loadtest.JSON, loadtest.GRPC},
		argv: python("mlserver_peer.py"), start: 6 * time.Second, note: "a runtime of five lines, as it has none for ONNX; compression off"},
	{name: "bentoml", title: "BentoML", language: "Python", folder: "python", install: pip("bentoml.txt"),
		packages: []string{"bentoml", "uvicorn", "onnxruntime"}, settings: modes, speaks: rest,
		argv: func(home string, _ *setting) []string {
			return []string{filepath.Join(home, "venv/bin/python"), "-m", "bentoml", "serve", "bentoml_peer:Served", "--host", "127.0.0.1"}
		},
		env: []string{"BENTOML_DO_NOT_TRACK=True"}, port: "BENTOML_PORT", start: 6 * time.Second,
		note: "the protocol's route is an ASGI app that it mounts, with orjson; its batcher stands before its own APIs alone"},
	{name: "java", title: "Vert.x + onnxruntime", language: "Java", folder: "java", install: maven(),
		packages: []string{"onnxruntime", "vertx-core", "jackson-core"}, settings: modes, speaks: rest,
		argv: func(home string, _ *setting) []string {
			return []string{"java", "-XX:+UseParallelGC", "-Xms256m", "-Xmx1g", "-cp", filepath.Join(home, "src/target/classes") + ":" + filepath.Join(home, "src/target/dependency/*"), "Peer"}
		},
		jit: true, start: 2 * time.Second, note: "Jackson's streaming parser with its fast reader of numbers, an event loop for each worker"},
	// Its models run in a Python library that it carries, an early 3.11: with the
	// standard library of a late one they do not start, with Debian's they do.
	{name: "pytriton", title: "PyTriton", language: "Python, C++", folder: "python", install: pipInto("/usr/bin/python3", "pytriton.txt"),
		packages: []string{"nvidia-pytriton", "onnxruntime"}, settings: batched, speaks: all,
		argv: python("pytriton_peer.py"), start: 10 * time.Second, note: "Triton's own front end and batcher around onnxruntime in Python"},
	{name: "ray", title: "Ray Serve", language: "Python", folder: "python", install: pip("ray.txt"),
		packages: []string{"ray", "onnxruntime"}, settings: []setting{batched[0], batched[1], batched[3]}, speaks: onlyJSON,
		argv: python("ray_peer.py"), env: []string{"RAY_raylet_start_wait_time_s=120", "RAY_USAGE_STATS_ENABLED=0"}, start: 20 * time.Second, note: "it is made for more processors than two: proxy, controller and replicas share them here"},
}

// env is what tells a peer what to do; every peer reads the same.
func (s *setting) env(models, library string, http, grpc int) []string {
	return []string{
		"PEER_MODELS=" + models, "PEER_LIBRARY=" + library, "PEER_HTTP=" + strconv.Itoa(http), "PEER_GRPC=" + strconv.Itoa(grpc),
		fmt.Sprintf("PEER_INTRA=%d", s.Intra), fmt.Sprintf("PEER_WORKERS=%d", s.Workers), fmt.Sprintf("PEER_BATCH=%d", s.Batch),
	}
}
