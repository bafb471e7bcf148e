package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"godwit.dev/internal/samples"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// prepared is what a run sends.
type prepared struct {
	url      *url.URL
	payloads [][]byte
}

// prepare finds out whom to ask and with what, encodes it, and asks once.
func prepare(ctx context.Context, o *Options) (*prepared, error) {
	u, err := url.Parse(o.Target)
	if err != nil {
		return nil, err
	}
	if o.Unchecked && (len(o.Requests) == 0 || o.Model == "") {
		return nil, fault.New(fault.Usage, "loadtest.Run", o.Target, "want requests and a model's name for a target that is not asked, got none")
	}
	asked := asker{o: o, u: u}
	if o.Model == "" && len(o.Requests) > 0 {
		o.Model = o.Requests[0].Model
	}
	if o.Model == "" {
		if o.Model, err = asked.onlyModel(ctx); err != nil {
			return nil, err
		}
	}
	requests := o.Requests
	if len(requests) == 0 {
		if requests, err = asked.generate(ctx); err != nil {
			return nil, err
		}
	}
	if o.Payloads > 0 {
		requests = rotate(requests, o.Payloads, o.Seed)
	}
	p := &prepared{url: u}
	for _, r := range requests {
		b, err := encode(ctx, u, o, o.Protocol, r)
		if err != nil {
			return nil, err
		}
		p.payloads = append(p.payloads, b)
	}
	if !o.Unchecked {
		err = asked.check(ctx, p, requests[0])
	}
	return p, err
}

// asker asks the server the few things that are not load.
type asker struct {
	o *Options
	u *url.URL
}

// maxMetadata bounds what is read of an answer that is not load, in bytes.
const maxMetadata = 16 << 20

func (a *asker) do(ctx context.Context, method, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, a.o.Timeout)
	defer cancel()
	u := a.u.JoinPath(path)
	var body []byte
	if method == http.MethodPost {
		body = []byte("{}")
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.Usage, "loadtest.Run", u.String(), "%w", err)
	}
	for name, values := range a.o.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if a.o.Sign != nil {
		if err := a.o.Sign(ctx, req, body); err != nil {
			return err
		}
	}
	transport := &http.Transport{DialContext: a.o.Dial, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return unreachable(u.String(), err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMetadata))
	if err != nil {
		return unreachable(u.String(), err)
	}
	if resp.StatusCode != http.StatusOK {
		return fault.New(fault.OfHTTP(resp.StatusCode), "loadtest.Run", u.String(), "%s: %s", resp.Status, short(text))
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fault.New(fault.Internal, "loadtest.Run", u.String(), "the answer is not the protocol's: %w", err)
	}
	return nil
}

func unreachable(where string, err error) error {
	return fault.New(fault.Unavailable, "loadtest.Run", where, "%w", err).WithHint("Check that a server runs there.")
}

func short(text []byte) string {
	s := strings.TrimSpace(string(text))
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return s
}

func (a *asker) onlyModel(ctx context.Context) (string, error) {
	var index []struct{ Name string }
	var names []string
	if err := a.do(ctx, http.MethodPost, "v2/repository/index", &index); err != nil {
		e := fault.Of(err)
		if e == nil || e.Code == fault.Unavailable {
			return "", err
		}
		var list struct{ Models []string } // as KServe's runtimes have it
		if a.do(ctx, http.MethodGet, "v2/models", &list) != nil {
			return "", e.WithHint("Name the model; not every server lists its models.")
		}
		names = list.Models
	}
	for _, m := range index {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	if len(names) != 1 {
		return "", fault.New(fault.Usage, "loadtest.Run", a.o.Target, "want the name of one model of %s, got none", strings.Join(names, ", "))
	}
	return names[0], nil
}

// signature reads the model's inputs from its metadata.
func (a *asker) signature(ctx context.Context) (*driver.Signature, error) {
	path := "v2/models/" + a.o.Model
	if a.o.Version != "" {
		path += "/versions/" + a.o.Version
	}
	var meta struct {
		Inputs []struct {
			Name, Datatype string
			Shape          []int64
		}
	}
	if err := a.do(ctx, http.MethodGet, path, &meta); err != nil {
		return nil, err
	}
	sig := &driver.Signature{}
	for _, in := range meta.Inputs {
		d, ok := tensor.ParseDType(in.Datatype)
		if !ok {
			return nil, fault.New(fault.Unsupported, "loadtest.Run", in.Name, "want a type of the protocol, got %q", in.Datatype)
		}
		sig.Inputs = append(sig.Inputs, driver.TensorInfo{Name: in.Name, Type: d, Shape: in.Shape})
	}
	return sig, nil
}

// guesses is how many made-up requests are tried until one is answered.
const guesses = 48

// generate makes up a request that the server accepts, and as many of the same
// shapes as are wanted.
func (a *asker) generate(ctx context.Context) ([]*infer.Request, error) {
	sig, err := a.signature(ctx)
	if err != nil {
		return nil, err
	}
	var last answer
	for _, r := range samples.Generate(sig, guesses, a.o.Seed) {
		if last, err = a.ask(ctx, JSON, r); err != nil {
			return nil, err
		}
		if last.ok {
			return a.alike(sig, r), nil
		}
		if last.code != http.StatusBadRequest && last.code != http.StatusUnprocessableEntity && last.code != http.StatusInternalServerError {
			break
		}
	}
	return nil, fault.New(fault.Invalid, "loadtest.Run", a.o.Model, "want requests, got none, and those made up from the metadata are refused: %s %s", last.outcome, short(last.body)).
		WithHint("Give recorded requests.")
}

// alike makes more requests of the shapes of r: the signature with these
// shapes filled in leaves nothing else open.
func (a *asker) alike(sig *driver.Signature, r *infer.Request) []*infer.Request {
	fixed := &driver.Signature{}
	for i := range sig.Inputs {
		info := sig.Inputs[i]
		info.Shape = r.Inputs[i].Shape
		fixed.Inputs = append(fixed.Inputs, info)
	}
	n := max(1, min(max(a.o.Payloads, 1), maxPayloads/max(1, size(r))))
	all := []*infer.Request{r}
	for _, other := range samples.Generate(fixed, n, a.o.Seed+1) {
		if len(all) < n && sameShapes(r, other) {
			all = append(all, other)
		}
	}
	return all
}

// ask sends one request and keeps the answer.
func (a *asker) ask(ctx context.Context, p Protocol, r *infer.Request) (answer, error) {
	b, err := encode(ctx, a.u, a.o, p, r)
	if err != nil {
		return answer{}, err
	}
	c, err := newCaller(a.u, a.o, p, [][]byte{b})
	if err != nil {
		return answer{}, err
	}
	defer c.close()
	deadline := time.Now().Add(a.o.Timeout)
	if err := c.open(ctx, deadline); err != nil {
		return answer{}, unreachable(a.o.Target, err)
	}
	stop := context.AfterFunc(ctx, c.abort)
	defer stop()
	got := c.call(ctx, 0, deadline, true)
	return got, ctx.Err()
}

// check asks once: what is timed must be answers, and the right ones.
func (a *asker) check(ctx context.Context, p *prepared, r *infer.Request) error {
	want, err := a.answer(ctx, JSON, r)
	if err != nil || a.o.Protocol == JSON {
		return err
	}
	got, err := a.answer(ctx, a.o.Protocol, r)
	if err != nil {
		return err
	}
	return same(want, got)
}

func (a *asker) answer(ctx context.Context, p Protocol, r *infer.Request) (*infer.Response, error) {
	got, err := a.ask(ctx, p, r)
	if err != nil {
		return nil, err
	}
	subject := fmt.Sprintf("%s over %s", a.o.Target, p)
	if !got.ok {
		code := fault.OfHTTP(got.code)
		if got.code == 0 || p == GRPC {
			code = fault.Unavailable
		}
		return nil, fault.New(code, "loadtest.Run", subject, "the first request was not answered: %s %s", got.outcome, short(got.body))
	}
	var resp *infer.Response
	if p == GRPC {
		resp, err = codec.DecodeInferResponseGRPC(got.body, nil)
	} else {
		resp, err = codec.DecodeResponse(got.body, got.header, nil)
	}
	if err == nil && len(resp.Outputs) == 0 {
		err = fmt.Errorf("want outputs, got none")
	}
	if err != nil {
		return nil, fault.New(fault.Internal, "loadtest.Run", subject, "the first answer is not the protocol's: %w", err)
	}
	return resp, nil
}
