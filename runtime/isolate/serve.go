package isolate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// controlFD is where a worker finds its socket.
const controlFD = 3

// Serve is the worker: it does what the parent asks for over the socket that
// it inherited, with the engine that newEngine makes, and returns when the
// parent closes it or ends. The logger given to newEngine writes into the
// parent's log. The process should exit then, whatever still runs in it.
//
// The process ignores the signals by which servers are stopped, since a
// platform may send them to every process and the parent still drains then.
func Serve(newEngine func(*slog.Logger) driver.Engine) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// Dumps of the process hold what callers sent.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: noCore, Max: noCore}); err != nil {
		return fault.New(fault.Internal, "isolate.Serve", "", "core dumps cannot be switched off: %w", err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(controlFD, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fault.New(fault.Usage, "isolate.Serve", "", "want a socket as descriptor %d, got none: only a server starts this", controlFD)
	}
	unix.CloseOnExec(controlFD)
	c, err := newControl(controlFD)
	if err != nil {
		return fault.New(fault.Internal, "isolate.Serve", "", "%w", err)
	}
	defer c.close()
	sv := &served{control: c, models: map[uint32]*model{}, segments: map[uint32][]byte{}, lanes: map[uint32]*servedLane{}}
	sv.engine = newEngine(slog.New(logHandler{control: c}))
	for {
		m, file, err := c.receive()
		if isGone(err) {
			return nil
		}
		if err != nil {
			return fault.New(fault.Internal, "isolate.Serve", "", "%w", err)
		}
		sv.do(m, file)
	}
}

// served is the worker's side of everything.
type served struct {
	engine  driver.Engine
	control *control

	mu       sync.Mutex
	models   map[uint32]*model
	segments map[uint32][]byte
	lanes    map[uint32]*servedLane
}

// model is a session, or one that is being opened.
type model struct {
	session driver.Session // nil until it is open
	cancel  context.CancelFunc
	closed  bool

	mu    sync.Mutex
	sizes []int // of each output, in the last run
}

// do answers one question; file is what came with it, or -1.
func (sv *served) do(m *message, file int) {
	reply := &message{ID: m.ID}
	switch m.Kind {
	case askStart:
		if m.Memory > 0 {
			if err := limitMemory(m.Memory); err != nil {
				reply.Fault = tell(fault.New(fault.Internal, "isolate.Serve", "", "memory cannot be limited to %d bytes: %w", m.Memory, err))
			}
		}
	case askOpen:
		ctx, cancel := context.WithCancel(context.Background())
		one := &model{cancel: cancel}
		sv.mu.Lock()
		sv.models[m.Session] = one
		sv.mu.Unlock()
		go sv.open(ctx, m, one) // loading takes long, and its close must be heard; it ends with the process at the latest
		return
	case askClose:
		sv.close(m.Session)
	case askSettle:
		go func() { // takes long; it ends with the process at the latest
			if s, ok := sv.engine.(driver.Settler); ok {
				s.Settle(context.Background())
			}
			sv.control.send(reply)
		}()
		return
	case askTrim:
		go func() { // must not keep others waiting; it ends with the process at the latest
			if t, ok := sv.engine.(driver.Trimmer); ok {
				t.Trim(m.Memory)
			}
			sv.control.send(reply)
		}()
		return
	case askLane:
		l := &servedLane{served: sv, pipe: newPipe(file)}
		sv.mu.Lock()
		sv.lanes[m.Lane] = l
		sv.mu.Unlock()
		go l.serve(m.Lane) // ends when the parent closes the socket, with the process at the latest
		file = -1
	case askMap:
		if err := sv.share(m.Segment, m.Size, file); err != nil {
			reply.Fault = tell(err)
		}
	case askDrop:
		sv.mu.Lock()
		mem := sv.segments[m.Segment]
		delete(sv.segments, m.Segment)
		sv.mu.Unlock()
		if mem != nil {
			unix.Munmap(mem)
		}
		return
	case askCancel:
		sv.mu.Lock()
		l := sv.lanes[m.Lane]
		sv.mu.Unlock()
		if l != nil {
			l.cancelRun(m.Seq)
		}
		return
	default:
		reply.Fault = tell(fault.New(fault.Internal, "isolate.Serve", "", "unknown question %q", m.Kind))
	}
	if file >= 0 {
		unix.Close(file)
	}
	sv.control.send(reply) // the parent is gone if this fails, and the next receive says so
}

func (sv *served) open(ctx context.Context, m *message, one *model) {
	defer one.cancel()
	reply := &message{ID: m.ID}
	s, err := sv.engine.Open(ctx, m.Path, m.Options)
	sv.mu.Lock()
	switch {
	case err != nil:
		delete(sv.models, m.Session)
	case one.closed:
		err = context.Canceled
	default:
		one.session = s
		one.sizes = make([]int, len(s.Signature().Outputs))
		s = nil
	}
	sv.mu.Unlock()
	if err != nil {
		if s != nil {
			s.Close()
		}
		reply.Fault = tell(err)
	} else {
		info := sv.engine.Info()
		reply.Signature, reply.Info = one.session.Signature(), &info
		if p, ok := one.session.(driver.Placer); ok {
			reply.Providers = p.Providers()
		}
	}
	sv.control.send(reply)
}

func (sv *served) close(id uint32) {
	sv.mu.Lock()
	one := sv.models[id]
	delete(sv.models, id)
	var s driver.Session
	if one != nil {
		one.closed = true
		s, one.session = one.session, nil
	}
	sv.mu.Unlock()
	if one != nil {
		one.cancel()
	}
	if s != nil {
		s.Close()
	}
}

// share maps the file of a segment.
func (sv *served) share(id uint32, size int64, file int) error {
	var stat unix.Stat_t
	if err := unix.Fstat(file, &stat); err != nil || size <= 0 || stat.Size < size || size != int64(int(size)) {
		return fault.New(fault.Internal, "isolate.Serve", "", "segment %d: want a file of %d bytes, got one of %d: %v", id, size, stat.Size, err)
	}
	mem, err := unix.Mmap(file, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fault.New(fault.Unavailable, "isolate.Serve", "", "segment %d of %d bytes: %w", id, size, err)
	}
	sv.mu.Lock()
	was := sv.segments[id]
	sv.segments[id] = mem
	sv.mu.Unlock()
	if was != nil {
		unix.Munmap(was)
	}
	return nil
}

func (sv *served) segment(id uint32) []byte {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	return sv.segments[id]
}

// servedLane answers the runs of one lane, one after the other.
type servedLane struct {
	*served
	*pipe
	q       run
	w       writer
	in, out []tensor.Tensor
	shapes  [][]int64 // memory for those of out

	mu       sync.Mutex
	seq      uint64 // of the run in progress
	canceled uint64 // the last run that was to be cancelled; it may not have come yet
	cancel   context.CancelFunc
}

func (l *servedLane) serve(id uint32) {
	defer func() {
		l.served.mu.Lock()
		delete(l.lanes, id)
		l.served.mu.Unlock()
		l.pipe.close()
	}()
	for {
		kind, payload, err := l.read()
		if err != nil {
			if err != io.EOF {
				fmt.Fprintln(os.Stderr, "isolate: a lane is broken:", err)
			}
			return
		}
		if kind != kindRun {
			err = fmt.Errorf("want a run, got a message of kind %d", kind)
		} else {
			err = l.run(payload)
		}
		if err != nil {
			l.w.fault(err)
		}
		msg, err := l.w.finish()
		if err != nil {
			l.w.fault(err)
			msg, _ = l.w.finish()
		}
		if l.write(msg) != nil {
			return // the parent has gone, which read would say as well
		}
	}
}

// run evaluates the model and leaves the answer in the writer, unless it fails.
func (l *servedLane) run(payload []byte) error {
	q := &l.q
	mem, err := q.parse(payload, l.segment)
	if err != nil {
		return fault.New(fault.Internal, "isolate.Serve", "", "%w", err)
	}
	if len(mem) < markSize {
		return fault.New(fault.Internal, "isolate.Serve", "", "a segment of %d bytes", len(mem))
	}
	mark(mem).Store(1)
	l.served.mu.Lock()
	var s driver.Session
	one := l.models[q.session]
	if one != nil {
		s = one.session
	}
	l.served.mu.Unlock()
	if s == nil {
		return fault.New(fault.Internal, "isolate.Serve", "", "no session %d", q.session)
	}
	sig := s.Signature()
	end, err := l.inputs(q, sig, mem)
	if err != nil {
		return err
	}
	if err := l.outputs(q, sig, mem, end, one); err != nil {
		return err
	}
	ctx := context.Background()
	if q.cancelable {
		var done func()
		ctx, done = l.begin(q.seq)
		defer done()
	}
	if err := s.Run(ctx, l.in, l.out); err != nil {
		return err
	}
	defer func() {
		for i := range l.out {
			l.out[i].Release()
		}
	}()
	one.mu.Lock()
	for i, at := range q.out {
		one.sizes[at] = sizeOf(&l.out[i])
	}
	one.mu.Unlock()
	return l.answer(mem, alignUp(end))
}

// inputs makes l.in of the blocks; end is where they end in the segment.
func (l *servedLane) inputs(q *run, sig *driver.Signature, mem []byte) (end int, err error) {
	end = markSize
	if len(q.in) != len(sig.Inputs) {
		return 0, fault.New(fault.Internal, "isolate.Serve", "", "want %d inputs, got %d", len(sig.Inputs), len(q.in))
	}
	l.in = l.in[:0]
	for i, b := range q.in {
		t := tensor.Tensor{Name: sig.Inputs[i].Name, Type: b.dtype, Shape: b.shape}
		part := mem[b.off : b.off+b.size : b.off+b.size]
		if b.dtype == tensor.Bytes {
			n, _ := tensor.Elements(b.shape)
			if t.Strings, err = takeStrings(part, n); err != nil {
				return 0, fault.New(fault.Internal, "isolate.Serve", "", "%w", err)
			}
		} else {
			t.Data = part
		}
		l.in = append(l.in, t)
		end = max(end, b.off+b.size)
	}
	return end, nil
}

// outputs makes l.out, each with room in the segment for what it was last time:
// an engine that finds it there writes where the parent will read.
func (l *servedLane) outputs(q *run, sig *driver.Signature, mem []byte, end int, one *model) error {
	l.out = l.out[:0]
	at := alignUp(end)
	one.mu.Lock()
	defer one.mu.Unlock()
	for n, i := range q.out {
		if i < 0 || i >= len(sig.Outputs) {
			return fault.New(fault.Internal, "isolate.Serve", "", "no output %d", i)
		}
		if n == len(l.shapes) {
			l.shapes = append(l.shapes, make([]int64, 0, 4))
		}
		t := tensor.Tensor{Name: sig.Outputs[i].Name, Shape: l.shapes[n]}
		if size := one.sizes[i]; sig.Outputs[i].Type != tensor.Bytes && size > 0 && at+size <= len(mem) {
			t.Data = mem[at : at : at+size]
			at += alignUp(size)
		}
		l.out = append(l.out, t)
	}
	return nil
}

// begin makes the context of a run, which cancelRun ends.
func (l *servedLane) begin(seq uint64) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	l.mu.Lock()
	l.seq, l.cancel = seq, cancel
	if l.canceled == seq {
		cancel()
	}
	l.mu.Unlock()
	return ctx, func() {
		l.mu.Lock()
		l.cancel = nil
		l.mu.Unlock()
		cancel()
	}
}

func (l *servedLane) cancelRun(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.canceled = seq
	if l.cancel != nil && l.seq == seq {
		l.cancel()
	}
}

// answer puts the outputs that are not in the segment yet behind those that
// are. When they do not fit, it asks for a larger segment and puts all there.
func (l *servedLane) answer(mem []byte, at int) error {
	total := 0
	for i := range l.out {
		total += alignUp(sizeOf(&l.out[i]))
		if off, ok := within(mem, l.out[i].Data); ok {
			at = max(at, alignUp(off+cap(l.out[i].Data)))
		}
	}
	if l.place(mem, at, true) {
		return nil
	}
	l.w.start(kindSpace)
	l.w.u64(uint64(total))
	msg, err := l.w.finish()
	if err != nil {
		return err
	}
	if err := l.write(msg); err != nil {
		return err
	}
	kind, payload, err := l.read()
	if err != nil {
		return err
	}
	r := &reader{b: payload}
	mem = l.segment(r.u32())
	if err := r.end(); err != nil || kind != kindPut || mem == nil || !l.place(mem, markSize, false) {
		return fault.New(fault.Unavailable, "isolate.Run", "", "no memory for outputs of %d bytes", total)
	}
	return nil
}

// place writes the message that says where the outputs are and copies those
// that are elsewhere to at and behind. It reports whether they fit.
func (l *servedLane) place(mem []byte, at int, stay bool) bool {
	l.w.start(kindOK)
	l.w.u32(uint32(len(l.out)))
	for i := range l.out {
		t := &l.out[i]
		n := sizeOf(t)
		off, ok := within(mem, t.Data)
		if !ok || !stay {
			if at+n > len(mem) {
				return false
			}
			put(mem[at:at+n], t)
			off = at
			at += alignUp(n)
		}
		l.w.block(t.Type, t.Shape, off, n)
	}
	return true
}

// within reports where data lies in mem, if it does.
func within(mem, data []byte) (off int, ok bool) {
	if cap(data) == 0 {
		return 0, false
	}
	base, p := uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	if p < base || p-base >= uintptr(len(mem)) {
		return 0, false
	}
	return int(p - base), true
}

// logHandler sends what the engine logs to the parent.
type logHandler struct {
	control *control
	attrs   []slog.Attr
}

func (h logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	line := &record{Level: r.Level, Text: r.Message, Attrs: map[string]string{}}
	add := func(a slog.Attr) bool {
		s := a.Value.Resolve().String()
		line.Attrs[a.Key] = s[:min(len(s), maxText)]
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	return h.control.send(&message{Kind: sayLog, Log: line})
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

func (h logHandler) WithGroup(string) slog.Handler { return h }
