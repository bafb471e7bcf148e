package adaptertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
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
	// Tell is HOST:PORT. The subject connects there and writes what reached it:
	// of an item its Answer, as JSON, and closes.
	Tell = "test_tell"
	// tellAttribute is the same for payloads that are no JSON, as an attribute.
	tellAttribute = "testtell"
	// Fail is the name of the code to fail with.
	Fail = "test_fail"
	// Panic is anything: the handler panics.
	Panic = "test_panic"
	// Gate is HOST:PORT. The subject connects there, which says that it has
	// begun, and goes on when that connection is closed, or when its context
	// ends; then it writes the reason first.
	Gate = "test_gate"
)

// Setup is how a case wants its adapter and its subject; nil means defaults.
type Setup struct {
	// Timeout is what the platform gives one request or delivery; 0 is its default.
	Timeout time.Duration
	// Body is how many bytes of a request the subject takes; 0 is its default.
	Body int64
	// NoEvents is a function without triggers: its handler of events is nil.
	NoEvents bool
}

// setupVariable carries a Setup to a subject in another process.
const setupVariable = "ADAPTERTEST_SETUP"

// Env is the setup as a variable, KEY=VALUE, for SetupOf in another process.
func (s *Setup) Env() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // three plain fields
	}
	return setupVariable + "=" + string(text)
}

// SetupOf is the setup that Env has put into the environment, else defaults.
func SetupOf(getenv func(string) string) *Setup {
	var s Setup
	_ = json.Unmarshal([]byte(getenv(setupVariable)), &s)
	return &s
}

// New makes the subject: a model "echo-TYPE" (x → y, [-1 3]) and "scalar-TYPE"
// for each type, and "text" (BYTES [-1]), that answer what they are given, and
// "addsub". Close it.
func New(how *Setup) (*Subject, error) {
	if how == nil {
		how = &Setup{}
	}
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
	s.API = oip.New(s.Models, infer.HandlerFunc(s.infer), &oip.Options{Limits: &codec.Limits{Body: how.Body}})
	if !how.NoEvents {
		s.Events = trigger.HandlerFunc(s.handle)
	}
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
	Order                        trigger.Order
	ContentType                  string
	Attributes                   map[string]string
	Object                       *trigger.Object
	Data                         []byte
	Attempt                      int
	Time                         time.Time
}

// handle does what each item's payload says, as JSON with the parameters'
// names, in the items' order; what is no such JSON is Done. It is a handler of
// the careful sort: a panic fails the one item, and when its context ends it
// leaves the rest.
func (s *Subject) handle(ctx context.Context, ev *trigger.Event) []trigger.Outcome {
	out := make([]trigger.Outcome, len(ev.Items))
	for i := range ev.Items {
		if ctx.Err() != nil {
			break
		}
		out[i] = item(ctx, ev, &ev.Items[i])
	}
	return out
}

func item(ctx context.Context, ev *trigger.Event, i *trigger.Item) (out trigger.Outcome) {
	var err error
	defer func() {
		if err != nil {
			out = trigger.Of(err)
		}
	}()
	defer oip.Recover(&err)
	a := Answer{ev.Kind, ev.Source, i.ID, i.Key, i.Group, ev.Order, i.ContentType, i.Attributes, i.Object, i.Data, i.Attempt, i.Time}
	answer, err := json.Marshal(a)
	if err != nil {
		return out
	}
	var params infer.Params
	_ = json.Unmarshal(i.Data, &params)
	if address, ok := i.Attributes[tellAttribute]; ok {
		params = infer.Params{Tell: address}
	}
	if address, ok := params[Tell].(string); ok {
		if err = tell(ctx, address, answer); err != nil {
			return out
		}
	}
	if err = obey(ctx, params); err != nil {
		return out
	}
	return trigger.Outcome{State: trigger.Done, Result: answer}
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
				return failure(c)
			}
		}
		return fault.New(fault.Internal, "adaptertest", "", "no code %q", name)
	}
	return nil
}

// failure has the secret wherever callers may not read the cause.
func failure(c fault.Code) error {
	if c.HTTP() == fault.Internal.HTTP() {
		return fault.New(c, "adaptertest", Secret, "told to").WithHint("Look at %s.", Secret)
	}
	return fault.New(c, "adaptertest", "the subject", "told to")
}

func tell(ctx context.Context, address string, answer []byte) error {
	conn, err := new(net.Dialer).DialContext(context.WithoutCancel(ctx), "tcp", address)
	if err != nil {
		return fault.New(fault.Internal, "adaptertest", address, "%w", err)
	}
	defer conn.Close()
	if _, err := conn.Write(answer); err != nil {
		return fault.New(fault.Internal, "adaptertest", address, "%w", err)
	}
	return nil
}

// wait connects to a gate and returns when it lets go or ctx ends.
func wait(ctx context.Context, address string) error {
	// Not with ctx, which may end when the other side has accepted already.
	conn, err := new(net.Dialer).DialContext(context.WithoutCancel(ctx), "tcp", address)
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
