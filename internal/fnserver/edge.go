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

// lifeOnEdge tells systemd how the function is, and sends answers on to
// GODWIT_FORWARD_URL.
func lifeOnEdge(p *app.Process, log *slog.Logger, path string) (*Life, error) {
	_, s, err := app.ReadSpec(path)
	if err != nil {
		return nil, err
	}
	queue, err := forwarded(p.Getenv, s.Name, log)
	if err != nil {
		return nil, err
	}
	service, err := edge.NewService(p.Getenv, os.Getpid(), log)
	if err != nil {
		if queue != nil {
			err = errors.Join(err, queue.Close())
		}
		return nil, err
	}
	life := &Life{
		Serving: func(ctx context.Context, f *Function) { service.Run(ctx, f.API.Ready) },
		Close:   service.Close,
	}
	if queue == nil {
		return life, nil
	}
	life.Answers = queue
	life.Serving = func(ctx context.Context, f *Function) {
		var both sync.WaitGroup
		both.Go(func() { queue.Run(ctx) })
		service.Run(ctx, f.API.Ready)
		both.Wait()
	}
	life.Close = func() error { return errors.Join(service.Close(), queue.Close()) }
	return life, nil
}

// forwarded is the queue of answers to send on, nil where they go nowhere.
func forwarded(getenv func(string) string, name string, log *slog.Logger) (*edge.Queue, error) {
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
	return edge.OpenQueue(&edge.QueueOptions{Dir: filepath.Join(stateFolder(getenv, name), "queue"), Forward: post, Log: log})
}

// stateFolder is where what outlives the process lies: $GODWIT_STATE, else the
// folder that systemd has made for the unit, else the function's under /var/lib.
func stateFolder(getenv func(string) string, name string) string {
	if dir := getenv("GODWIT_STATE"); dir != "" {
		return dir
	}
	if dir, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	return filepath.Join("/var/lib/godwit", name)
}
