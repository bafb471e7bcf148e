// Package wire asks a running server in each of the protocol's forms. It is
// written after the protocol's text and without runtime/codec, so that an
// error of the codec does not meet the same error here.
package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/runtime/tensor"
)

// A Form is one way to write a request and to get the answer.
type Form string

// The forms.
const (
	JSON      Form = "REST JSON"
	Binary    Form = "REST binary"
	GRPCRaw   Form = "gRPC raw"
	GRPCTyped Form = "gRPC typed"
)

// Forms lists all of them.
var Forms = []Form{JSON, Binary, GRPCRaw, GRPCTyped}

// Carries reports whether the form has all the tensors' types: gRPC's typed
// contents have neither FP16 nor BF16.
func (f Form) Carries(ts []tensor.Tensor) bool {
	for i := range ts {
		if f == GRPCTyped && (ts[i].Type == tensor.FP16 || ts[i].Type == tensor.BF16) {
			return false
		}
	}
	return true
}

// A Client asks one server. It may be used concurrently; Close it.
type Client struct {
	base string
	http *http.Client
	conn *grpc.ClientConn
	oip  oippb.GRPCInferenceServiceClient
}

// Dial returns a client of the server at HOST:PORT; it connects on first use.
func Dial(address string) (*Client, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	// No proxy from the environment: the server is on loopback.
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	return &Client{base: "http://" + address, http: &http.Client{Transport: transport}, conn: conn,
		oip: oippb.NewGRPCInferenceServiceClient(conn)}, nil
}

// Close ends all connections.
func (c *Client) Close() {
	c.conn.Close()
	c.http.CloseIdleConnections()
}

// Infer asks for all outputs of a model.
func (c *Client) Infer(ctx context.Context, form Form, model string, in []tensor.Tensor) ([]tensor.Tensor, error) {
	switch form {
	case GRPCRaw, GRPCTyped:
		resp, err := c.oip.ModelInfer(ctx, Message(model, in, form == GRPCRaw))
		if err != nil {
			return nil, err
		}
		return Tensors(resp)
	}
	body, jsonLength, err := restRequest(in, form == Binary)
	if err != nil {
		return nil, err
	}
	return c.post(ctx, model, body, jsonLength)
}

// lengthHeader says where a body's JSON ends and its binary tensors begin.
const lengthHeader = "Inference-Header-Content-Length"

func (c *Client) post(ctx context.Context, model string, body []byte, jsonLength int) ([]tensor.Tensor, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v2/models/"+model+"/infer", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if jsonLength >= 0 {
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set(lengthHeader, strconv.Itoa(jsonLength))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &Refusal{Status: resp.StatusCode, Body: string(got)}
	}
	n := len(got)
	if h := resp.Header.Get(lengthHeader); h != "" {
		if n, err = strconv.Atoi(h); err != nil || n > len(got) {
			return nil, fmt.Errorf("%s is %q for a body of %d bytes", lengthHeader, h, len(got))
		}
	}
	return fromREST(got[:n], got[n:])
}

// A Refusal is an answer over REST that is not 200.
type Refusal struct {
	Status int
	Body   string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%d %s: %s", r.Status, http.StatusText(r.Status), r.Body)
}
