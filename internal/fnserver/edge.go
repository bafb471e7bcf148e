package fnserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"godwit.dev/adapters/edge"
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

// lifeOnEdge tells systemd how the function is, sends answers on to
// GODWIT_FORWARD_URL, and takes a version back that does not work.
func lifeOnEdge(p *app.Process, log *slog.Logger, path string) (*Life, error) {
	ctx := context.Background() // of log lines
	dir, s, err := app.ReadSpec(path)
	name := ""
	if err == nil {
		name = s.Name
	}
	state := stateFolder(p.Getenv, name)
	life := &Life{Path: path, Output: dir}
	end := func(error) {}
	if dir == path && state != "" { // a lone model file has nothing that it could be measured by
		r := &reverter{dir: state, path: path, log: log, now: time.Now, boot: bootID()}
		life.Path = r.begin(ctx)
		if life.Path != path {
			_, s, err = app.ReadSpec(life.Path)
		}
		life.Loaded, end = r.loaded, func(err error) { r.end(ctx, err) }
	}
	if err != nil {
		return nil, err
	}
	queue, err := forwarded(p.Getenv, s.Name, state, log)
	if err != nil {
		end(nil) // it is not the version's fault
		return nil, err
	}
	service, err := edge.NewService(p.Getenv, os.Getpid(), log)
	if err != nil {
		end(nil)
		if queue != nil {
			err = errors.Join(err, queue.Close())
		}
		return nil, err
	}
	life.Serving = func(ctx context.Context, f *Function) {
		var both sync.WaitGroup
		if queue != nil {
			both.Go(func() { queue.Run(ctx) })
		}
		service.Run(ctx, f.API.Ready)
		both.Wait()
	}
	life.Close = func(err error) error {
		end(err)
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

// bootID is another whenever Linux has started.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // none elsewhere
	return strings.TrimSpace(string(id))
}

// forwarded is the queue of answers to send on, nil where they go nowhere.
func forwarded(getenv func(string) string, name, state string, log *slog.Logger) (*edge.Queue, error) {
	to := getenv("GODWIT_FORWARD_URL")
	if to == "" {
		return nil, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fault.New(fault.Internal, "fnserver.Main", "hostname", "%w", err)
	}
	// Answers of two devices are two answers, even to the same question.
	post, err := edge.Post(to, "/godwit/"+url.PathEscape(host)+"/"+name)
	if err != nil {
		return nil, fault.New(fault.BadConfig, "fnserver.Main", "GODWIT_FORWARD_URL", "%w", err)
	}
	return edge.OpenQueue(&edge.QueueOptions{Dir: filepath.Join(state, "queue"), Forward: post, Log: log})
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
