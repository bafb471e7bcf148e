package fnserver

import (
	"context"
	"log/slog"
	"net/http"
	"os"

	"godwit.dev/adapters/edge"
	"godwit.dev/internal/app"
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

// lifeOnEdge tells systemd how the function is.
func lifeOnEdge(p *app.Process, log *slog.Logger, _ string) (*Life, error) {
	service, err := edge.NewService(p.Getenv, os.Getpid(), log)
	if err != nil {
		return nil, err
	}
	return &Life{
		Serving: func(ctx context.Context, f *Function) { service.Run(ctx, f.API.Ready) },
		Close:   service.Close,
	}, nil
}
