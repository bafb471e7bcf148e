package isolate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// session is the parent's side of a model in the worker.
type session struct {
	engine    *Engine
	id        uint32
	path      string
	opts      driver.Options
	stamp     os.FileInfo // of the model's file; nil when there is none
	sig       *driver.Signature
	providers []string

	space atomic.Int64 // what the outputs of the last run needed

	// guarded by the engine's mu
	closed  bool
	broken  error // why it is not in the worker
	strikes int   // crashes while it was opened again
}

func (s *session) Signature() *driver.Signature { return s.sig }

func (s *session) Providers() []string { return s.providers }

// Close unloads the model. With the last session the worker ends, and Close
// waits for that.
func (s *session) Close() error {
	e := s.engine
	e.mu.Lock()
	if s.closed {
		e.mu.Unlock()
		return nil
	}
	s.closed = true
	delete(e.sessions, s.id)
	w, last := e.worker, e.refs == 1
	e.mu.Unlock()
	if w != nil && !last {
		// The wait keeps memory flat where versions come and go. A worker that
		// crashed meanwhile has no session to close.
		ctx, cancel := context.WithTimeout(context.Background(), e.opts.Stuck)
		_, _ = w.ask(ctx, &message{Kind: askClose, Session: s.id})
		cancel()
	}
	e.release()
	return nil
}

// maxSignature bounds what a worker may say of a model.
const maxSignature = 1 << 14

// opened takes the worker's word for what the model is.
func (s *session) opened(m *message) error {
	sig := m.Signature
	if sig == nil || len(sig.Inputs) > maxSignature || len(sig.Outputs) > maxSignature {
		return fmt.Errorf("no signature, or one too long")
	}
	for _, info := range slices.Concat(sig.Inputs, sig.Outputs) {
		if !info.Type.Valid() || len(info.Shape) > maxRank || (len(info.Symbols) != 0 && len(info.Symbols) != len(info.Shape)) {
			return fmt.Errorf("%q: type %d, %d dimensions, %d symbols", info.Name, info.Type, len(info.Shape), len(info.Symbols))
		}
		if i := slices.IndexFunc(info.Shape, func(n int64) bool { return n < -1 }); i >= 0 {
			return fmt.Errorf("%q: dimension %d", info.Name, info.Shape[i])
		}
	}
	s.sig, s.providers = sig, m.Providers
	if len(s.providers) == 0 {
		s.providers = []string{"cpu"}
	}
	return nil
}

// same checks that a model which was opened again is the one it was.
func (s *session) same(m *message) error {
	was, err := json.Marshal(s.sig)
	if err != nil {
		return err
	}
	is, err := json.Marshal(m.Signature)
	if err != nil {
		return err
	}
	if string(was) != string(is) {
		return fault.New(fault.BadModel, "isolate.Open", s.path, "the model takes or gives something else than when it was loaded first")
	}
	return nil
}

func stampOf(path string) os.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

// unchanged refuses to open a file again that is not the one it was: its
// answers would be given under the digest of another.
func (s *session) unchanged() error {
	now := stampOf(s.path)
	if (s.stamp == nil) != (now == nil) || (now != nil && (!os.SameFile(s.stamp, now) || !s.stamp.ModTime().Equal(now.ModTime()) || s.stamp.Size() != now.Size())) {
		return fault.New(fault.BadModel, "isolate.Open", s.path, "the file has changed since it was loaded")
	}
	return nil
}

// Run is as driver.Session says. A run whose worker crashes is done once more,
// alone, unless it was alone already: then it is to blame. Errors besides the
// engine's own: Internal for that one, Unprocessable for inputs that were
// there at two crashes, Unavailable while no worker can be had, TooLarge and
// Unavailable when the shared memory does not suffice.
func (s *session) Run(ctx context.Context, in, out []tensor.Tensor) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := s.engine.poison
	if p.refused(s.path, in) {
		return fault.New(fault.Unprocessable, "isolate.Run", "", "these inputs ended the engine's process twice and are refused for a while").
			WithHint("Send other values; whoever runs the server finds the reason in its log.")
	}
	err := s.attempt(ctx, in, out, false)
	c := asCrash(err)
	for n := 0; c != nil && !c.begun && n < retries; n++ {
		err = s.attempt(ctx, in, out, false)
		c = asCrash(err)
	}
	if c == nil {
		return err
	}
	if p.crashed(s.path, in) || c.alone {
		return ended()
	}
	err = s.attempt(ctx, in, out, true)
	if asCrash(err) != nil {
		p.crashed(s.path, in)
		return ended()
	}
	p.absolve(s.path, in)
	return err
}

// retries is how often a run is sent to another worker when the one that it was
// sent to ended before it had begun with it.
const retries = 3

func ended() error {
	return fault.New(fault.Internal, "isolate.Run", "", "the engine's process ended while it ran this request")
}

func (s *session) attempt(ctx context.Context, in, out []tensor.Tensor, alone bool) error {
	e := s.engine
	w, err := e.enter(ctx, alone, false)
	if err != nil {
		return err
	}
	defer e.leave(w, alone)
	e.mu.Lock()
	broken := s.broken
	e.mu.Unlock()
	if broken != nil {
		return broken
	}
	l, err := w.lease(ctx)
	if err != nil {
		return err
	}
	defer w.giveBack(l)
	w.last.Store(s)
	return s.on(ctx, w, l, in, out)
}

// on runs the model on a lane.
func (s *session) on(ctx context.Context, w *worker, l *lane, in, out []tensor.Tensor) error {
	pool := &s.engine.pool
	need := markSize + int(s.space.Load())
	for i := range in {
		need += alignUp(sizeOf(&in[i]))
	}
	seg, err := pool.lease(need)
	if err != nil {
		return err
	}
	defer func() { pool.release(seg) }()
	if err := w.share(ctx, seg); err != nil {
		return err
	}
	if err := s.question(ctx, l, seg, in, out); err != nil {
		return err
	}
	msg, err := l.w.finish()
	if err != nil {
		return fault.New(fault.TooLarge, "isolate.Run", "", "%w", err)
	}
	if ctx.Done() != nil {
		defer s.cancelWith(ctx, w, l)()
	}
	seg.unmark()
	kind, payload, err := l.talk(w, msg)
	if c := asCrash(err); c != nil {
		c.begun = seg.begun()
	}
	if err != nil {
		return err
	}
	if kind == kindSpace {
		bytes, err := parseSpace(payload)
		if err != nil {
			return begun(w.violated(err))
		}
		larger, err := pool.lease(markSize + bytes)
		if err == nil {
			pool.release(seg)
			seg = larger
			err = w.share(context.WithoutCancel(ctx), seg)
		}
		l.w.start(kindPut)
		if err == nil {
			l.w.u32(seg.id)
		} else {
			l.w.u32(0) // the worker forgets the outputs and says so
		}
		msg, _ = l.w.finish()
		var talked error
		if kind, payload, talked = l.talk(w, msg); talked != nil {
			begun(talked)
			return talked
		}
		if err != nil {
			return err
		}
	}
	switch kind {
	case kindOK:
		return s.take(w, l, seg, payload, out)
	case kindError:
		e, err := parseFault(payload)
		if err != nil {
			return begun(w.violated(err))
		}
		if e.Code == fault.Canceled || e.Code == fault.DeadlineExceeded {
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return e
	}
	return begun(w.violated(fmt.Errorf("a message of kind %d", kind)))
}

// question puts the inputs into the segment and writes the message about them.
func (s *session) question(ctx context.Context, l *lane, seg *segment, in, out []tensor.Tensor) error {
	l.seq++
	l.w.start(kindRun)
	l.w.u64(l.seq)
	l.w.u32(s.id)
	if ctx.Done() != nil {
		l.w.u8(1)
	} else {
		l.w.u8(0)
	}
	l.w.u32(seg.id)
	l.w.u32(uint32(len(in)))
	at := markSize
	for i := range in {
		t := &in[i]
		if len(t.Shape) > maxRank {
			return fault.New(fault.Invalid, "isolate.Run", fmt.Sprintf("input %q", t.Name), "want a rank of at most %d, got %d", maxRank, len(t.Shape))
		}
		n := sizeOf(t)
		put(seg.mem[at:at+n], t)
		l.w.block(t.Type, t.Shape, at, n)
		at += alignUp(n)
	}
	l.w.u32(uint32(len(out)))
	for i := range out {
		at := s.output(out[i].Name)
		if at < 0 {
			return fault.New(fault.Internal, "isolate.Run", fmt.Sprintf("output %q", out[i].Name), "not in the signature")
		}
		l.w.u32(uint32(at))
	}
	return nil
}

func (s *session) output(name string) int {
	return slices.IndexFunc(s.sig.Outputs, func(o driver.TensorInfo) bool { return o.Name == name })
}

// begun says of a crash that the run was in the worker.
func begun(err error) error {
	if c := asCrash(err); c != nil {
		c.begun = true
	}
	return err
}

// talk sends a message and waits for the answer.
func (l *lane) talk(w *worker, msg []byte) (kind byte, payload []byte, err error) {
	if err := l.write(msg); err != nil {
		w.die(unlessGone(err))
		return 0, nil, w.crash()
	}
	kind, payload, err = l.read()
	if err == io.EOF {
		w.die("")
		return 0, nil, w.crash()
	}
	if err != nil {
		return 0, nil, w.violated(err)
	}
	return kind, payload, nil
}

// copyBelow is the size in bytes up to which an output is copied: cheaper than
// holding a whole segment until the caller releases it.
const copyBelow = 64 << 10

// take makes tensors of the blocks that the worker names.
func (s *session) take(w *worker, l *lane, seg *segment, payload []byte, out []tensor.Tensor) error {
	pool := &s.engine.pool
	blocks, err := parseReply(payload, l.blocks, len(out), len(seg.mem))
	l.blocks = blocks
	if err != nil {
		return begun(w.violated(err))
	}
	space := 0
	for i := range out {
		b := &blocks[i]
		if want := s.sig.Outputs[s.output(out[i].Name)].Type; b.dtype != want {
			err = fmt.Errorf("output %q is %v, want %v", out[i].Name, b.dtype, want)
			break
		}
		space += alignUp(b.size)
		t := tensor.Tensor{Name: out[i].Name, Type: b.dtype, Shape: append(out[i].Shape[:0], b.shape...)}
		mem := seg.mem[b.off : b.off+b.size : b.off+b.size]
		switch {
		case b.dtype == tensor.Bytes:
			n, _ := tensor.Elements(b.shape)
			if t.Strings, err = takeStrings(mem, n); err != nil {
				err = fmt.Errorf("output %q: %w", out[i].Name, err)
			}
		case b.size <= copyBelow || cap(out[i].Data) >= b.size || b.dtype == tensor.Bool:
			if t.Data = append(out[i].Data[:0], mem...); t.Data == nil {
				t.Data = []byte{}
			}
			if b.dtype == tensor.Bool {
				oneBit(t.Data)
			}
		default:
			t.Data = mem
			pool.hold(seg)
			t.SetFree(sync.OnceFunc(func() { pool.release(seg) }))
		}
		if err != nil {
			break
		}
		out[i] = t
	}
	if err != nil {
		for i := range out {
			out[i].Release()
		}
		return begun(w.violated(err))
	}
	s.space.Store(int64(space))
	if !w.useful.Load() {
		w.useful.Store(true)
	}
	return nil
}

// oneBit makes every byte 0 or 1: Go's bool has no other value.
func oneBit(b []byte) {
	for i, v := range b {
		if v > 1 {
			b[i] = 1
		}
	}
}

// cancelWith tells the worker when ctx ends, and kills it when the run goes on
// for long after. The returned stop waits until neither can happen any more.
func (s *session) cancelWith(ctx context.Context, w *worker, l *lane) (stop func()) {
	var stuck *time.Timer
	done := make(chan struct{})
	seq := l.seq
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		stuck = time.AfterFunc(s.engine.opts.Stuck, func() { w.die("a run did not end when it was told to") })
		w.tell(&message{Kind: askCancel, Lane: l.id, Seq: seq})
	})
	return func() {
		if !cancel() {
			<-done
			stuck.Stop()
		}
	}
}
