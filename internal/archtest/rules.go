// Package archtest holds the house's rules that a compiler does not know: which
// folder may import which, and what only some folders may touch. They are
// plain data here and tests in this folder, over the sources' syntax: so files
// for other platforms, build tags and modules are seen too, which `go list`
// on one machine would leave out.
package archtest

import "slices"

// Module is the import path of the repository's root.
const Module = "godwit.dev"

// arrow is the rule in one line; every violation quotes it.
const arrow = "runtime <- functions | adapters | infra <- internal <- cmd"

// A row says what the packages of one folder, and of the folders below it, may
// import of ours. A folder always may import what is inside itself. The
// longest folder that matches a package is its row; a package without a row is
// a violation, so every new folder gets its place on purpose.
type row struct {
	folder string   // "" is the root package alone; "a/*" is each folder in a, but not a itself
	may    []string // folders, each with all below it; "*" is everything
	tests  []string // what _test.go files may import besides, and besides aids
}

// The sets follow the folder map from left to right.
var (
	base = []string{"runtime/fault", "runtime/lazy", "runtime/tensor", "runtime/quota"}
	file = join(base, "runtime/onnx", "runtime/driver")
	core = join(file, "runtime/infer", "runtime/trigger")
	// portable is all of runtime but engines and their test suite: what
	// functions and adapters build on.
	portable = join(core, "runtime/codec", "runtime/rows", "runtime/store", "runtime/manifest", "runtime/telemetry")
	platform = join(portable, "adapters/oip", "adapters/httpserve")
	conform  = []string{"adapters/adaptertest", "adapters/oip", "adapters/httpserve", "internal/emulate", "internal/emulatetest"}
	joined   = join(portable, "functions", "adapters", "infra", "internal/emulate", "internal/recorded", "internal/samples", "internal/fetch")

	// aids are what every test may import: engines to run against, and helpers
	// that import nothing above the runtime.
	aids = []string{"runtime/ort", "runtime/memengine", "runtime/drivertest", "internal/golden", "internal/testmodels"}
)

var rows = []row{
	{folder: "runtime/fault"},
	{folder: "runtime/lazy"},
	{folder: "runtime/tensor"},
	{folder: "runtime/quota"},
	{folder: "runtime/driver", may: base},
	{folder: "runtime/onnx", may: file}, // a file's signature is a driver.Signature
	{folder: "runtime/infer", may: file},
	{folder: "runtime/trigger", may: file},
	{folder: "runtime/codec", may: core},
	{folder: "runtime/rows", may: join(core, "runtime/codec")},
	{folder: "runtime/store", may: core},
	{folder: "runtime/manifest", may: core},
	{folder: "runtime/telemetry", may: core},
	{folder: "runtime/ort", may: core},
	{folder: "runtime/isolate", may: core}, // an engine around an engine that it never imports
	{folder: "runtime/memengine", may: core},
	{folder: "runtime/drivertest", may: join(core, aids...)}, // a suite: only tests link it

	{folder: "functions/predict", may: portable},
	{folder: "functions/batch", may: portable},

	{folder: "adapters/oip", may: portable, tests: conform},
	{folder: "adapters/httpserve", may: join(portable, "adapters/oip"), tests: conform},
	{folder: "adapters/auth", may: join(portable, "adapters/oip"), tests: conform},
	{folder: "adapters/adaptertest", may: join(join(portable, "adapters/oip"), aids...), tests: conform},
	{folder: "adapters/awslambda", may: join(portable, "adapters/oip"), tests: conform}, // fn-lambda has no server and no gRPC
	{folder: "adapters/cloudrun", may: platform, tests: join(conform, "adapters/auth")}, // tokens of pushes are real ones
	{folder: "adapters/stores", may: portable},                                          // fn-lambda links it: no server and no gRPC
	{folder: "adapters/*", may: platform, tests: conform},

	{folder: "infra/data"},
	{folder: "infra/spec", may: []string{"runtime/fault", "runtime/lazy"}},
	{folder: "infra/render", may: []string{"runtime/lazy", "infra/spec"}},
	{folder: "infra/google", may: []string{"runtime/fault", "runtime/lazy", "infra/spec", "infra/data", "infra/render"}, tests: []string{"knative"}}, // of one spec both say the same
	{folder: "infra/*", may: []string{"runtime/fault", "runtime/lazy", "infra/spec", "infra/data", "infra/render"}},
	{folder: "knative", may: []string{"runtime/fault", "runtime/lazy", "infra/spec", "infra/data", "infra/render"}},
	{folder: "knative/conformance", may: []string{"runtime/fault", "runtime/trigger", "infra/spec", "infra/render", "knative", "adapters/knative", "internal/simulate", "internal/testmodels", "loadtest"}}, // a module of its own: Knative's own checks

	{folder: "internal/emulate", may: portable},
	{folder: "internal/emulatetest", may: conform}, // only tests link it
	{folder: "internal/recorded", may: portable},
	{folder: "internal/samples", may: portable},
	{folder: "internal/client", may: portable},                                 // the protocol from the caller's side
	{folder: "internal/handlerbuild", may: portable},                           // compiles a user's handler by running go
	{folder: "internal/page", may: portable},                                   // the static page of GET /
	{folder: "internal/fetch", may: []string{"runtime/fault", "runtime/lazy"}}, // every function binary links it
	{folder: "internal/app", may: join(joined, "runtime/isolate")},
	{folder: "internal/fnserver", may: join(joined, "internal/app")},
	{folder: "internal/fnlambda", may: join(joined, "internal/app")},
	{folder: "internal/verify", may: joined},
	{folder: "internal/pack", may: join(joined, "internal/app")},
	{folder: "internal/bake", may: join(joined, "internal/app")},
	{folder: "internal/plan", may: []string{"infra/spec", "infra/data"}},
	{folder: "internal/oms", may: []string{"runtime/fault"}},
	{folder: "internal/doctor", may: join(joined, "internal/app", "internal/pack")},
	{folder: "internal/loadtest", may: join(joined, "internal/app")},
	{folder: "internal/chart"},
	{folder: "internal/simulate", may: []string{"runtime/fault", "runtime/lazy", "runtime/infer", "runtime/driver", "runtime/tensor"}}, // the batcher's own policy
	{folder: "internal/tune", may: join(joined, "internal/app", "internal/chart", "loadtest")},
	{folder: "internal/cost", may: join(joined, "internal/app", "internal/chart", "internal/simulate", "loadtest"), tests: []string{"internal/plan"}}, // one price list, read in two ways
	{folder: "loadtest", may: join(joined, "internal/app", "internal/chart")},
	{folder: "loadtest/measure", may: core},
	{folder: "loadtest/peers", may: everything}, // a maintenance program: ours against other servers
	{folder: "loadtest/goals", may: everything}, // a maintenance program: the engine against a C loop
	{folder: "internal/cli", may: join(joined, "internal/app", "internal/fnserver", "internal/fnlambda", "internal/verify", "internal/pack", "internal/bake", "internal/doctor", "internal/oms", "internal/plan", "internal/loadtest", "internal/chart", "internal/simulate", "internal/tune", "internal/cost", "loadtest", "knative",
		"internal/client", "internal/handlerbuild", "internal/page")},
	{folder: "internal/golden"},
	{folder: "internal/archtest"},
	{folder: "internal/testmodels", may: file},

	{folder: "cmd", may: everything},
	{folder: "", may: everything},   // the facade that binaries with a user's handler import
	{folder: "fn", may: everything}, // the same for function binaries, one program each
	{folder: "cdk", may: []string{"runtime/fault", "runtime/manifest", "infra/spec", "infra/data"}}, // a module of its own

	// What no binary of ours links: examples, maintenance programs, end-to-end runs.
	{folder: "examples", may: everything},
	{folder: "scripts", may: everything},
	{folder: "docs", may: everything},
	{folder: "e2e", may: everything},
}

var everything = []string{"*"}

// A ban keeps packages that are not ours out of a folder.
type ban struct {
	folder string // and all below it; tests are free
	path   string // an import path, and all below it
	why    string
}

var bans = []ban{
	{"adapters/oip", "google.golang.org/grpc", "oip is an http.Handler; gRPC is adapters/httpserve's"},
	{"functions", "os", "a handler is the same everywhere: no environment, no files"},
	{"functions", "net/http", "a handler knows no wire; that is the adapters' work"},
	{"infra", "net/http", "renderers are pure functions of the spec"},
	{"functions", "github.com/aws", clouds}, {"runtime", "github.com/aws", clouds}, {"infra", "github.com/aws", clouds},
	{"functions", "cloud.google.com", clouds}, {"runtime", "cloud.google.com", clouds}, {"infra", "cloud.google.com", clouds},
	{"functions", "github.com/Azure", clouds}, {"runtime", "github.com/Azure", clouds}, {"infra", "github.com/Azure", clouds},
	{"runtime", "github.com/spf13/cobra", "flags are internal/cli's"},
	{"functions", "github.com/spf13/cobra", "flags are internal/cli's"},
	{"adapters", "github.com/spf13/cobra", "flags are internal/cli's"},
}

const clouds = "cloud SDKs are the adapters' business"

func join(set []string, more ...string) []string { return append(slices.Clip(set), more...) }
