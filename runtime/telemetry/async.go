package telemetry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/fault"
)

// Buffer is a Sink in front of another one that may be slow or hang. Events
// wait in a bounded buffer; those that find it full are dropped and counted,
// so that telemetry never delays a request.
type Buffer struct {
	sink    Sink
	events  chan func(Sink)
	dropped atomic.Uint64
	done    chan struct{}

	mu     sync.RWMutex // guards closed, and sends against close(events)
	closed bool
}

var _ Sink = (*Buffer)(nil)

// Async returns a Buffer of n events (0 means 1024) in front of sink. The
// caller closes it. Events keep their order.
func Async(sink Sink, n int) *Buffer {
	if n <= 0 {
		n = 1024
	}
	b := &Buffer{sink: sink, events: make(chan func(Sink), n), done: make(chan struct{})}
	go b.drain() // ends with Close, which waits for it
	return b
}

func (b *Buffer) drain() {
	defer close(b.done)
	for event := range b.events {
		event(b.sink)
	}
}

func (b *Buffer) put(event func(Sink)) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.closed {
		select {
		case b.events <- event:
			return
		default:
		}
	}
	b.dropped.Add(1)
}

func (b *Buffer) Request(e RequestEvent)     { b.put(func(s Sink) { s.Request(e) }) }
func (b *Buffer) Inference(e InferenceEvent) { b.put(func(s Sink) { s.Inference(e) }) }
func (b *Buffer) Cache(e CacheEvent)         { b.put(func(s Sink) { s.Cache(e) }) }
func (b *Buffer) Runtime(i RuntimeInfo)      { b.put(func(s Sink) { s.Runtime(i) }) }
func (b *Buffer) Restarted()                 { b.put(Sink.Restarted) }
func (b *Buffer) Start(phase string, took time.Duration) {
	b.put(func(s Sink) { s.Start(phase, took) })
}

// Dropped is the number of events that were lost because the buffer was full
// or closed.
func (b *Buffer) Dropped() uint64 { return b.dropped.Load() }

// Close refuses further events and waits until the buffered ones have been
// delivered. When ctx ends first the error is DeadlineExceeded or Canceled,
// and the goroutine that delivers ends when the sink returns.
func (b *Buffer) Close(ctx context.Context) error {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.events)
	}
	b.mu.Unlock()
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return fault.New(fault.CodeOf(ctx.Err()), "telemetry.Close", "", "%d events were not delivered: %w", len(b.events), ctx.Err())
	}
}
