package emulate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"godwit.dev/runtime/fault"
)

// What a transform job does unless it says otherwise ("CreateTransformJob",
// "TransformInput", "TransformOutput", "ModelClientConfig").
const (
	transformPayload = 6   // MaxPayloadInMB
	transformMost    = 100 // MaxPayloadInMB, and times MaxConcurrentTransforms
	transformTimeout = 600 * time.Second
	transformTries   = 1 + 3
)

// The settings of a transform job, as headers of its input object: they are not
// sent. Content-Type and Accept are, with every request.
const (
	transformSplit    = "Split-Type"     // None, Line
	transformStrategy = "Batch-Strategy" // MultiRecord, SingleRecord
	transformAssemble = "Assemble-With"  // None, Line
	transformMaximum  = "Max-Payload-In-MB"
	transformParallel = "Max-Concurrent-Transforms"
)

// transform is how a job sends its data.
type transform struct {
	parallel, payload int
	single            bool
	line, newline     bool // SplitType, AssembleWith
}

// deliver is a batch transform job over one input object. The reply's body is
// the output object; one request that is refused fails the object, which then
// has none, with that request's answer.
func (s *sageMaker) deliver(ctx context.Context, d *Delivery) (*Reply, error) {
	job, err := s.plan(ctx, d.Header)
	if err != nil {
		return nil, fault.New(fault.Usage, "emulate.Deliver", "sagemaker", "the transform job fails: %w", err)
	}
	bodies := [][]byte{d.Body}
	if job.line {
		bodies = records(d.Body)
		if !job.single {
			bodies, err = grouped(bodies, int64(job.payload)<<20)
		}
	}
	if err != nil {
		return nil, fault.New(fault.TooLarge, "emulate.Deliver", "sagemaker", "the transform job fails: %w", err)
	}
	header := http.Header{}
	for _, name := range []string{"Content-Type", "Accept"} {
		if v := d.Header.Get(name); v != "" {
			header.Set(name, v)
		}
	}
	sent := &mlJob{front: &s.mlFront, route: "/invocations", header: header, parallel: job.parallel, most: int64(job.payload) << 20, timeout: transformTimeout, tries: transformTries}
	answers, err := sent.answers(ctx, bodies)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "emulate.Deliver", "sagemaker", "%w", err)
	}
	out := &Reply{Status: http.StatusOK, Header: http.Header{}}
	for i := range answers {
		a := &answers[i]
		if a.Status != http.StatusOK {
			return a, nil
		}
		out.Header.Set("Content-Type", a.Header.Get("Content-Type"))
		out.Body = append(out.Body, a.Body...)
		// "To add a newline character at the end of every transformed record":
		// AWS's own containers end a batch's rows with one, and no output has
		// empty lines, so one that is there is enough.
		if n := len(out.Body); job.newline && n > 0 && out.Body[n-1] != '\n' {
			out.Body = append(out.Body, '\n')
		}
	}
	return out, nil
}

// plan is what the job says, else the container, else SageMaker.
func (s *sageMaker) plan(ctx context.Context, job http.Header) (t transform, err error) {
	said, err := s.executionParameters(ctx)
	if err != nil {
		return t, err
	}
	if t.parallel, err = number(job, transformParallel, cmp.Or(said.MaxConcurrentTransforms, 1)); err != nil {
		return t, err
	}
	if t.payload, err = number(job, transformMaximum, cmp.Or(said.MaxPayloadInMB, transformPayload)); err != nil {
		return t, err
	}
	strategy := map[string]string{"MULTI_RECORD": "MultiRecord", "SINGLE_RECORD": "SingleRecord", "": "MultiRecord"}[said.BatchStrategy]
	if t.single, err = choice(job, transformStrategy, strategy, "MultiRecord", "SingleRecord"); err != nil {
		return t, err
	}
	if t.line, err = choice(job, transformSplit, "None", "None", "Line"); err != nil {
		return t, err
	}
	if t.newline, err = choice(job, transformAssemble, "None", "None", "Line"); err != nil {
		return t, err
	}
	if t.payload < 1 || t.parallel < 1 || t.payload*t.parallel > transformMost {
		return t, fmt.Errorf("want at most %d MB under way, got MaxConcurrentTransforms %d times MaxPayloadInMB %d", transformMost, t.parallel, t.payload)
	}
	return t, nil
}

type executionParameters struct {
	MaxConcurrentTransforms int
	BatchStrategy           string
	MaxPayloadInMB          int
}

// executionParameters are what the container says, which need be nothing.
func (s *sageMaker) executionParameters(ctx context.Context) (p executionParameters, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address()+"/execution-parameters", http.NoBody)
	if err != nil {
		return p, err
	}
	resp, err := s.client.RoundTrip(req)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return p, err
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return p, fmt.Errorf("/execution-parameters: %w", err)
	}
	return p, nil
}

func number(h http.Header, name string, or int) (int, error) {
	text := h.Get(name)
	if text == "" {
		return or, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s: want a number of at least 1, got %q", name, text)
	}
	return n, nil
}

// choice reports whether a setting is b and not a.
func choice(h http.Header, name, or, a, b string) (bool, error) {
	text := cmp.Or(h.Get(name), or)
	if text != a && text != b {
		return false, fmt.Errorf("%s: want %s or %s, got %q", name, a, b, text)
	}
	return text == b, nil
}
