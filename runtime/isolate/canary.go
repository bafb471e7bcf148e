package isolate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
	"godwit.dev/runtime/tensor"
)

// Limits of a canary; nil means defaults.
type Limits struct {
	// Memory is how many bytes the model may need to load and to run once, on
	// top of what the process has before. 0 is no limit.
	Memory int64
	// Timeout bounds loading and running. Default 1 min.
	Timeout time.Duration
	// Inputs are run once where they fit the signature, in any order. Else zeros
	// are made up, with 1 for every dynamic dimension; those a model may refuse.
	Inputs []tensor.Tensor
}

// Canary loads the model at path in a process of its own, runs it once and ends
// the process. A nil error says that the model did no harm; otherwise it is
// BadModel and tells what happened, Runtime when no process can be started, or
// the context's. command and opts are as for New; whatever the model does, only
// that process is lost.
func Canary(ctx context.Context, command []string, opts *Options, path string, o *driver.Options, lim *Limits) error {
	var l Limits
	if lim != nil {
		l = *lim
	}
	if l.Timeout == 0 {
		l.Timeout = time.Minute
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && l.Memory > 0 && info.Size() > l.Memory {
		return tooMuch(path, l.Memory, info.Size())
	}
	// The process dies with the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e := New(command, opts)
	w, err := startWorker(e, l.Memory)
	if err != nil {
		return err
	}
	defer e.pool.shut()
	defer w.bury()
	defer w.end()
	limited, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	// An engine stops only between operators, and not at all while it loads.
	defer context.AfterFunc(limited, func() { w.die("it was given up") })()
	what, err := w.trial(limited, path, o, l.Inputs)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fault.New(fault.BadModel, "isolate.Canary", path, "want it to load and to answer within %v, but it still %s", l.Timeout, what).
			WithHint("Look for operators on constants, which are computed while the model loads, and for loops.")
	}
	reason := err.Error()
	if asCrash(err) != nil {
		w.bury()
		reason = w.why()
	} else {
		// The answer comes after everything that was logged.
		_, _ = w.ask(limited, &message{Kind: askStart})
	}
	if l.Memory > 0 && shortOfMemory().MatchString(reason+"\n"+w.stderr.String()) {
		return tooMuch(path, l.Memory, max(requested(reason), w.wanted.Load()))
	}
	if asCrash(err) != nil {
		return fault.New(fault.BadModel, "isolate.Canary", path, "its process ended while it %s: %s", what, reason).
			WithHint("The model, or the engine's library, brings down the process that it is in; the server goes on without it.")
	}
	if e := fault.Of(err); e != nil && e.Code == fault.BadModel || errors.Is(err, context.Canceled) {
		return err
	}
	refused := fault.New(fault.BadModel, "isolate.Canary", path, "while it %s: %w", what, err)
	refused.Hint = fault.HintOf(err)
	return refused
}

// trial loads and runs; what says in which of them it was at the end.
func (w *worker) trial(ctx context.Context, path string, o *driver.Options, in []tensor.Tensor) (what string, err error) {
	e := w.engine
	s := &session{engine: e, id: 1, path: path, opts: *o}
	w.counted(1)
	reply, err := w.ask(ctx, &message{Kind: askOpen, Session: s.id, Path: path, Options: o})
	w.counted(-1)
	if err != nil {
		return "loaded", err
	}
	if err := s.opened(reply); err != nil {
		return "loaded", w.violated(err)
	}
	e.mu.Lock()
	if !w.dead {
		e.worker = w
	}
	e.mu.Unlock()
	in, given := fit(in, s.sig.Inputs)
	if !given {
		if in, err = zeros(s.sig.Inputs, e.opts.Memory); err != nil {
			return "ran", err
		}
	}
	out := make([]tensor.Tensor, len(s.sig.Outputs))
	for i, info := range s.sig.Outputs {
		out[i].Name = info.Name
	}
	if err = s.attempt(ctx, in, out, false); err == nil {
		for i := range out {
			out[i].Release()
		}
		return "ran", nil
	}
	if code := fault.CodeOf(err); !given && asCrash(err) == nil && (code == fault.Invalid || code == fault.Unprocessable) {
		err = nil
	}
	return "ran", err
}

// fit puts inputs into the signature's order, if they are all that it wants and
// of its types and shapes.
func fit(in []tensor.Tensor, inputs []driver.TensorInfo) (ordered []tensor.Tensor, ok bool) {
	if len(in) != len(inputs) {
		return nil, false
	}
	for _, info := range inputs {
		i := slices.IndexFunc(in, func(t tensor.Tensor) bool { return t.Name == info.Name })
		if i < 0 || in[i].Type != info.Type || in[i].Check() != nil || (!info.Unranked && len(in[i].Shape) != len(info.Shape)) {
			return nil, false
		}
		for j, n := range info.Shape {
			if n >= 0 && n != in[i].Shape[j] {
				return nil, false
			}
		}
		ordered = append(ordered, in[i])
	}
	return ordered, true
}

func (w *worker) counted(n int) {
	w.engine.mu.Lock()
	w.inflight += n
	w.engine.mu.Unlock()
}

// zeros are inputs of at most limit bytes in all.
func zeros(inputs []driver.TensorInfo, limit int) ([]tensor.Tensor, error) {
	all := []tensor.Tensor{}
	for _, info := range inputs {
		t := tensor.Tensor{Name: info.Name, Type: info.Type, Shape: append([]int64{}, info.Shape...)}
		for i, n := range t.Shape {
			if n < 0 {
				t.Shape[i] = 1
			}
		}
		n, ok := tensor.Elements(t.Shape)
		size := max(t.Type.Size(), lengthSize)
		if !ok || n > limit/size {
			return nil, fault.New(fault.TooLarge, "isolate.Canary", fmt.Sprintf("input %q", t.Name), "%s elements need more than the %d bytes of shared memory", tensor.FormatShape(t.Shape), limit)
		}
		limit -= n * size
		if t.Type == tensor.Bytes {
			t.Strings = make([][]byte, n)
		} else {
			t.Data = make([]byte, n*t.Type.Size())
		}
		all = append(all, t)
	}
	return all, nil
}

// shortOfMemory matches what C++, ONNX Runtime, Go and its threads say when
// there is no more memory.
var shortOfMemory = lazy.Regexp(`(?i)bad_alloc|failed to allocate|cannot allocate memory|out of memory|memory than there is|pthread_create failed`)

// note keeps how much memory the engine says that it could not get.
func (w *worker) note(r *record) {
	if r == nil {
		return
	}
	for _, s := range r.Attrs {
		if n := requested(s); n > w.wanted.Load() {
			w.wanted.Store(n)
		}
	}
}

// wanted matches where ONNX Runtime says how many bytes it could not get.
var wanted = lazy.Regexp(`requested buffer of size (\d+)`)

func requested(text string) int64 {
	m := wanted().FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return n
}

func tooMuch(path string, limit, need int64) error {
	var more strings.Builder
	if need > 0 {
		fmt.Fprintf(&more, ": at least %d bytes are required", need)
	}
	return fault.New(fault.BadModel, "isolate.Canary", path, "it needs more memory than the %d bytes that are available%s", limit, more.String()).
		WithHint("Give the function more memory, or use a smaller model.")
}
