package tune

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/quota"
)

// Signer sets what shows who sends a request.
type Signer func(ctx context.Context, r *http.Request, body []byte) error

// rig starts servers for candidates and asks them.
type rig struct {
	program string // godwit, under that name
	dir     string // the user's folder
	text    []byte // its godwit.yaml
	at      string // where the candidates' folders are
	model   *spec.Model
	index   int // of the model in the spec
	limit   *Limiter
	sign    Signer // nil: requests are sent as they are
	// requests are the model's recorded ones.
	requests []recorded.Request
	made     int
}

// folder makes a function folder as the user's, but for the changes: the models
// are linked, the recorded requests are copied, since they may not lie elsewhere.
func (r *rig) folder(changes []Change) (string, error) {
	text := r.text
	if len(changes) > 0 {
		var err error
		if text, err = Edit(r.text, changes, ""); err != nil {
			return "", err
		}
	}
	r.made++
	at := filepath.Join(r.at, fmt.Sprint(r.made))
	fail := func(err error) (string, error) {
		return "", fault.New(fault.Internal, "tune.Run", at, "%w", err)
	}
	from, err := filepath.Abs(r.dir)
	if err != nil {
		return fail(err)
	}
	if err := os.Mkdir(at, 0o755); err != nil {
		return fail(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return fail(err)
	}
	for _, e := range entries {
		old, now := filepath.Join(from, e.Name()), filepath.Join(at, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."), e.Name() == spec.FileName:
		case e.Name() == "requests":
			err = os.CopyFS(now, os.DirFS(old))
		case e.Type().IsRegular():
			if os.Link(old, now) == nil {
				continue
			}
			fallthrough // to another file system there are no hard links
		default:
			err = os.Symlink(old, now)
		}
		if err != nil {
			return fail(err)
		}
	}
	if err := os.WriteFile(filepath.Join(at, spec.FileName), text, 0o644); err != nil {
		return fail(err)
	}
	return at, nil
}

// server is a candidate's.
type server struct {
	url           string
	threads, runs int
	sees          quota.Quota
	took          time.Duration // until it was ready
	used          int           // blocks

	cmd   *exec.Cmd
	cage  *cage
	log   *serverLog
	ended chan struct{}
}

// start starts a server on dir within s and waits until it is ready. *Out says
// that it did not get that far; other errors are ours.
func (r *rig) start(ctx context.Context, dir string, s Shape) (*server, error) {
	c, err := r.limit.cage(s)
	if err != nil {
		return nil, err
	}
	one := &server{cage: c, log: &serverLog{shared: make(chan struct{}), model: r.model.Name}, ended: make(chan struct{})}
	one.cmd = exec.Command(r.program, "serve", dir, "--listen", "127.0.0.1:0", "--json")
	one.cmd.Stderr = one.log
	out, err := one.cmd.StdoutPipe()
	begun := time.Now()
	if err == nil {
		err = c.start(one.cmd)
	}
	if err != nil {
		c.close()
		return nil, fault.New(fault.Runtime, "tune.Run", r.program, "%w", err)
	}
	var ready struct {
		URL    string
		Models []struct {
			Name, Version string
			Threads, Runs int
		}
	}
	stop := context.AfterFunc(ctx, func() { one.cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	err = json.NewDecoder(bufio.NewReader(out)).Decode(&ready)
	one.took = time.Since(begun)
	go func() {
		defer close(one.ended)
		io.Copy(io.Discard, out)
		one.cmd.Wait()
	}()
	if err != nil || ready.URL == "" {
		<-one.ended
		why := one.why(s)
		c.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &Out{why}
	}
	one.url = ready.URL
	for _, m := range ready.Models {
		if m.Name == r.model.Name && m.Version == r.model.Version {
			one.threads, one.runs = m.Threads, m.Runs
		}
	}
	one.sees = sees(one.cmd.Process.Pid)
	if err := s.holds(one.sees); err != nil {
		one.stop()
		return nil, fault.New(fault.Runtime, "tune.Run", r.limit.How(), "the server is not held to %v: %w", s, err)
	}
	return one, nil
}

// stop ends the server and waits for it.
func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(20*time.Second, func() { s.cmd.Process.Kill() })
	defer kill.Stop()
	<-s.ended
	s.cage.close()
}

// gone is why the server has ended by itself, or nil while it runs.
func (s *server) gone(shape Shape) error {
	select {
	case <-s.ended:
		return &Out{s.why(shape)}
	default:
		return nil
	}
}

// why is why a server that has ended did so.
func (s *server) why(shape Shape) string {
	if s.cage.killed() {
		return fmt.Sprintf("killed by the kernel: %s of memory is not enough", spec.Bytes(shape.Memory))
	}
	said := s.log.last()
	if state := s.cmd.ProcessState; said == "" && state != nil {
		said = state.String()
	}
	return "the server ended: " + said
}

// serverLog reads a server's log: what it said last, and whether requests share runs.
type serverLog struct {
	model string

	mu      sync.Mutex
	part    []byte
	line    string
	batches bool
	told    bool
	shared  chan struct{} // closed when that is known
}

// maxLine bounds what is kept of one line.
const maxLine = 4 << 10

func (l *serverLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := b; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		rest = after
		if room := maxLine - len(l.part); room > 0 {
			l.part = append(l.part, line[:min(len(line), room)]...)
		}
		if whole {
			l.read(l.part)
			l.part = l.part[:0]
		}
	}
	return len(b), nil
}

func (l *serverLog) read(line []byte) {
	if bytes.Contains(line, []byte(`"msg":"request"`)) {
		return
	}
	if len(bytes.TrimSpace(line)) > 0 {
		l.line = string(line)
	}
	var said struct {
		Msg, Model string
		Shared     bool
	}
	if l.told || json.Unmarshal(line, &said) != nil || said.Msg != "batching" || said.Model != l.model {
		return
	}
	l.told, l.batches = true, said.Shared
	close(l.shared)
}

// last is the last line that is no request's, as its error where it has one.
func (l *serverLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.line + string(l.part))
	var said struct{ Error, Msg string }
	if json.Unmarshal([]byte(text), &said) == nil && said.Error+said.Msg != "" {
		text = strings.TrimSpace(said.Error + " " + said.Msg)
	}
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return text
}

// settled waits until the server knows whether requests may share runs, or most
// has passed, and reports whether they may.
func (s *server) settled(ctx context.Context, most time.Duration) (bool, error) {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-s.log.shared:
	case <-s.ended:
	case <-t.C:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.batches, nil
}

// batchable reports whether the model's signature lets requests share runs: the
// first dimension of everything is open.
func (r *rig) batchable(ctx context.Context, s *server) (bool, error) {
	body, err := r.get(ctx, s, http.MethodGet, "", nil)
	if err != nil {
		return false, err
	}
	type info struct{ Shape []int64 }
	var meta struct{ Inputs, Outputs []info }
	if err := json.Unmarshal(body, &meta); err != nil {
		return false, fault.New(fault.Internal, "tune.Run", r.model.Name, "the metadata is not the protocol's: %w", err)
	}
	for _, i := range append(meta.Inputs, meta.Outputs...) {
		if len(i.Shape) == 0 || i.Shape[0] != -1 {
			return false, nil
		}
	}
	return true, nil
}

// atOnce is how many recorded requests are under way at once while answers are checked.
const atOnce = 16

// check asks the recorded requests, all at once so that those that may share runs
// do, and compares their answers.
func (r *rig) check(ctx context.Context, s *server, shape Shape) error {
	var mu sync.Mutex
	var problems []error
	var asked sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range r.requests {
		asked.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := r.ask(ctx, s, &r.requests[i]); err != nil {
				mu.Lock()
				defer mu.Unlock()
				problems = append(problems, err)
			}
		})
	}
	asked.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := s.gone(shape); err != nil {
		return err
	}
	if len(problems) > 0 {
		text := problems[0].Error()
		if f := fault.Of(problems[0]); f != nil {
			text = f.Err.Error()
		}
		if fault.CodeOf(problems[0]) == fault.Mismatch {
			text = "answers differ from the recorded ones: " + problems[0].Error()
		}
		return &Out{text}
	}
	return nil
}

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 64 << 20

// ask asks one recorded request. A server that has just been under load may refuse
// it for a while.
func (r *rig) ask(ctx context.Context, s *server, one *recorded.Request) error {
	const again, tries = 50 * time.Millisecond, 100
	var body []byte
	for n := 1; ; n++ {
		var err error
		if body, err = r.get(ctx, s, http.MethodPost, "/infer", one.Body); err == nil {
			break
		}
		if code := fault.CodeOf(err); n == tries || code != fault.Unavailable && code != fault.RateLimited {
			return err
		}
		t := time.NewTimer(again)
		select {
		case <-t.C:
		case <-s.ended:
			t.Stop()
			return err
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
	answer, err := codec.DecodeResponse(body, -1, nil)
	if err != nil {
		return fault.New(fault.Internal, "tune.Check", one.Path, "the answer is not the protocol's: %w", err)
	}
	if one.Want == nil {
		return nil
	}
	return one.Want.Check(answer)
}

// get asks the server something of the model.
func (r *rig) get(ctx context.Context, s *server, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	u := s.url + "/v2/models/" + url.PathEscape(r.model.Name) + "/versions/" + url.PathEscape(r.model.Version) + path
	fail := func(code fault.Code, format string, args ...any) ([]byte, error) {
		return nil, fault.New(code, "tune.Check", u, format, args...)
	}
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return fail(fault.Internal, "%w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.sign != nil {
		if err := r.sign(ctx, req, body); err != nil {
			return nil, err
		}
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fail(fault.Unavailable, "%w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fail(fault.Unavailable, "%w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fail(fault.OfHTTP(resp.StatusCode), "%s: %.200s", resp.Status, bytes.TrimSpace(text))
	}
	return text, nil
}

// withoutID is r as callers send it, so that nothing tells two apart.
func withoutID(r *infer.Request) *infer.Request {
	c := *r
	c.ID = ""
	return &c
}

// scratch makes the folder for the candidates; close removes it.
func (r *rig) scratch(program string) error {
	at, err := os.MkdirTemp("", "godwit-tune-*")
	if err != nil {
		return fault.New(fault.Internal, "tune.Run", "", "%w", err)
	}
	r.at = at
	// Some programs are one binary under several names.
	r.program = filepath.Join(at, "godwit")
	if err := os.Symlink(program, r.program); err != nil && !errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Internal, "tune.Run", at, "%w", err)
	}
	return nil
}

func (r *rig) close() { os.RemoveAll(r.at) }
