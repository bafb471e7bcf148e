package fnserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"godwit.dev/adapters/edge"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
)

// onEdge recognises a service of Type=notify.
func onEdge(getenv func(string) string) bool {
	return getenv("NOTIFY_SOCKET") != "" && getenv("INVOCATION_ID") != ""
}

func adaptEdge(_ *app.Process, log *slog.Logger) func(*Function) (http.Handler, error) {
	return func(f *Function) (http.Handler, error) {
		return edge.New(f.API, f.Events(), &edge.Options{Auth: f.Auth, Admit: f.API.Options().Admit, Log: log}), nil
	}
}

// lifeOnEdge tells systemd how the function is, sends answers on to where
// targets.edge.forward says, and takes a version back that does not work.
func lifeOnEdge(p *app.Process, log *slog.Logger, path string) (*Life, error) {
	ctx := context.Background() // of log lines
	dir, s, err := app.ReadSpec(path)
	name := ""
	if err == nil {
		name = s.Name
	}
	state := stateFolder(p.Getenv, name)
	life := &Life{Path: path, Output: cmp.Or(p.Getenv("GODWIT_OUTPUT"), dir)}
	r := &reverter{dir: state, path: path, log: log, now: time.Now, boot: bootID()}
	if dir == path && state != "" { // a lone model file has nothing that it could be measured by
		life.Path = r.begin(ctx)
		if life.Path != path {
			_, s, err = app.ReadSpec(life.Path)
		}
	}
	if err != nil {
		return nil, err
	}
	e, err := onDevice(p.Getenv, &s.Targets)
	if err != nil {
		r.end(ctx, nil) // a variable is not the version's
		return nil, err
	}
	r.after = time.Duration(e.HealthyAfter)
	life.Listen = edge.Address(p.Getenv, e.Listen)
	life.Loaded = r.loaded
	queue, err := forwarded(e.Forward, s.Name, state, log)
	if err != nil {
		r.end(ctx, nil)
		return nil, err
	}
	service, err := edge.NewService(p.Getenv, os.Getpid(), log)
	if err != nil {
		r.end(ctx, nil)
		if queue != nil {
			err = errors.Join(err, queue.Close())
		}
		return nil, err
	}
	life.Serving = func(ctx context.Context, f *Function) error {
		ctx, end := context.WithCancel(ctx)
		defer end()
		var all sync.WaitGroup
		if queue != nil {
			all.Go(func() { queue.Run(ctx) })
		}
		all.Go(func() {
			service.Run(ctx, f.API.Ready, func() string { return status(f, life.Path != path, queue) })
		})
		err := r.prove(ctx, f)
		if err != nil {
			end()
		}
		all.Wait()
		return err
	}
	life.Close = func(err error) error {
		r.end(ctx, err)
		if queue == nil {
			return service.Close()
		}
		return errors.Join(service.Close(), queue.Close())
	}
	if queue != nil {
		life.Answers = queue
	}
	return life, nil
}

// status is what systemctl status shows.
func status(f *Function, older bool, queue *edge.Queue) string {
	var b strings.Builder
	b.WriteString("serves " + f.Spec.Name)
	if older {
		b.WriteString(", an older version, as the installed one does not work")
	}
	if queue == nil {
		return b.String()
	}
	s := queue.Stats()
	fmt.Fprintf(&b, "; answers: %d wait", s.Waiting)
	for _, n := range []struct {
		count int
		what  string
	}{{s.Refused, "refused for good"}, {s.Aged, "dropped as too old"}, {s.Crowded, "dropped for room"}, {s.Lost, "lost by the disk"}} {
		if n.count > 0 {
			fmt.Fprintf(&b, ", %d %s", n.count, n.what)
		}
	}
	return b.String()
}

// bootID is another whenever Linux has started.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // none elsewhere
	return strings.TrimSpace(string(id))
}

// The variables that stand in for keys of targets.edge, beside GODWIT_LISTEN.
const (
	forwardURL    = "GODWIT_FORWARD_URL"
	forwardQueue  = "GODWIT_FORWARD_QUEUE"
	forwardMaxAge = "GODWIT_FORWARD_MAX_AGE"
	healthyAfter  = "GODWIT_HEALTHY_AFTER"
)

// onDevice is targets.edge with what variables say in its place. The address may
// be one without TLS there, or "off", and hold what does not belong in a spec.
func onDevice(getenv func(string) string, t *spec.Targets) (*spec.Edge, error) {
	e := t.EdgeOrDefault()
	to := getenv(forwardURL)
	for _, v := range []struct{ name, key string }{{healthyAfter, "healthyAfter"}, {forwardQueue, "forward.queue"}, {forwardMaxAge, "forward.maxAge"}} {
		text := getenv(v.name)
		if text == "" {
			continue
		}
		if v.name != healthyAfter && e.Forward == nil && to == "" {
			return nil, fault.New(fault.BadConfig, "fnserver.Main", v.name, "want it beside %s or targets.edge.forward, got it alone", forwardURL)
		}
		if err := e.Set(v.key, text); err != nil {
			return nil, fault.New(fault.BadConfig, "fnserver.Main", v.name, "%w", err).WithHint("%s", fault.HintOf(err))
		}
	}
	switch {
	case to == "off":
		e.Forward = nil
	case to != "":
		if e.Forward == nil {
			e.Forward = spec.NewForward()
		}
		e.Forward.URL = to
	}
	return e, nil
}

// forwarded is the queue of answers to send on, nil where they go nowhere.
func forwarded(to *spec.Forward, name, state string, log *slog.Logger) (*edge.Queue, error) {
	if to == nil {
		return nil, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fault.New(fault.Internal, "fnserver.Main", "hostname", "%w", err)
	}
	// Answers of two devices are two answers, even to the same question.
	post, err := edge.Post(to.URL, "/godwit/"+url.PathEscape(host)+"/"+name)
	if err != nil {
		return nil, fault.New(fault.BadConfig, "fnserver.Main", forwardURL, "%w", err)
	}
	return edge.OpenQueue(&edge.QueueOptions{
		Dir: filepath.Join(state, "queue"), MaxBytes: int64(to.Queue), MaxAge: time.Duration(to.MaxAge), Forward: post, Log: log,
	})
}

// stateFolder is where what outlives the process lies: $GODWIT_STATE, else the
// folder that systemd has made for the unit, else the function's under /var/lib;
// "" where its name is not known.
func stateFolder(getenv func(string) string, name string) string {
	if dir := getenv("GODWIT_STATE"); dir != "" {
		return dir
	}
	if dir, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	if name == "" {
		return ""
	}
	return filepath.Join("/var/lib/godwit", name)
}
