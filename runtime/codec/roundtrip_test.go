package codec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// form is one way in which a request and its response travel.
type form struct {
	name   string
	finite bool // carries no NaN and no bytes that are not text
	halves bool // carries FP16 and BF16 (gRPC's typed form does not)
	req    func(*infer.Request) (*infer.Request, error)
	resp   func(*infer.Request, *infer.Response) (*infer.Response, error)
}

var forms = []form{
	{"json", true, true, func(r *infer.Request) (*infer.Request, error) { return jsonRequest(r, false) },
		func(r *infer.Request, p *infer.Response) (*infer.Response, error) {
			return jsonResponse(r, p, &codec.EncodeOptions{})
		}},
	{"binary", false, true, func(r *infer.Request) (*infer.Request, error) { return jsonRequest(r, true) },
		func(r *infer.Request, p *infer.Response) (*infer.Response, error) {
			return jsonResponse(r, p, &codec.EncodeOptions{Binary: true})
		}},
	{"grpc raw", false, true, func(r *infer.Request) (*infer.Request, error) { return grpcRequest(r, true) },
		func(r *infer.Request, p *infer.Response) (*infer.Response, error) { return grpcResponse(r, p, true) }},
	{"grpc typed", false, false, func(r *infer.Request) (*infer.Request, error) { return grpcRequest(r, false) },
		func(r *infer.Request, p *infer.Response) (*infer.Response, error) { return grpcResponse(r, p, false) }},
}

func jsonRequest(req *infer.Request, binary bool) (*infer.Request, error) {
	body, header, err := codec.EncodeRequest([]byte("before"), req, binary)
	if err != nil {
		return nil, err
	}
	got, err := codec.DecodeRequest(unaligned(body[6:]), header, nil)
	if err == nil {
		got.Model, got.Version = req.Model, req.Version // they travel in the path
		delete(got.Params, "binary_data_output")
	}
	return got, err
}

func jsonResponse(req *infer.Request, resp *infer.Response, opts *codec.EncodeOptions) (*infer.Response, error) {
	body, header, err := codec.EncodeResponse([]byte("before"), req, resp, opts)
	if err != nil {
		return nil, err
	}
	return codec.DecodeResponse(unaligned(body[6:]), header, nil)
}

func grpcRequest(req *infer.Request, raw bool) (*infer.Request, error) {
	msg, err := codec.AppendInferRequestGRPC([]byte("before"), req, raw)
	if err != nil {
		return nil, err
	}
	got, _, err := codec.DecodeInferGRPC(unaligned(msg[6:]), nil)
	return got, err
}

func grpcResponse(req *infer.Request, resp *infer.Response, raw bool) (*infer.Response, error) {
	msg, err := codec.AppendInferGRPC([]byte("before"), req, resp, raw)
	if err != nil {
		return nil, err
	}
	return codec.DecodeInferResponseGRPC(unaligned(msg[6:]), nil)
}

// Every type, in every form and shape, comes out as it went in, bit by bit.
func TestRoundTripOfEveryType(t *testing.T) {
	for _, f := range forms {
		for _, d := range tensor.DTypes() {
			if !f.halves && (d == tensor.FP16 || d == tensor.BF16) {
				continue // an error there: TestDecodeInferGRPCRefuses
			}
			t.Run(f.name+"/"+d.String(), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) {
					x := drawTensor(t, "x", d, f.finite)
					req := &infer.Request{Model: "m", Version: "v1", Inputs: []tensor.Tensor{x}}
					got, err := f.req(req)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(req, got, sameTensors); diff != "" {
						t.Fatalf("request (-want +got):\n%s", diff)
					}
					resp := &infer.Response{Model: "m", Version: "v1", Outputs: []tensor.Tensor{x}}
					answer, err := f.resp(req, resp)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(resp, answer, sameTensors); diff != "" {
						t.Fatalf("response (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

// Ids, parameters, several tensors and requested outputs survive too.
func TestRoundTripOfWholeMessages(t *testing.T) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				types := rapid.SliceOfN(rapid.SampledFrom(tensor.DTypes()), 0, 4).Draw(t, "types")
				req := &infer.Request{Model: "m-1", Version: rapid.String().Draw(t, "version"), ID: rapid.String().Draw(t, "id"), Params: drawParams(t)}
				resp := &infer.Response{Model: "m-1", Version: "3", ID: req.ID, Params: drawParams(t)}
				for i, d := range types {
					if !f.halves && (d == tensor.FP16 || d == tensor.BF16) {
						d = tensor.FP32
					}
					name := string(rune('a'+i)) + rapid.String().Draw(t, "name")
					req.Inputs = append(req.Inputs, drawTensor(t, name, d, f.finite))
					req.InputParams = append(req.InputParams, drawParams(t))
					resp.Outputs = append(resp.Outputs, drawTensor(t, name+"!", d, f.finite))
					if rapid.Bool().Draw(t, "wanted") {
						req.Outputs = append(req.Outputs, infer.OutputRequest{Name: name + "!", Params: drawParams(t)})
					}
				}
				if !anyParams(req.InputParams) {
					req.InputParams = nil
				}
				got, err := f.req(req)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(req, got, sameTensors); diff != "" {
					t.Fatalf("request (-want +got):\n%s", diff)
				}
				answer, err := f.resp(req, resp)
				if err != nil {
					t.Fatal(err)
				}
				want := *resp
				if len(req.Outputs) > 0 {
					want.Outputs = nil
					for _, o := range req.Outputs {
						for _, x := range resp.Outputs {
							if x.Name == o.Name {
								want.Outputs = append(want.Outputs, x)
							}
						}
					}
				}
				if diff := cmp.Diff(&want, answer, sameTensors); diff != "" {
					t.Fatalf("response (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func anyParams(all []infer.Params) bool {
	for _, p := range all {
		if len(p) > 0 {
			return true
		}
	}
	return false
}
