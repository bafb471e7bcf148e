package codec_test

import (
	"fmt"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// The bytes of a request with two binary tensors and a text one.
func ExampleEncodeRequest() {
	req := &infer.Request{Inputs: []tensor.Tensor{
		tensor.Of("x", []int64{2, 2}, []float32{1, 2, 3, 4}),
		tensor.OfStrings("s", []int64{2}, "ab", "xyz"),
	}}
	body, header, err := codec.EncodeRequest(nil, req, true)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", body[:header])
	fmt.Printf("Inference-Header-Content-Length: %d\nContent-Length: %d\n% x\n% x\n",
		header, len(body), body[header:header+16], body[header+16:])
	// Output:
	// {"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}},{"name":"s","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":13}}],"parameters":{"binary_data_output":true}}
	// Inference-Header-Content-Length: 216
	// Content-Length: 245
	// 00 00 80 3f 00 00 00 40 00 00 40 40 00 00 80 40
	// 02 00 00 00 61 62 03 00 00 00 78 79 7a
}

// A response in JSON, and the same with the output that the request wants in binary.
func ExampleEncodeResponse() {
	resp := &infer.Response{Model: "digits", Version: "1", ID: "7", Params: infer.Params{"prediction": "p-1"},
		Outputs: []tensor.Tensor{
			tensor.Of("scores", []int64{1, 3}, []float32{0.1, 1e-9, 0.9}),
			tensor.Of("label", []int64{1}, []int64{9007199254740993}),
		}}
	body, _, err := codec.EncodeResponse(nil, nil, resp, nil)
	fmt.Printf("%s %v\n", body, err)

	req := &infer.Request{Outputs: []infer.OutputRequest{
		{Name: "label"},
		{Name: "scores", Params: infer.Params{"binary_data": true}},
	}}
	body, header, err := codec.EncodeResponse(nil, req, resp, nil)
	fmt.Printf("%s + %d bytes %v\n", body[:header], len(body)-header, err)
	// Output:
	// {"model_name":"digits","model_version":"1","id":"7","parameters":{"prediction":"p-1"},"outputs":[{"name":"scores","shape":[1,3],"datatype":"FP32","data":[0.1,1e-9,0.9]},{"name":"label","shape":[1],"datatype":"INT64","data":[9007199254740993]}]} <nil>
	// {"model_name":"digits","model_version":"1","id":"7","parameters":{"prediction":"p-1"},"outputs":[{"name":"label","shape":[1],"datatype":"INT64","data":[9007199254740993]},{"name":"scores","shape":[1,3],"datatype":"FP32","parameters":{"binary_data_size":12}}]} + 12 bytes <nil>
}
