package emulate

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"godwit.dev/runtime/fault"
)

// Options of Start; nil means defaults.
type Options struct {
	// Variant chooses between the forms that a platform's requests may have:
	// see Variants; "" is the first.
	Variant string
	// Timeout is what the platform gives one request or delivery; 0 is its default.
	Timeout time.Duration
	// Concurrency is how many of them an instance may have at once, where the
	// platform has such a setting; 0 is its default.
	Concurrency int
	// Freeze stops the function's process between requests, where the platform
	// does. It must have one of its own.
	Freeze bool
	// Identity makes the identity token that a delivery over HTTP carries, where
	// the platform's service account has one; nil: none.
	Identity func() (string, error)
	// Env are variables that a user has set for the function, KEY=VALUE.
	Env []string
	// Trace, if not nil, is told of every exchange with the function, from
	// several goroutines. It must not keep the bytes.
	Trace func(Exchange)
}

// Exchange is one exchange between platform and function, as it was on the wire
// but for what HTTP itself adds.
type Exchange struct {
	Sent, Got []byte
	Took      time.Duration
}

// Delivery is an event as a platform hands it over.
type Delivery struct {
	// Function is which function of an app it is for, where the platform has
	// several behind one process; "" is the first.
	Function string
	// Path is where the delivery is POSTed to, for platforms that deliver over
	// HTTP and let their user choose; "" is their default.
	Path   string
	Header http.Header // beside those that the platform sets; nil is none
	Body   []byte      // the document
}

// Reply is what the function answered to a Delivery.
type Reply struct {
	// Status is the HTTP status that the platform goes by; 200 and 500 stand
	// for success and a function error where it is no HTTP.
	Status int
	Header http.Header
	Body   []byte
	// Retry says whether the platform, which knows only this reply, would
	// deliver the whole again; Failed lists the ids of those items that it
	// would deliver again where it goes by items.
	Retry  bool
	Failed []string
}

// platform is what each target implements.
type platform interface {
	// env is what the function is started with.
	env() []string
	// ready returns when the function has become ready in the platform's eyes,
	// or why it has not. A process that has ended ends ctx.
	ready(ctx context.Context) error
	// roundTrip carries one request of a caller to the function.
	roundTrip(req *http.Request) (*http.Response, error)
	// deliver hands over an event.
	deliver(ctx context.Context, d *Delivery) (*Reply, error)
	// grace is how long the platform waits after SIGTERM; 0 sends SIGKILL at once.
	grace() time.Duration
	// close ends the platform's own servers and connections.
	close()
}

// An attacher is a platform that handles the function's process itself, other
// than to end it.
type attacher interface{ attach(p Process) }

// target is one line of the table of platforms.
type target struct {
	name     string
	variants []string
	patience time.Duration // until ready
	new      func(o *Options, variant string) (platform, error)
}

// targets are in the order of the spec's.
var targets = []target{
	{"awslambda", []string{"http-v2", "rest-v1", "url", "alb", "alb-multi", "direct", "stream", "rest-stream"}, lambdaInit, newLambda},
	{"cloudrun", []string{"http1", "h2c"}, 4 * time.Minute, newCloudRun},
	{"azurefunctions", []string{"proxied", "forwarded", "envelope"}, 30 * time.Second, newAzure},
	{"knative", []string{"http1", "h2c"}, 10 * time.Minute, newKnative},
	{"sagemaker", []string{"json", "binary"}, sageMakerStart, newSageMaker},
	{"vertexai", []string{"predict", "raw", "binary"}, vertexStart, newVertexAI},
	{"azureml", []string{"score", "protocol"}, 310 * time.Second, newAzureML},
	{"edge", []string{"http1", "h2c"}, 90 * time.Second, newEdge}, // DefaultTimeoutStartSec
}

func find(name string) (*target, error) {
	var names []string
	for i := range targets {
		if targets[i].name == name {
			return &targets[i], nil
		}
		names = append(names, targets[i].name)
	}
	return nil, fault.New(fault.Usage, "emulate.Start", "", "want a target of %s, got %q", strings.Join(names, ", "), name)
}

// Targets lists the platforms that can be played.
func Targets() []string {
	var names []string
	for i := range targets {
		names = append(names, targets[i].name)
	}
	return names
}

// Variants lists the forms that a target's requests may have, the usual one
// first; nil for an unknown target.
func Variants(name string) []string {
	if t, err := find(name); err == nil {
		return slices.Clone(t.variants)
	}
	return nil
}

// Instance is a running function under its platform's contract. Its methods may
// be called concurrently; Stop or Kill it.
type Instance struct {
	target   *target
	platform platform
	process  Process
	opts     Options
}

var _ http.RoundTripper = (*Instance)(nil)

// Start plays the platform name to the function that launch starts, and returns
// when the function is ready in the platform's eyes. Errors: Usage for an
// unknown target or variant, Unavailable when the function ended or did not
// become ready in the time that the platform gives it; ctx can shorten that.
func Start(ctx context.Context, name string, launch Launch, opts *Options) (*Instance, error) {
	t, err := find(name)
	if err != nil {
		return nil, err
	}
	i := &Instance{target: t}
	if opts != nil {
		i.opts = *opts
	}
	variant := i.opts.Variant
	if variant == "" {
		variant = t.variants[0]
	}
	if !slices.Contains(t.variants, variant) {
		return nil, fault.New(fault.Usage, "emulate.Start", name, "want a variant of %s, got %q", strings.Join(t.variants, ", "), variant)
	}
	if i.platform, err = t.new(&i.opts, variant); err != nil {
		return nil, err
	}
	// The user's variables cannot change the platform's.
	if i.process, err = launch(ctx, append(slices.Clone(i.opts.Env), i.platform.env()...)); err != nil {
		i.platform.close()
		return nil, err
	}
	if a, ok := i.platform.(attacher); ok {
		a.attach(i.process)
	}
	if err := i.await(ctx); err != nil {
		i.Kill()
		return nil, err
	}
	return i, nil
}

// await waits until the function is ready or has ended.
func (i *Instance) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, i.target.patience)
	defer cancel()
	go func() {
		select {
		case <-i.process.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	err := i.platform.ready(ctx)
	select {
	case <-i.process.Done():
		if err == nil || errors.Is(err, ctx.Err()) { // else it has said why
			err = i.process.Err()
		}
		return fault.New(fault.Unavailable, "emulate.Start", i.target.name, "want a function that serves, got one that ended: %v", err)
	default:
	}
	if err != nil {
		return fault.New(fault.Unavailable, "emulate.Start", i.target.name, "want a function that is ready within %v: %w", i.target.patience, err)
	}
	return nil
}

// Target is the platform's name.
func (i *Instance) Target() string { return i.target.name }

// PID is the function's process id, or 0 when it shares ours.
func (i *Instance) PID() int { return i.process.PID() }

// Done is closed when the function has ended, whoever ended it.
func (i *Instance) Done() <-chan struct{} { return i.process.Done() }

// RoundTrip carries a request of one of the platform's callers to the function,
// and the answer back, through the platform's wire format. The request's URL
// has the protocol's path; its host does not matter.
func (i *Instance) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := i.platform.roundTrip(req)
	if req.Body != nil {
		req.Body.Close()
	}
	return resp, err
}

// Deliver hands the function an event. An error is ours or the function's death;
// what the function makes of the event is in the reply.
func (i *Instance) Deliver(ctx context.Context, d *Delivery) (*Reply, error) {
	return i.platform.deliver(ctx, d)
}

// Stop ends the function as the platform does. The error says if it did not end
// in time and was killed, or not with exit code 0.
func (i *Instance) Stop(ctx context.Context) error {
	defer i.platform.close()
	grace := i.platform.grace()
	if grace > 0 {
		if err := i.process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-i.process.Done():
			return i.process.Err()
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if err := i.process.Signal(os.Kill); err != nil {
		return err
	}
	<-i.process.Done()
	if grace == 0 { // that is how this platform ends functions
		return nil
	}
	return fault.New(fault.DeadlineExceeded, "emulate.Stop", i.target.name, "want a function that ends within %v of SIGTERM, got one that was killed", grace)
}

// Kill ends the function at once: what it was doing is lost.
func (i *Instance) Kill() {
	defer i.platform.close()
	if i.process.Signal(os.Kill) == nil {
		<-i.process.Done()
		return
	}
	i.platform.close() // one in our own process, which would wait for its callers
	_ = i.process.Signal(syscall.SIGTERM)
	<-i.process.Done()
}

// traced tells the trace of one exchange.
func traced(o *Options, begun time.Time, sent, got []byte) {
	if o.Trace != nil {
		o.Trace(Exchange{Sent: bytes.Clone(sent), Got: bytes.Clone(got), Took: time.Since(begun)})
	}
}
