package infer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// An old model answers who holds a lease on it, and is unloaded after that.
func TestReplaceWaitsForLeases(t *testing.T) {
	r := registry(t, "a@1")
	old, lease, err := r.Acquire("a", "")
	if err != nil {
		t.Fatal(err)
	}
	next := load(t, memengine.AddSub(), &infer.Options{Name: "a", Version: "1"})
	retire := r.Replace(next)
	if now, err := r.Lookup("a", "1"); err != nil || now != next {
		t.Errorf("Lookup = %v, %v; want the new one at once", now, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := retire(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("retire while a lease is held: %v, want Canceled", err)
	}
	ask := &infer.Request{Inputs: []tensor.Tensor{tensor.Of("a", []int64{1, 4}, make([]float32, 4)), tensor.Of("b", []int64{1, 4}, make([]float32, 4))}}
	if _, err := old.Infer(t.Context(), ask); err != nil {
		t.Errorf("the old one under a lease: %v", err)
	}
	lease.Release()
	if err := retire(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := old.Infer(t.Context(), ask); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("the old one after it was retired: %v, want Unavailable", err)
	}
	if r.Replace(load(t, memengine.AddSub(), &infer.Options{Name: "b", Version: "1"})) != nil {
		t.Error("there was nothing to retire")
	}
}

// What could not be retired in time is unloaded by Close.
func TestCloseUnloadsWhatWasReplaced(t *testing.T) {
	eng := memengine.New(map[string]memengine.Model{"m": memengine.AddSub()})
	open := func() *infer.Model {
		m, err := infer.Load(t.Context(), eng, "m", &infer.Options{Name: "m", Digest: "sha256:0"})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	r := &infer.Registry{}
	r.Replace(open())
	r.Replace(open())
	if n := eng.Sessions(); n != 2 {
		t.Fatalf("%d sessions, want 2", n)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := eng.Sessions(); n != 0 {
		t.Errorf("%d sessions are open after Close", n)
	}
}

func TestRefuse(t *testing.T) {
	r := registry(t, "a@1")
	cause := fault.New(fault.Mismatch, "recorded.Check", "a/1", "(mismatch)")
	r.Refuse("a", "1", cause)
	r.Refuse("a", "2", cause)
	if err := r.Ready(); err != nil {
		t.Errorf("Ready: %v, want that refused versions are nobody's loss", err)
	}
	if m, err := r.Lookup("", ""); err != nil || m.Version() != "1" {
		t.Errorf("Lookup of the only model = %v, %v; want version 1", m, err)
	}
	if _, err := r.Lookup("a", "2"); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "(mismatch)") {
		t.Errorf("Lookup of what was refused: %v", err)
	}
	var got []string
	for _, s := range r.Index() {
		got = append(got, fmt.Sprint(s.Version, " ", s.State, " ", strings.Contains(s.Reason, "(mismatch)"), " ", strings.HasPrefix(s.Reason, "the newer one was refused")))
	}
	if diff := cmp.Diff([]string{"1 READY true true", "2 UNAVAILABLE true false"}, got); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	r.Refuse("a", "1", nil)
	if s := r.Index()[0]; s.Reason != "" {
		t.Errorf("reason %q after it was taken back", s.Reason)
	}
	if retire := r.Remove("a", "1"); retire == nil || retire(t.Context()) != nil {
		t.Error("want a model to retire, without an error")
	}
	if r.Remove("a", "9") != nil {
		t.Error("removing what is not there gave something to retire")
	}
	if err := r.Ready(); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Ready with refused versions alone: %v, want Unavailable", err)
	}
}

// Ten thousand models come and go while requests are answered: none fails, and
// no session stays open.
func TestReplaceStress(t *testing.T) {
	const rounds = 10_000
	eng := memengine.New(map[string]memengine.Model{"m": memengine.Identity(tensor.FP32, -1)})
	open := func(version string) *infer.Model {
		m, err := infer.Load(t.Context(), eng, "m", &infer.Options{Name: "m", Version: version, Digest: "sha256:" + version})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	r := &infer.Registry{}
	r.Replace(open("1"))
	var wg sync.WaitGroup
	var answers atomic.Int64
	ask := make(chan struct{}, 8) // requests go in step with the changes, and around them
	for range 4 {
		wg.Go(func() {
			for range ask {
				m, lease, err := r.Acquire("m", "")
				if err != nil {
					t.Error(err)
					continue
				}
				resp, err := m.Infer(t.Context(), &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1}, []float32{1})}})
				lease.Release()
				if err != nil || resp.Digest != "sha256:"+resp.Version {
					t.Errorf("%+v, %v", resp, err)
					continue
				}
				resp.Release()
				answers.Add(1)
			}
		})
	}
	for i := range rounds {
		select {
		case ask <- struct{}{}:
		default:
		}
		var retire []func(context.Context) error
		switch i % 3 {
		case 0: // in place
			retire = append(retire, r.Replace(open("1")))
		case 1: // a version more
			retire = append(retire, r.Replace(open("2")))
		case 2:
			retire = append(retire, r.Remove("m", "2"))
		}
		for _, f := range retire {
			if f == nil {
				continue
			}
			if err := f(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(ask)
	wg.Wait()
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := eng.Sessions(); n != 0 || answers.Load() == 0 {
		t.Errorf("%d sessions are open after %d answers", n, answers.Load())
	}
}
