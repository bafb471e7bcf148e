package cold_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/golden"
	"godwit.dev/internal/recorded"
	"godwit.dev/loadtest/cold"
	"godwit.dev/runtime/fault"
)

// TestMain is, when it is started as one, a function that says what its start
// took and needs no time for it.
func TestMain(m *testing.M) {
	if os.Getenv("COLD_TEST") == "" {
		os.Exit(m.Run())
	}
	function()
}

// function serves the port with one fixed answer. By its report it does nothing
// but open a session, all the time.
func function() {
	say := func(phase string, from, to time.Time) {
		fmt.Fprintf(os.Stderr, "{\"msg\":%q,\"phase\":%q,\"from_ns\":%d,\"to_ns\":%d}\n", app.StartMessage, phase, from.UnixNano(), to.UnixNano())
	}
	fmt.Println("a function of a test")
	if os.Getenv("COLD_TEST") == "dies" {
		fmt.Println("no such model")
		os.Exit(3)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	refused := 2
	_ = http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost && refused > 0 { // it is not ready yet
			refused--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if os.Getenv(app.StartReport) != "" {
			begun := time.Unix(0, 0) // before any test
			say("main", begun, begun)
			say("session", begun, time.Now().Add(time.Hour))
		}
		value := "3"
		if os.Getenv("COLD_TEST") == "wrong" {
			value = "4"
		}
		fmt.Fprintf(w, `{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[%s]}]}`, value)
	}))
}

func subject(t *testing.T, how string) *cold.Subject {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"1.json":      `{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}`,
		"1.want.json": `{"outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [3]}]}`,
	} {
		file := filepath.Join(dir, "requests", "m", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	requests, err := recorded.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := &cold.Log{}
	return &cold.Subject{Target: "cloudrun", Log: log, Request: &requests[0], Dir: dir,
		Launch: emulate.Command(self, nil, []string{"COLD_TEST=" + how, "GORACE=atexit_sleep_ms=0"}, log, log)}
}

// A function is started as often as was asked, each start is split into what it
// reported, and it is gone afterwards.
func TestRun(t *testing.T) {
	s := subject(t, "works")
	var said []string
	r, err := cold.Run(t.Context(), s, &cold.Options{Starts: 3, Progress: func(done, all int, cache string) { said = append(said, fmt.Sprintf("%d/%d %s", done, all, cache)) }})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log.Last())
	}
	states := []*cold.State{r.Warm}
	want := []string{"0/7 warm", "1/7 evicted", "2/7 warm", "3/7 evicted", "4/7 warm", "5/7 evicted", "6/7 warm"}
	if r.Evicted != nil {
		states = append(states, r.Evicted)
		if c := r.Cache; !c.Proven() || c.Size <= int64(len(s.Request.Body)) {
			t.Errorf("want the proof that the files had left memory, got %+v", c)
		}
	} else { // a folder for temporary files without a disk, or no Linux
		if want = []string{"0/7 warm", "1/4 warm", "2/4 warm", "3/4 warm"}; r.Unproven == "" {
			t.Error("want starts from the disk, or why there are none")
		}
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	for _, state := range states {
		want := []cold.Figure{{Phase: "session", P50: state.Total.P50, P95: state.Total.P95}}
		if diff := cmp.Diff(want, state.Phases); diff != "" || len(state.TotalsMS) != 3 || state.Largest().Phase != "session" {
			t.Errorf("want 3 starts, all of each the session, got %+v (-want +got):\n%s", state, diff)
		}
	}
	if r.Request != "m/1" || r.Target != "cloudrun" {
		t.Errorf("want m/1 on cloudrun, got %s on %s", r.Request, r.Target)
	}
}

func TestRunFails(t *testing.T) {
	unanswered := subject(t, "works")
	unanswered.Request.Want = nil
	for _, tt := range []struct {
		name    string
		subject *cold.Subject
		code    fault.Code
		text    string
	}{
		{"another answer", subject(t, "wrong"), fault.Mismatch, `output "y"`},
		{"a function that ends", subject(t, "dies"), fault.Unavailable, "exit status 3"},
		{"no recorded answer", unanswered, fault.Invalid, "want a recorded request with its answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := cold.Run(t.Context(), tt.subject, &cold.Options{Starts: 1})
			if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("want %v with %q, got %v: %v", tt.code, tt.text, fault.CodeOf(err), err)
			}
		})
	}
	dies := subject(t, "dies")
	_, _ = cold.Run(t.Context(), dies, nil)
	if got, want := string(dies.Log.Last()), "a function of a test\nno such model\n"; got != want {
		t.Errorf("want what it wrote last, %q, got %q", want, got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := cold.Run(ctx, subject(t, "works"), &cold.Options{Progress: func(int, int, string) { cancel() }}); err == nil {
		t.Error("want an error when its context ends")
	}
}

var report = cold.Report{
	Target: "awslambda", Request: "digits/1", Starts: 2,
	Warm: &cold.State{
		Total:  cold.Figure{P50: 60, P95: 301.5},
		Phases: []cold.Figure{{Phase: "exec", P50: 2, P95: 3}, {Phase: "session", P50: 30, P95: 250.25}, {Phase: "environment", P50: 28, P95: 40}},
		Memory: 64 << 20, TotalsMS: []float64{60, 301.5},
	},
	Cache: cold.Eviction{Size: 100, Before: 90, Left: 0},
}

// A budget that is exceeded is an error that names the largest phase.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		budget *spec.Budget
		want   []string // in the error; none: there is no error
	}{
		{"none", nil, nil},
		{"of other things", &spec.Budget{Zip: 1, Image: 1}, nil},
		{"just kept", &spec.Budget{ColdStart: 301500000, Memory: 64 << 20}, nil},
		{"start", &spec.Budget{ColdStart: 301499000}, []string{"want a cold start of at most 301.499ms", "budget.coldStart", "got 301.5 ms; most of it is session with 250.2 ms"}},
		{"memory", &spec.Budget{Memory: 64<<20 - 1}, []string{"budget.memory", "got 64MiB"}},
		{"both", &spec.Budget{ColdStart: 1e6, Memory: 1e6}, []string{"budget.coldStart", "budget.memory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := report.Check(tt.budget)
			if err == nil {
				if tt.want != nil {
					t.Error("want an error, got none")
				}
				return
			}
			if fault.CodeOf(err) != fault.TooLarge || tt.want == nil {
				t.Errorf("want TooLarge or none, got %v: %v", fault.CodeOf(err), err)
			}
			for _, text := range tt.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("want %q, got %q", text, err)
				}
			}
		})
	}
}

// The document is as docs/cold.md has it.
func TestJSON(t *testing.T) {
	r := report
	r.Evicted = r.Warm
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "report.json", append(text, '\n'))
}
