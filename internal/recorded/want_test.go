package recorded_test

import (
	"strings"
	"testing"

	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

func TestCheck(t *testing.T) {
	f32 := func(name string, v ...float32) tensor.Tensor { return tensor.Of(name, []int64{int64(len(v))}, v) }
	label := tensor.OfStrings("label", []int64{1}, "cat")
	dog := tensor.OfStrings("label", []int64{1}, "dog")
	tests := []struct {
		name   string
		want   []tensor.Tensor
		tol    recorded.Tolerances
		digest string
		got    []tensor.Tensor
		texts  []string // none: as recorded
		not    string
	}{
		{name: "same in another order", want: []tensor.Tensor{f32("p", 1), label}, digest: "sha256:a", got: []tensor.Tensor{label, f32("p", 1)}},
		{name: "within the default", want: []tensor.Tensor{f32("p", 1, 0)}, digest: "sha256:a", got: []tensor.Tensor{f32("p", 1.0001, 1e-5)}},
		{name: "beyond the default", want: []tensor.Tensor{f32("p", 1, 0)}, digest: "sha256:a", got: []tensor.Tensor{f32("p", 1, 1.1e-5)},
			texts: []string{`recorded.Check m/1: output "p": 1 of 2 elements differs: at [1] want 0, got 1.1e-05`, "the tolerance is 1e-05 (relative 0.0001)"}, not: "recorded from"},
		{name: "given tolerance is wider", want: []tensor.Tensor{f32("p", 1)}, tol: recorded.Tolerances{"p": {Absolute: 1}}, digest: "sha256:a", got: []tensor.Tensor{f32("p", 2)}},
		{name: "given tolerance is narrower", want: []tensor.Tensor{f32("p", 1)}, tol: recorded.Tolerances{"p": {}}, digest: "sha256:a", got: []tensor.Tensor{f32("p", 1.0000001)},
			texts: []string{"1 ULP; the tolerance is 0 (relative 0)"}},
		{name: "another model with the same answer", want: []tensor.Tensor{label}, digest: "sha256:b", got: []tensor.Tensor{label}},
		{name: "another model and answer", want: []tensor.Tensor{label}, digest: "sha256:b", got: []tensor.Tensor{dog},
			texts: []string{`output "label": 1 of 1 element differs: at [0] want "cat", got "dog"; the answer was recorded from the model sha256:a, this is sha256:b`}, not: "tolerance"},
		{name: "another answer of an unknown model", want: []tensor.Tensor{label}, got: []tensor.Tensor{dog}, texts: []string{`got "dog"`}, not: "recorded from"},
		{name: "every output is named", want: []tensor.Tensor{f32("p", 1), label, f32("gone", 1)}, digest: "sha256:a", got: []tensor.Tensor{f32("p", 1, 2), dog, f32("new", 1)},
			texts: []string{`output "p": want FP32 [1], got FP32 [2]; output "label": 1 of 1`, `output "gone": want FP32 [1], got no such output`, `output "new": want no such output, got FP32 [1]`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			resp := answer(tt.want...)
			resp.Digest = "sha256:a"
			x := f32("x", 1)
			if err := recorded.Save(dir, "m", "1", request(x), resp, tt.tol); err != nil {
				t.Fatal(err)
			}
			all, err := recorded.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			resp = answer(tt.got...)
			resp.Digest = tt.digest
			err = all[0].Want.Check(resp)
			if len(tt.texts) == 0 {
				if err != nil {
					t.Errorf("got %v, want as recorded", err)
				}
				return
			}
			if fault.CodeOf(err) != fault.Mismatch {
				t.Fatalf("got %v, want a mismatch", err)
			}
			for _, text := range tt.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q lacks %q", err, text)
				}
			}
			if tt.not != "" && strings.Contains(err.Error(), tt.not) {
				t.Errorf("error %q has %q", err, tt.not)
			}
			if changed := tt.digest == "sha256:b"; (fault.HintOf(err) != "") != changed {
				t.Errorf("hint %q; want one only for another model", fault.HintOf(err))
			}
		})
	}
}

// What a person leaves out of a tolerance is the type's default.
func TestPartialTolerance(t *testing.T) {
	all, err := recorded.Load(function(t, map[string]string{"m/1.json": body, "m/1.want.json": `{"tolerance":{"y":{"relative":0.5}},` + wanted[1:]}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := all[0].Want.Tolerance["y"], (tensor.Tolerance{Relative: 0.5, Absolute: 1e-5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
