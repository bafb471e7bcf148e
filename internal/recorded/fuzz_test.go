package recorded

import (
	"testing"

	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// An answer that can be read is as recorded, and stays so when it is written
// and read again.
func FuzzParseWant(f *testing.F) {
	for _, s := range []string{
		`{"outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [1]}]}`,
		`{"model_digest": "sha256:ab", "tolerance": {"y": {"relative": 1e-3}}, "outputs": [{"name": "y", "shape": [2], "datatype": "FP64", "data": ["NaN", null]}]}`,
		`{"outputs": [{"name": "y\n", "shape": [2, 1], "datatype": "BYTES", "data": [["\u20ac"], [""]]}, {"name": "z", "shape": [], "datatype": "BOOL", "data": true}]}`,
		`{"tolerance": {"y": {"relative": -1}}, "outputs": []}`,
		`{"outputs": [{"name": "y", "shape": [0, 3], "datatype": "BF16", "data": []}]} `,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := parseWant(body)
		if err != nil {
			return
		}
		if err := w.Check(&infer.Response{Outputs: w.Outputs}); err != nil {
			t.Fatal(err)
		}
		text, err := layoutWant(w.ModelDigest, w.Tolerance, w.Outputs)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseWant(text)
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		for i := range w.Outputs {
			if d := tensor.Compare(&w.Outputs[i], &again.Outputs[i], tensor.Tolerance{}); !d.OK() || w.tolerance(&w.Outputs[i]) != again.tolerance(&again.Outputs[i]) {
				t.Fatalf("output %d: %v", i, d)
			}
		}
	})
}
