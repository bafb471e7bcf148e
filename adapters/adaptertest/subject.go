package adaptertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
	"godwit.dev/runtime/trigger"
)

// A Subject is what the adapter under test serves.
type Subject struct {
	API    *oip.Server
	Events trigger.Handler
	Models *infer.Registry
}

// Secret is in every error of the subject that callers may not read.
const Secret = "/srv/models/secret.onnx on db-7"

// The parameters of a request, and the members of an item's JSON, that say
// what the subject does with it before it answers.
const (
	// Fail is the name of the code to fail with.
	Fail = "test_fail"
	// Panic is anything: the handler panics.
	Panic = "test_panic"
	// Gate is HOST:PORT. The subject connects there, which says that it has
	// begun, and goes on when that connection is closed, or when its context
	// ends; then it writes the reason first.
	Gate = "test_gate"
)

// New makes the subject: a model "echo-TYPE" (x → y, [-1 3]), "scalar-TYPE" and
// "text" (BYTES [-1]) that answer what they are given, and "addsub". limits may
// be nil. The log gets what the server writes.
func New(limits *oip.Options) (*Subject, error) {
	models := map[string]memengine.Model{"addsub": memengine.AddSub(), "text": memengine.Identity(tensor.Bytes, -1)}
	for _, d := range tensor.DTypes() {
		models["echo-"+d.String()] = memengine.Identity(d, -1, 3)
		models["scalar-"+d.String()] = memengine.Identity(d)
	}
	s := &Subject{Models: &infer.Registry{}}
	eng := memengine.New(models)
	for name := range models {
		m, err := infer.Load(context.Background(), eng, name, &infer.Options{Name: name, Version: "1", Digest: "sha256:00", Runs: 4})
		if err != nil {
			return nil, err
		}
		if err := s.Models.Add(m); err != nil {
			return nil, err
		}
	}
	var o oip.Options
	if limits != nil {
		o = *limits
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s.API = oip.New(s.Models, infer.HandlerFunc(s.infer), &o)
	s.Events = trigger.HandlerFunc(s.handle)
	return s, nil
}

// infer does what the request's parameters say, and then asks the model.
func (s *Subject) infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	if err := obey(ctx, req.Params); err != nil {
		return nil, err
	}
	m, lease, err := s.Models.Acquire(req.Model, req.Version)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	resp, err := m.Infer(ctx, req)
	if err == nil {
		resp.Prediction = "p-1"
	}
	return resp, err
}

// Answer is what the subject answers to an item: who it was, and its payload.
type Answer struct {
	Kind, Source, ID, Key, Group string
	ContentType                  string
	Attributes                   map[string]string
	Object                       *trigger.Object
	Data                         []byte
	Attempt                      int
}

// handle does what each item's payload says, as JSON with the parameters'
// names; what is no such JSON is Done.
func (s *Subject) handle(ctx context.Context, ev *trigger.Event) []trigger.Outcome {
	out := make([]trigger.Outcome, len(ev.Items))
	for i := range ev.Items {
		item := &ev.Items[i]
		var params infer.Params
		_ = json.Unmarshal(item.Data, &params)
		if out[i] = trigger.Of(obey(ctx, params)); out[i].State != trigger.Done {
			continue
		}
		a := Answer{ev.Kind, ev.Source, item.ID, item.Key, item.Group, item.ContentType, item.Attributes, item.Object, item.Data, item.Attempt}
		out[i].Result, _ = json.Marshal(a)
	}
	return out
}

func obey(ctx context.Context, params infer.Params) error {
	if address, ok := params[Gate].(string); ok {
		if err := wait(ctx, address); err != nil {
			return err
		}
	}
	if _, ok := params[Panic]; ok {
		panic("told to: " + Secret)
	}
	if name, ok := params[Fail].(string); ok {
		for _, c := range fault.Codes() {
			if c.String() == name {
				return fault.New(c, "adaptertest", Secret, "told to")
			}
		}
		return fault.New(fault.Internal, "adaptertest", "", "no code %q", name)
	}
	return nil
}

// wait connects to a gate and returns when it lets go or ctx ends.
func wait(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return fault.New(fault.Internal, "adaptertest", address, "%w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer stop()
	_, err = conn.Read(make([]byte, 1))
	if ctx.Err() != nil {
		_, _ = io.WriteString(conn, ctx.Err().Error())
		return fault.New(fault.CodeOf(ctx.Err()), "adaptertest", "", "%w", ctx.Err())
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fault.New(fault.Internal, "adaptertest", address, "%w", err)
	}
	return nil
}

// Close unloads the models.
func (s *Subject) Close() error {
	if err := s.Models.Close(context.Background()); err != nil {
		return fmt.Errorf("adaptertest: %w", err)
	}
	return nil
}
