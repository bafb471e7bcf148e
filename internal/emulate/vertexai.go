package emulate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// The platform's limits ("Get online inferences", "Custom container
// requirements"): those of a shared public endpoint.
const (
	vertexBody    = 1_500_000 // of requests and of answers
	vertexTimeout = 60 * time.Second
	vertexHealth  = 10 * time.Second
	vertexGrace   = 10 * time.Second // not documented
	vertexStart   = 15 * time.Minute // how long a deployment waits; not documented
)

// The routes of the container's specification that is played.
const (
	vertexHealthRoute  = "/v1/endpoints/1/deployedModels/2"
	vertexPredictRoute = "/v1/endpoints/1/deployedModels/2:predict"
	vertexBinary       = "application/vnd.vertex-ai-triton.binary+json"
)

// vertexAI plays an endpoint to a custom container: a health and a predict route.
type vertexAI struct {
	mlFront
	variant string
}

// newVertexAI has three kinds of callers: "predict" sends instances and gets
// predictions, "raw" sends the protocol's JSON by rawPredict, and "binary" bodies
// with binary tensors too.
func newVertexAI(o *Options, variant string) (platform, error) {
	c, err := newContainer(o, false)
	if err != nil {
		return nil, err
	}
	c.probe, c.timeout, c.wait, c.maxBody = vertexHealthRoute, vertexTimeout, vertexGrace, vertexBody
	c.vars = []string{
		"AIP_HTTP_PORT=" + strconv.Itoa(c.port), "AIP_HEALTH_ROUTE=" + vertexHealthRoute, "AIP_PREDICT_ROUTE=" + vertexPredictRoute,
		"AIP_MODE=PREDICTION", "AIP_ENDPOINT_ID=1", "AIP_DEPLOYED_MODEL_ID=2", "AIP_PROJECT_NUMBER=3",
	}
	return &vertexAI{mlFront{c, vertexHealth, vertexBody, vertexBinary}, variant}, nil
}

func (v *vertexAI) roundTrip(req *http.Request) (*http.Response, error) {
	model, version, ok := inferRoute(req)
	if !ok {
		return ownAnswer(req, http.StatusNotFound, "no such method"), nil
	}
	out := v.request(req, vertexPredictRoute, v.variant == "binary", "Content-Type")
	if v.variant == "predict" {
		return v.predict(req, out, model, version)
	}
	out.Header.Set("X-Vertex-Ai-Triton-Redirect", strings.TrimPrefix(req.URL.EscapedPath(), "/"))
	return v.back(req, out, nil)
}

// predict is a caller who knows the model's signature, and has rows.
func (v *vertexAI) predict(req, out *http.Request, model, version string) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	sig := v.signature(req.Context(), req.URL.EscapedPath())
	asked, sent := vertexInstances(body, model, version, sig)
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
	if asked == nil || sig == nil { // no request: what comes back is a refusal
		return v.back(req, out, nil)
	}
	return v.back(req, out, func(answer []byte) ([]byte, error) { return vertexAnswer(answer, asked, sig) })
}

// vertexSignature is what a caller knows of a model.
type vertexSignature struct {
	Inputs, Outputs []struct {
		Name, Datatype string
		Shape          []int64
	}
}

// signature is nil where there is no such model.
func (v *vertexAI) signature(ctx context.Context, path string) *vertexSignature {
	u, err := url.Parse("http://" + v.address() + strings.TrimSuffix(path, "/infer"))
	if err != nil {
		return nil
	}
	resp, err := v.client.RoundTrip((&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}).WithContext(ctx))
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var sig vertexSignature
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&sig) != nil {
		return nil
	}
	return &sig
}

// vertexInstances makes instances of a request of the protocol; asked is nil for
// bytes that are none, which are sent as they are.
func vertexInstances(body []byte, model, version string, sig *vertexSignature) (asked *infer.Request, sent []byte) {
	asked, err := codec.DecodeRequest(body, -1, nil)
	if err != nil {
		return nil, body
	}
	flat, _, err := codec.EncodeRequest(nil, asked, false)
	if err != nil {
		return nil, body
	}
	var doc struct {
		Parameters map[string]json.RawMessage
		Inputs     []struct {
			Name  string
			Shape []int64
			Data  []json.RawMessage
		}
	}
	if json.Unmarshal(flat, &doc) != nil {
		return nil, body
	}
	rows := 1
	for _, in := range doc.Inputs {
		if len(in.Shape) > 0 {
			rows = int(in.Shape[0])
		}
	}
	bare := sig != nil && len(sig.Inputs) == 1 && len(doc.Inputs) == 1 && doc.Inputs[0].Name == sig.Inputs[0].Name
	var b bytes.Buffer
	b.WriteString(`{"instances":[`)
	for row := range rows {
		if row > 0 {
			b.WriteByte(',')
		}
		if !bare {
			b.WriteByte('{')
		}
		for i, in := range doc.Inputs {
			if !bare {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(vertexText(in.Name) + ":")
			}
			if len(in.Shape) == 0 {
				b.Write(in.Data[0])
				continue
			}
			size := len(in.Data) / max(int(in.Shape[0]), 1)
			if int(in.Shape[0]) <= row {
				b.WriteString("null")
				continue
			}
			vertexNest(&b, in.Data[row*size:(row+1)*size], in.Shape[1:])
		}
		if !bare {
			b.WriteByte('}')
		}
	}
	b.WriteByte(']')
	if doc.Parameters == nil {
		doc.Parameters = map[string]json.RawMessage{}
	}
	for name, value := range map[string]string{"model": model, "version": version} {
		if value != "" {
			doc.Parameters[name] = json.RawMessage(vertexText(value))
		}
	}
	if len(doc.Parameters) > 0 {
		params, err := json.Marshal(doc.Parameters)
		if err != nil {
			return nil, body
		}
		b.WriteString(`,"parameters":`)
		b.Write(params)
	}
	// Of the caller's size, so that limits are met where they are.
	for b.Len() < len(body)-1 {
		b.WriteByte(' ')
	}
	b.WriteByte('}')
	return asked, b.Bytes()
}

// vertexNest writes elements in the arrays of a shape.
func vertexNest(b *bytes.Buffer, elements []json.RawMessage, shape []int64) {
	if len(shape) == 0 {
		b.Write(elements[0])
		return
	}
	b.WriteByte('[')
	size := len(elements) / max(int(shape[0]), 1)
	for i := range int(shape[0]) {
		if i > 0 {
			b.WriteByte(',')
		}
		vertexNest(b, elements[i*size:(i+1)*size], shape[1:])
	}
	b.WriteByte(']')
}

func vertexText(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a text always can be
	return strings.TrimSuffix(b.String(), "\n")
}

// vertexAnswer makes the protocol's answer of predictions: names and types are
// the signature's, and the numbers those that came, to the digit.
func vertexAnswer(answer []byte, asked *infer.Request, sig *vertexSignature) ([]byte, error) {
	fail := func(format string, args ...any) ([]byte, error) {
		return nil, fault.New(fault.Internal, "emulate.Predict", "answer", format, args...)
	}
	var doc struct {
		Predictions []json.RawMessage
		Metadata    struct {
			Name       string          `json:"model_name"`
			Version    string          `json:"model_version"`
			Parameters json.RawMessage `json:"parameters"`
			// Outputs are those that have no row for each instance.
			Outputs map[string]json.RawMessage `json:"outputs"`
		}
	}
	dec := json.NewDecoder(bytes.NewReader(answer))
	dec.DisallowUnknownFields() // Vertex AI passes on no others
	if err := dec.Decode(&doc); err != nil {
		return fail("want predictions, got %q: %w", answer, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"model_name":%s`, vertexText(doc.Metadata.Name))
	if doc.Metadata.Version != "" {
		fmt.Fprintf(&b, `,"model_version":%s`, vertexText(doc.Metadata.Version))
	}
	if asked.ID != "" {
		fmt.Fprintf(&b, `,"id":%s`, vertexText(asked.ID))
	}
	if doc.Metadata.Parameters != nil {
		fmt.Fprintf(&b, `,"parameters":%s`, doc.Metadata.Parameters)
	}
	b.WriteString(`,"outputs":[`)
	some := false
	for _, out := range sig.Outputs {
		if len(asked.Outputs) > 0 && !slices.ContainsFunc(asked.Outputs, func(o infer.OutputRequest) bool { return o.Name == out.Name }) {
			continue
		}
		values := slices.Clone(doc.Predictions)
		if whole, ok := doc.Metadata.Outputs[out.Name]; ok {
			if err := json.Unmarshal(whole, &values); err != nil {
				return fail("output %q: %w", out.Name, err)
			}
		} else if rows := len(sig.Outputs) - len(doc.Metadata.Outputs); rows > 1 {
			values = make([]json.RawMessage, len(doc.Predictions))
			for i, p := range doc.Predictions {
				var named map[string]json.RawMessage
				if err := json.Unmarshal(p, &named); err != nil || len(named) != rows {
					return fail("prediction %d: want a value for each of %d outputs, got %s", i, rows, p)
				}
				values[i] = named[out.Name]
			}
		}
		shape, flat, err := vertexFlat(values, out.Shape)
		if err != nil {
			return fail("output %q: %w", out.Name, err)
		}
		if some {
			b.WriteByte(',')
		}
		some = true
		dims, _ := json.Marshal(shape)
		fmt.Fprintf(&b, `{"name":%s,"shape":%s,"datatype":"%s","data":[%s]}`, vertexText(out.Name), dims, out.Datatype, bytes.Join(flat, []byte(",")))
	}
	b.WriteString("]}")
	return b.Bytes(), nil
}

// vertexFlat takes the arrays of all rows apart; of a tensor without elements the
// model tells the dimensions.
func vertexFlat(values []json.RawMessage, model []int64) (shape []int64, flat [][]byte, err error) {
	if len(model) == 0 {
		if len(values) != 1 {
			return nil, nil, fmt.Errorf("want one value, got %d", len(values))
		}
		return []int64{}, [][]byte{values[0]}, nil
	}
	shape = []int64{int64(len(values))}
	for len(shape) < len(model) {
		if len(values) == 0 {
			shape = append(shape, max(model[len(shape)], 0))
			continue
		}
		var next []json.RawMessage
		width := -1
		for _, v := range values {
			var inner []json.RawMessage
			if err := json.Unmarshal(v, &inner); err != nil {
				return nil, nil, err
			}
			if width < 0 {
				width = len(inner)
			}
			if len(inner) != width {
				return nil, nil, fmt.Errorf("want rows of %d, got %d", width, len(inner))
			}
			next = append(next, inner...)
		}
		shape, values = append(shape, int64(width)), next
	}
	for _, v := range values {
		flat = append(flat, v)
	}
	return shape, flat, nil
}

// vertexBatch is how many instances a request of a batch prediction has, unless
// the job says otherwise ("BatchPredictionJob", manualBatchTuningParameters).
const vertexBatch = 64

// deliver is a batch prediction over one file of JSON Lines, an instance in each.
// The reply's body has each with its prediction, or with the error that its
// request had.
func (v *vertexAI) deliver(ctx context.Context, d *Delivery) (*Reply, error) {
	lines := records(d.Body)
	var bodies [][]byte
	for batch := range slices.Chunk(lines, vertexBatch) {
		body := append([]byte(`{"instances":[`), bytes.Join(batch, []byte(","))...)
		bodies = append(bodies, append(body, "]}"...))
	}
	job := &mlJob{front: &v.mlFront, route: vertexPredictRoute, header: http.Header{"Content-Type": {"application/json"}}, parallel: 1, most: vertexBody, timeout: vertexTimeout, tries: 1}
	answers, err := job.answers(ctx, bodies)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "emulate.Deliver", "vertexai", "%w", err)
	}
	out := &Reply{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/jsonl"}}}
	for i, a := range answers {
		batch := lines[i*vertexBatch : min((i+1)*vertexBatch, len(lines))]
		var doc struct{ Predictions []json.RawMessage }
		if a.Status == http.StatusOK && (json.Unmarshal(a.Body, &doc) != nil || len(doc.Predictions) != len(batch)) {
			return nil, fault.New(fault.Internal, "emulate.Deliver", "vertexai", "want %d predictions, got %q", len(batch), a.Body)
		}
		for k, line := range batch {
			out.Body = fmt.Appendf(out.Body, `{"instance":%s,`, bytes.TrimSpace(line))
			if a.Status == http.StatusOK {
				out.Body = fmt.Appendf(out.Body, `"prediction":%s}`+"\n", doc.Predictions[k])
			} else {
				out.Body = fmt.Appendf(out.Body, `"error":%s}`+"\n", bytes.TrimSpace(a.Body))
			}
		}
	}
	return out, nil
}
