package codec_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// An answer's identity travels as two parameters: the same bytes as if they
// stood in Params.
func TestIdentityTravelsAsParameters(t *testing.T) {
	outputs := []tensor.Tensor{tensor.Of("y", []int64{1}, []float32{1})}
	tests := []struct {
		name string
		resp infer.Response
		same infer.Params
	}{
		{"none", infer.Response{}, nil},
		{"digest", infer.Response{Digest: "sha256:ab"}, infer.Params{"model_digest": "sha256:ab"}},
		{"prediction", infer.Response{Prediction: "p\"1"}, infer.Params{"prediction_id": "p\"1"}},
		{"both", infer.Response{Digest: "d", Prediction: "p"}, infer.Params{"model_digest": "d", "prediction_id": "p"}},
		{"among others", infer.Response{Digest: "d", Prediction: "p", Params: infer.Params{"n": int64(1), "a": "b"}},
			infer.Params{"model_digest": "d", "prediction_id": "p", "n": int64(1), "a": "b"}},
		{"wins over others", infer.Response{Digest: "d", Params: infer.Params{"model_digest": "x", "prediction_id": "y"}},
			infer.Params{"model_digest": "d", "prediction_id": "y"}},
		{"not UTF-8", infer.Response{Prediction: "a\xffb"}, infer.Params{"prediction_id": "a\xffb"}},
	}
	encode := map[string]func(*infer.Response) ([]byte, error){
		"json": func(r *infer.Response) ([]byte, error) {
			b, _, err := codec.EncodeResponse(nil, nil, r, nil)
			return b, err
		},
		"grpc": func(r *infer.Response) ([]byte, error) { return codec.AppendInferGRPC(nil, nil, r, true) },
	}
	for _, tt := range tests {
		for wire, enc := range encode {
			t.Run(fmt.Sprintf("%s/%s", tt.name, wire), func(t *testing.T) {
				tt.resp.Outputs = outputs
				before := len(tt.resp.Params)
				got, err := enc(&tt.resp)
				if err != nil {
					t.Fatal(err)
				}
				want, err := enc(&infer.Response{Params: tt.same, Outputs: outputs})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), string(got)); diff != "" {
					t.Errorf("bytes (-want +got):\n%s", diff)
				}
				if len(tt.resp.Params) != before {
					t.Errorf("the caller's parameters were changed: %v", tt.resp.Params)
				}
			})
		}
	}
}
