package ort

import "testing"

func TestScrubTakesPlacesAndPathsOut(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"place", "Non-zero status code returned while running Reshape node. Name:'r' Status Message: /onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:47 onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, bool) input_shape_size == size was false. The input tensor cannot be reshaped to the requested shape. Input shape:{3,4}, requested shape:{5,2}\n",
			"Non-zero status code returned while running Reshape node. Name:'r' Status Message: input_shape_size == size was false. The input tensor cannot be reshaped to the requested shape. Input shape:{3,4}, requested shape:{5,2}"},
		{"lambda", "Exception during initialization: /onnxruntime_src/onnxruntime/core/providers/cpu/nn/string_normalizer.cc:90 onnxruntime::string_normalizer::Locale::Locale(const string&)::<lambda()> Failed to construct locale",
			"Exception during initialization: Failed to construct locale"},
		{"path", "Load model from /srv/models@v1.2/a.onnx failed:Protobuf parsing failed.", "Load model from … failed:Protobuf parsing failed."},
		{"nothing", "Invalid rank for input: x Got: 1 Expected: 2", "Invalid rank for input: x Got: 1 Expected: 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := scrub(tt.in); got != tt.want {
				t.Errorf("scrub:\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}
