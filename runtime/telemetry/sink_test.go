package telemetry_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record keeps what it is given; gate, if set, is waited for at each event.
type record struct {
	gate chan struct{}
	mu   sync.Mutex
	got  []any
}

func (r *record) add(e any) {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, e)
}

func (r *record) Request(e telemetry.RequestEvent)     { r.add(e) }
func (r *record) Inference(e telemetry.InferenceEvent) { r.add(e) }
func (r *record) Start(p string, d time.Duration)      { r.add(p + d.String()) }
func (r *record) Cache(e telemetry.CacheEvent)         { r.add(e) }
func (r *record) Runtime(i telemetry.RuntimeInfo)      { r.add(i) }
func (r *record) Restarted()                           { r.add("restarted") }

func sendOneOfEach(s telemetry.Sink) []any {
	request := telemetry.RequestEvent{Model: "m", Version: "1", Protocol: telemetry.ProtocolREST, Code: fault.Invalid, Duration: time.Second}
	inference := telemetry.InferenceEvent{Model: "m", Version: "1", Queue: 1, Compute: 2, Rows: 3}
	cache := telemetry.CacheEvent{Model: "m", Bytes: 7}
	info := telemetry.RuntimeInfo{Version: "dev", Engine: "memengine"}
	s.Request(request)
	s.Inference(inference)
	s.Start("load", time.Second)
	s.Cache(cache)
	s.Runtime(info)
	s.Restarted()
	return []any{request, inference, "load1s", cache, info, "restarted"}
}

func TestMultiAndAsyncPassEverythingOnInOrder(t *testing.T) {
	var direct, buffered record
	b := telemetry.Async(&buffered, 0)
	want := sendOneOfEach(telemetry.Multi{&direct, b, telemetry.Discard{}})
	if err := b.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if diff := cmp.Diff(want, direct.got); diff != "" {
		t.Errorf("direct (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, buffered.got); diff != "" {
		t.Errorf("buffered (-want +got):\n%s", diff)
	}
	if n := b.Dropped(); n != 0 {
		t.Errorf("dropped %d, want 0", n)
	}
}

// A sink that hangs for ever costs a request nothing but a dropped event.
func TestAsyncNeverWaitsForAHangingSink(t *testing.T) {
	hung := &record{gate: make(chan struct{})}
	const n, sent = 8, 1000
	b := telemetry.Async(hung, n)
	for range sent {
		b.Request(telemetry.RequestEvent{}) // would block for ever if it waited
	}
	// The deliverer holds one event at most beside the buffer's n.
	if d := b.Dropped(); d < sent-n-1 || d > sent-n {
		t.Errorf("dropped %d of %d with a buffer of %d", d, sent, n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Close(ended); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("Close of a hanging sink: %v, want canceled", err)
	}
	before := b.Dropped()
	b.Request(telemetry.RequestEvent{})
	if b.Dropped() != before+1 {
		t.Error("an event after Close was not counted as dropped")
	}
	close(hung.gate)
	if err := b.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if got := uint64(len(hung.got)) + before; got != sent {
		t.Errorf("delivered and dropped are %d, want %d", got, sent)
	}
}
