package emulate

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"godwit.dev/runtime/fault"
)

// Lambda's limits (AWS, "Lambda quotas"); what the Runtime API refuses is a
// little more than six MiB.
const (
	lambdaPayload  = 6 << 20
	lambdaStreamed = 200 << 20
	lambdaTimeout  = 29 * time.Second // what API Gateway waits for at most
	lambdaInit     = 10 * time.Second
	lambdaGrace    = 500 * time.Millisecond // with an internal extension
)

// lambda plays AWS Lambda: the Runtime API that the function asks for
// invocations, the Extensions API as far as it takes to be sent SIGTERM, and
// the front ends of lambdafront.go. An environment has one invocation at a
// time, or with Options.Concurrency as many, as a Managed Instance has; only
// then do timeouts not end it. It is the only one, as with a reserved
// concurrency of 1: a request that finds it busy is refused with 429, and an
// event waits, as its source tries again.
type lambda struct {
	opts    *Options
	variant string
	server  *http.Server
	address string
	served  chan struct{} // closed when the server has ended
	queue   chan *invocation
	first   chan error    // nil once the function has asked for work, else why it cannot
	slots   chan struct{} // a place for each invocation that may be in progress

	mu        sync.Mutex
	process   Process
	running   map[string]*invocation
	invoked   int
	asking    int // requests for the next invocation that wait
	frozen    bool
	ending    bool // it is not frozen again
	extension bool
	conns     map[net.Conn]http.ConnState
}

// invocation is one from its arrival to its answer.
type invocation struct {
	id       string
	payload  []byte
	begun    time.Time
	deadline time.Time
	answer   chan answered // one place
	// ctx ends when nobody waits for the answer any more.
	ctx    context.Context
	cancel context.CancelFunc
}

// answered is what the function made of an invocation.
type answered struct {
	body   []byte
	stream io.ReadCloser // instead of body, where the front end streams
	media  string
	failed *functionError
}

// functionError is an error as the function reports it.
type functionError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func newLambda(o *Options, variant string) (platform, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fault.New(fault.Internal, "emulate.Start", "awslambda", "%w", err)
	}
	l := &lambda{
		opts: o, variant: variant, address: ln.Addr().String(), queue: make(chan *invocation), first: make(chan error, 1),
		running: map[string]*invocation{}, conns: map[net.Conn]http.ConnState{}, served: make(chan struct{}),
	}
	l.slots = make(chan struct{}, max(1, o.Concurrency))
	mux := http.NewServeMux()
	const api = "/2018-06-01/runtime/"
	mux.HandleFunc("GET "+api+"invocation/next", l.next)
	mux.HandleFunc("POST "+api+"invocation/{id}/response", l.response)
	mux.HandleFunc("POST "+api+"invocation/{id}/error", l.failure)
	mux.HandleFunc("POST "+api+"init/error", l.initError)
	mux.HandleFunc("POST /2020-01-01/extension/register", l.register)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // it has registered for no events
	})
	l.server = &http.Server{Handler: mux, ConnState: l.connState}
	go func() {
		defer close(l.served)
		_ = l.server.Serve(ln)
	}()
	return l, nil
}

func (l *lambda) env() []string {
	env := []string{
		"AWS_LAMBDA_RUNTIME_API=" + l.address, "AWS_LAMBDA_FUNCTION_NAME=function", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/function", "AWS_LAMBDA_LOG_STREAM_NAME=2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "_HANDLER=bootstrap", "TZ=:UTC",
	}
	if l.streams() {
		// As the stack sets it whose function URL or REST API streams: no event tells.
		env = append(env, "GODWIT_RESPONSE_STREAM=true")
	}
	if n := l.opts.Concurrency; n > 1 {
		env = append(env, "AWS_LAMBDA_MAX_CONCURRENCY="+strconv.Itoa(n))
	}
	return env
}

// attach implements attacher: Lambda freezes processes, and kills those that
// take too long.
func (l *lambda) attach(p Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.process = p
	l.freeze()
}

func (l *lambda) ready(ctx context.Context) error {
	select {
	case err := <-l.first:
		return err
	case <-ctx.Done():
		select { // it may have ended because of the error that it told
		case err := <-l.first:
			return err
		default:
		}
		return ctx.Err()
	}
}

// grace is what an extension brings. What is frozen has to be thawed to end.
func (l *lambda) grace() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending = true
	l.thaw()
	if l.extension {
		return lambdaGrace
	}
	return 0
}

func (l *lambda) close() {
	_ = l.server.Close()
	<-l.served
}

func (l *lambda) timeout() time.Duration {
	if l.opts.Timeout > 0 {
		return l.opts.Timeout
	}
	return lambdaTimeout
}

// freeze stops the process if nothing is in progress and it asks for all the
// work that it may have; sockets that nobody uses then are dead when it is
// thawed. l.mu is held.
func (l *lambda) freeze() {
	if !l.opts.Freeze || l.frozen || l.ending || l.process == nil || len(l.running) > 0 || l.asking < max(1, l.opts.Concurrency) {
		return
	}
	if l.process.Signal(syscall.SIGSTOP) != nil {
		return
	}
	l.frozen = true
	for c, state := range l.conns {
		if state == http.StateIdle {
			_ = c.Close()
		}
	}
}

// thaw lets the process go on. l.mu is held.
func (l *lambda) thaw() {
	if l.frozen {
		_ = l.process.Signal(syscall.SIGCONT)
		l.frozen = false
	}
}

func (l *lambda) connState(c net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(l.conns, c)
		return
	}
	l.conns[c] = state
}

// streams tells whether the front end takes answers as they are made.
func (l *lambda) streams() bool { return l.variant == "stream" || l.variant == "rest-stream" }

// errBusy is what AWS says by 429: each environment there may be is at work.
var errBusy = errors.New("every environment is busy")

// invoke has the function do one invocation, when it asks for one. An error is
// errBusy unless patient, the harness's or ctx's; the invocation goes on without
// its caller.
func (l *lambda) invoke(ctx context.Context, payload []byte, patient bool) (a answered, err error) {
	l.mu.Lock()
	process := l.process
	l.mu.Unlock()
	ended := func() error {
		return fault.New(fault.Unavailable, "emulate.Invoke", "awslambda", "the function has ended: %v", process.Err())
	}
	select {
	case l.slots <- struct{}{}:
	default:
		if !patient {
			return answered{}, errBusy
		}
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return answered{}, ctx.Err()
		case <-process.Done():
			return answered{}, ended()
		}
	}
	l.mu.Lock()
	l.invoked++
	// Ids are UUIDs; these count.
	i := &invocation{id: fmt.Sprintf("8476a536-e9f4-11e8-9739-%012x", l.invoked), payload: payload, begun: time.Now(), answer: make(chan answered, 1)}
	l.thaw()
	l.mu.Unlock()
	i.ctx, i.cancel = context.WithCancel(ctx)
	defer func() {
		if a.stream == nil {
			i.cancel()
		}
	}()
	select {
	case l.queue <- i:
	case <-ctx.Done():
		<-l.slots
		return answered{}, ctx.Err()
	case <-process.Done():
		return answered{}, ended()
	}
	late := time.NewTimer(l.timeout())
	defer late.Stop()
	select {
	case a := <-i.answer:
		if a.stream == nil {
			traced(l.opts, i.begun, payload, a.body)
		}
		return a, nil
	case <-ctx.Done():
		return answered{}, ctx.Err()
	case <-process.Done():
		return failed("Runtime.ExitError", "RequestId: "+i.id+" Error: Runtime exited with error"), nil
	case <-late.C:
		if l.opts.Concurrency <= 1 { // a Managed Instance goes on
			_ = process.Signal(syscall.SIGKILL)
		}
		return failed("Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", i.id, l.timeout().Seconds())), nil
	}
}

func failed(kind, message string) answered {
	e := &functionError{kind, message}
	body, _ := json.Marshal(e)
	return answered{body: body, failed: e}
}

// next is the function asking for work, which ends what it did before.
func (l *lambda) next(w http.ResponseWriter, r *http.Request) {
	select {
	case l.first <- nil:
	default:
	}
	l.mu.Lock()
	l.asking++
	l.freeze()
	l.mu.Unlock()
	var i *invocation
	select {
	case i = <-l.queue:
	case <-r.Context().Done():
	}
	l.mu.Lock()
	l.asking--
	if i != nil {
		i.deadline = time.Now().Add(l.timeout())
		l.running[i.id] = i
		l.thaw() // it may have asked between our thawing it and this
	}
	l.mu.Unlock()
	if i == nil {
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:function")
	h.Set("Lambda-Runtime-Trace-Id", lambdaTrace)
	_, _ = w.Write(i.payload)
}

const lambdaTrace = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"

// take ends an invocation.
func (l *lambda) take(w http.ResponseWriter, r *http.Request) *invocation {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.running[r.PathValue("id")]
	if i == nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "no such invocation is in progress")
		return nil
	}
	delete(l.running, i.id)
	<-l.slots
	return i
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(functionError{kind, message})
}

func accept(w http.ResponseWriter) {
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

func (l *lambda) response(w http.ResponseWriter, r *http.Request) {
	if l.streams() && r.Header.Get("Content-Type") == lambdaPrelude {
		l.streamed(w, r)
		return
	}
	limit := int64(lambdaPayload)
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	i := l.take(w, r)
	if i == nil {
		return
	}
	if err != nil {
		i.answer <- failed("Runtime.TruncatedResponse", err.Error())
		return
	}
	if int64(len(body)) > limit {
		i.answer <- failed("Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291556 bytes).")
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes).")
		return
	}
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		told, _ := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		i.answer <- failed(kind, string(told))
	} else {
		i.answer <- answered{body: body, media: r.Header.Get("Content-Type")}
	}
	accept(w)
}

func (l *lambda) failure(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, lambdaPayload))
	i := l.take(w, r)
	if i == nil {
		return
	}
	e := &functionError{}
	if err != nil || json.Unmarshal(body, e) != nil {
		refuse(w, http.StatusBadRequest, "InvalidErrorShape", "want an error as JSON")
		e = &functionError{Type: "Runtime.Unknown"}
	}
	i.answer <- answered{body: bytes.Clone(body), failed: e}
	accept(w)
}

func (l *lambda) initError(w http.ResponseWriter, r *http.Request) {
	var e functionError
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&e); err != nil {
		refuse(w, http.StatusBadRequest, "InvalidErrorShape", err.Error())
		return
	}
	select {
	case l.first <- fmt.Errorf("the function reports %s: %s", e.Type, e.Message):
	default:
	}
	accept(w)
}

func (l *lambda) register(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Lambda-Extension-Name") == "" {
		refuse(w, http.StatusBadRequest, "InvalidExtensionName", "want a name")
		return
	}
	l.mu.Lock()
	l.extension = true
	l.mu.Unlock()
	w.Header().Set("Lambda-Extension-Identifier", "3f2c1a10-0000-4000-8000-000000000001")
	_, _ = io.WriteString(w, `{"functionName":"function","functionVersion":"$LATEST","handler":"bootstrap"}`)
}
