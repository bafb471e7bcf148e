package loadtest

import (
	"context"
	"strings"
)

// About is what a server says of itself.
type About struct {
	Model   string // as asked
	Version string // of the model; "" where none was named
	Digest  string // of the model, where the server tells it
	Server  string // name and version, "" where it does not say
}

// About asks the server who it is. What it does not tell is empty: that is no
// error, for servers of the protocol differ here.
func (s *Subject) About(ctx context.Context) About {
	a := About{Model: s.o.Model, Version: s.o.Version}
	if s.o.Unchecked {
		return a
	}
	ask := asker{o: &s.o, u: s.p.url}
	var server struct{ Name, Version string }
	if ask.do(ctx, "GET", "v2", &server) == nil {
		a.Server = strings.TrimSpace(server.Name + " " + server.Version)
	}
	var model struct {
		Versions   []string
		Properties map[string]string
	}
	if ask.do(ctx, "GET", "v2/models/"+s.o.Model, &model) == nil {
		a.Digest = model.Properties["digest"]
	}
	return a
}

// Options are those of the subject, defaults and what was found out filled in.
func (s *Subject) Options() Options { return s.o }

// Payloads is how many different requests it is asked.
func (s *Subject) Payloads() int { return len(s.p.payloads) }

// Loop is how requests come, as in Result.
func (s *Subject) Loop() string { return s.o.loop() }
