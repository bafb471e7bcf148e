package isolate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"godwit.dev/runtime/fault"
)

// worker is the parent's side of one worker process.
type worker struct {
	engine  *Engine
	number  uint64
	pid     int
	cmd     *exec.Cmd
	control *control
	stderr  *tail
	exited  chan struct{} // the process is reaped
	reading chan struct{} // nothing reads the control socket any more
	down    chan struct{} // no more runs: it ended, or it said what it must not

	last   atomic.Pointer[session] // of the last run
	wanted atomic.Int64            // bytes that the engine could not get
	useful atomic.Bool             // it has answered a run

	asking sync.Mutex
	asked  uint64
	asks   map[uint64]chan *message

	// guarded by the engine's mu
	inflight int
	dead     bool
	ending   bool // by our wish
	victims  int  // in flight when it died
	lanes    []*lane
	open     int    // lanes
	made     uint32 // lanes, ever: their ids
	reason   string // why the parent killed it, or ""
}

// lane is a socket on which one run at a time talks with the worker.
type lane struct {
	*pipe
	id     uint32
	seq    uint64
	w      writer
	blocks []block
}

// maxLanes bounds the runs at once in one worker; each holds a thread in both processes.
const maxLanes = 256

var numbers atomic.Uint64 // of workers, so that a segment knows who has it

// startWorker starts a process and waits for its first word. memory is what it
// may use more than it has then; 0 is no limit.
func startWorker(e *Engine, memory int64) (*worker, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, startError(e, err)
	}
	c, err := newControl(ours)
	if err != nil {
		unix.Close(theirs)
		return nil, startError(e, err)
	}
	w := &worker{engine: e, number: numbers.Add(1), control: c, stderr: &tail{}, asks: map[uint64]chan *message{},
		exited: make(chan struct{}), reading: make(chan struct{}), down: make(chan struct{})}
	socket := os.NewFile(uintptr(theirs), "control")
	w.cmd = &exec.Cmd{Path: program(e.command[0]), Args: e.command, SysProcAttr: attributes(), Stderr: w.stderr,
		Env: append(append([]string{}, e.opts.Env...), "ORT_DISABLE_TELEMETRY=1", "GOTRACEBACK=single"), ExtraFiles: []*os.File{socket},
		// What a dying process leaves open must not hold its burial up.
		WaitDelay: buryWait / 4}
	err = w.cmd.Start()
	socket.Close()
	if err != nil {
		c.close()
		return nil, startError(e, err)
	}
	w.pid = w.cmd.Process.Pid
	go func() { // ends with the process; bury waits for it
		defer close(w.exited)
		w.cmd.Wait()
		w.die("")
	}()
	go w.read() // ends with the socket; bury waits for it
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	if _, err := w.ask(ctx, &message{Kind: askStart, Memory: memory}); err != nil {
		if asCrash(err) == nil {
			w.die(err.Error())
		}
		w.bury()
		return nil, fault.New(fault.Runtime, "isolate.Open", e.command[0], "the engine's process does not start: %s", w.why())
	}
	return w, nil
}

func startError(e *Engine, err error) error {
	return fault.New(fault.Runtime, "isolate.Open", e.command[0], "the engine's process does not start: %w", err)
}

// read takes what the worker says until it has no more to say.
func (w *worker) read() {
	defer close(w.reading)
	for {
		m, file, err := w.control.receive()
		if file >= 0 {
			unix.Close(file) // nobody asked for one
		}
		if err != nil {
			if isGone(err) {
				w.die("")
			} else {
				w.die(err.Error())
			}
			return
		}
		if m.Kind == sayLog {
			w.note(m.Log)
			m.Log.to(w.engine.opts.Logger)
			continue
		}
		w.asking.Lock()
		answer := w.asks[m.ID]
		delete(w.asks, m.ID)
		w.asking.Unlock()
		if answer != nil { // else the asker has left
			answer <- m
		}
	}
}

// ask sends a question and waits for the answer. A fault in it is the error;
// when the worker ends first the error is a crash.
func (w *worker) ask(ctx context.Context, m *message, files ...int) (*message, error) {
	answer := make(chan *message, 1)
	w.asking.Lock()
	w.asked++
	m.ID = w.asked
	w.asks[m.ID] = answer
	w.asking.Unlock()
	defer func() {
		w.asking.Lock()
		delete(w.asks, m.ID)
		w.asking.Unlock()
	}()
	if err := w.control.send(m, files...); err != nil {
		w.die(unlessGone(err))
		return nil, w.crash()
	}
	select {
	case reply := <-answer:
		if reply.Fault != nil {
			return nil, reply.Fault.fault()
		}
		return reply, nil
	case <-w.down:
		return nil, w.crash()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tell sends what has no answer. A worker that is gone needs not know.
func (w *worker) tell(m *message) { _ = w.control.send(m) }

// die makes the worker one that nothing runs on any more. A reason is why it
// must be killed; without one it has ended, or is about to.
func (w *worker) die(reason string) {
	e := w.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if w.dead {
		return
	}
	w.dead, w.victims, w.reason = true, w.inflight, reason
	if e.worker == w {
		e.worker = nil
	}
	e.broadcast()
	close(w.down)
	if reason != "" {
		w.kill()
	}
}

// kill ends the process and all that it may have started.
func (w *worker) kill() {
	if err := syscall.Kill(-w.pid, syscall.SIGKILL); err != nil {
		w.cmd.Process.Kill()
	}
}

func (w *worker) gone() bool {
	select {
	case <-w.down:
		return true
	default:
		return false
	}
}

// violated kills a worker that said what it must not, and returns the crash.
func (w *worker) violated(err error) error {
	w.die("it said what it must not: " + err.Error())
	return w.crash()
}

// end lets the process exit: it does when the control socket closes.
func (w *worker) end() {
	w.engine.mu.Lock()
	w.ending = true
	w.engine.mu.Unlock()
	w.control.close()
}

// buryWait is how long a process may take to exit once its sockets are closed,
// dumps of its crash on stderr included.
const buryWait = time.Second

// bury waits until the process is reaped and its sockets are closed; one that
// does not exit by itself is killed.
func (w *worker) bury() {
	timer := time.NewTimer(buryWait)
	defer timer.Stop()
	select {
	case <-w.exited:
	case <-timer.C:
		w.engine.mu.Lock()
		if w.reason == "" && !w.ending {
			w.reason = "it hung while it ended"
		}
		w.engine.mu.Unlock()
		w.kill()
		<-w.exited
	}
	w.control.close()
	<-w.reading
	w.engine.mu.Lock()
	lanes := w.lanes
	w.lanes = nil
	w.engine.mu.Unlock()
	for _, l := range lanes {
		l.close()
	}
}

// why says how the process ended. It waits for that, as bury does.
func (w *worker) why() string {
	<-w.exited // bury sees to it
	w.engine.mu.Lock()
	reason := w.reason
	w.engine.mu.Unlock()
	if reason != "" {
		return reason
	}
	return explain(w.cmd.ProcessState, w.stderr.String())
}

func (w *worker) lastModel() string {
	if s := w.last.Load(); s != nil {
		return s.path
	}
	return ""
}

// lease takes a free lane, or makes one.
func (w *worker) lease(ctx context.Context) (*lane, error) {
	e := w.engine
	e.mu.Lock()
	if n := len(w.lanes); n > 0 {
		l := w.lanes[n-1]
		w.lanes = w.lanes[:n-1]
		e.mu.Unlock()
		return l, nil
	}
	if w.open >= maxLanes {
		e.mu.Unlock()
		return nil, fault.New(fault.Unavailable, "isolate.Run", "", "want at most %d runs at once", maxLanes)
	}
	w.open++
	w.made++
	id := w.made
	e.mu.Unlock()
	l, err := w.newLane(ctx, id)
	if err != nil {
		e.mu.Lock()
		w.open--
		e.mu.Unlock()
	}
	return l, err
}

func (w *worker) newLane(ctx context.Context, id uint32) (*lane, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fault.New(fault.Unavailable, "isolate.Run", "", "no socket for a run: %w", err)
	}
	l := &lane{pipe: newPipe(ours), id: id}
	_, err = w.ask(ctx, &message{Kind: askLane, Lane: id}, theirs)
	unix.Close(theirs)
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (w *worker) giveBack(l *lane) {
	e := w.engine
	e.mu.Lock()
	if !w.dead {
		w.lanes = append(w.lanes, l)
		l = nil
	}
	e.mu.Unlock()
	if l != nil {
		l.close()
	}
}

// share makes sure that the worker has mapped the segment, which the caller holds.
func (w *worker) share(ctx context.Context, s *segment) error {
	if s.worker == w.number {
		return nil
	}
	if _, err := w.ask(ctx, &message{Kind: askMap, Segment: s.id, Size: int64(len(s.mem))}, s.fd); err != nil {
		return err
	}
	s.worker = w.number
	return nil
}

// crash is the error of what was in a worker when it ended. It never leaves
// this package.
type crash struct {
	worker *worker
	alone  bool
	begun  bool // the run was in it, and not on the way
}

func (c *crash) Error() string { return "the engine's process ended" }

// crash waits for nothing: the worker is dead.
func (w *worker) crash() *crash {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	return &crash{worker: w, alone: w.victims <= 1}
}

func asCrash(err error) *crash {
	var c *crash
	if errors.As(err, &c) {
		return c
	}
	return nil
}

// record is a line of the worker's log.
type record struct {
	Level slog.Level        `json:"level"`
	Text  string            `json:"text"`
	Attrs map[string]string `json:"attrs,omitempty"`
}

func (r *record) to(log *slog.Logger) {
	if r == nil {
		return
	}
	var attrs []slog.Attr
	for k, v := range r.Attrs {
		attrs = append(attrs, slog.String(k, v))
	}
	log.LogAttrs(context.Background(), r.Level, r.Text, attrs...)
}

func unlessGone(err error) string {
	if isGone(err) {
		return ""
	}
	return fmt.Sprintf("nothing can be said to it: %v", err)
}
