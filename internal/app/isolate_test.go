package app_test

import (
	"context"
	"strings"
	"testing"

	"godwit.dev/internal/app"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

// dying is a program in a worker's place that a signal ends at once.
var dying = []string{"/bin/sh", "-c", "kill -SEGV $$"}

func TestIsolationIsTheFlagsElseTheSpecs(t *testing.T) {
	for _, c := range []struct {
		name, yaml, mode, target string
		command                  []string
		isolated                 bool
		code                     fault.Code
	}{
		{"nothing said", "", "", "", dying, false, fault.OK},
		{"auto", "isolate: auto\n", "", "", dying, false, fault.OK},
		{"auto where one request comes at a time", "isolate: auto\ntargets: {awslambda: {}}\n", "", "awslambda", dying, false, fault.OK},
		{"the spec", "isolate: on\n", "", "", dying, true, fault.OK},
		{"the flag", "isolate: off\n", "on", "", dying, true, fault.OK},
		{"the flag, off", "isolate: on\n", "off", "", dying, false, fault.OK},
		{"wanted, but there is no program to start", "isolate: on\n", "", "", nil, false, fault.Runtime},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &app.Options{Target: c.target}
			eng, err := app.Isolate(function(t, "model: addsub.onnx\n"+c.yaml), o, &app.Isolation{Command: c.command, Mode: c.mode, Info: driver.Info{Name: "inner"}})
			if fault.CodeOf(err) != c.code {
				t.Fatalf("Isolate: %v, want %v", err, c.code)
			}
			if got := eng != nil; got != c.isolated {
				t.Errorf("an engine of its own process: %v, want %v", got, c.isolated)
			} else if got && eng.Info().Name != "inner" {
				t.Errorf("its name is %q, want that of the engine in it", eng.Info().Name)
			}
			if got := o.Canary != nil; got != (c.command != nil) {
				t.Errorf("a canary: %v", got)
			}
		})
	}
}

// A worker that dies at once is a coded error for the one who loads, and the
// canary refuses what it cannot try.
func TestDeadWorkerIsReported(t *testing.T) {
	dir := function(t, "model: addsub.onnx\nisolate: on\n")
	o := &app.Options{}
	eng, err := app.Isolate(dir, o, &app.Isolation{Command: dying})
	if err != nil {
		t.Fatal(err)
	}
	f, err := app.Open(dir, eng, o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(context.Background())
	if err := f.Load(t.Context()); fault.CodeOf(err) != fault.Runtime || !strings.Contains(err.Error(), "segmentation fault") {
		t.Errorf("Load: %v, want Runtime that names the signal", err)
	}
	if err := o.Canary(t.Context(), dir+"/addsub.onnx", &driver.Options{IntraOp: 1, Runs: 1}); fault.CodeOf(err) != fault.Runtime {
		t.Errorf("Canary: %v, want Runtime", err)
	}
}
