package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/e2e/cases"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// TestRecordedAnswers compares the engine with what Node answered when it was
// asked last: run.sh asks again.
func TestRecordedAnswers(t *testing.T) {
	rec := readRecord(t)
	if dir, err := cases.Locale(filepath.Join(t.TempDir(), "locale")); err != nil {
		t.Fatal(err)
	} else if dir != "" {
		t.Setenv("LOCPATH", dir)
	}
	eng, err := engine()
	if err != nil {
		t.Fatal(err)
	}
	all, err := (&options{graphs: recordedGraphs, odd: true}).all()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(rec.Cases) {
		t.Fatalf("%d cases are recorded, want %d", len(rec.Cases), len(all))
	}
	for i := range all {
		c, want := &all[i], rec.Cases[i]
		t.Run(c.Name, func(t *testing.T) {
			if got := (recorded{Name: c.Name, Model: c.Digest(), Inputs: c.InputsDigest()}); got.Model != want.Model || got.Inputs != want.Inputs {
				t.Fatalf("this is not what Node was asked; record again with e2e/node/run.sh --record\ngot  %+v\nwant %+v", got, want)
			}
			path := filepath.Join(t.TempDir(), c.File)
			if err := os.WriteFile(path, c.Model, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := answer(t.Context(), eng, path, c.Inputs)
			if err != nil {
				t.Fatal(err)
			}
			got = asNode(got)
			if len(got) != len(want.Outputs) {
				t.Fatalf("%d outputs, want %d", len(got), len(want.Outputs))
			}
			for k := range got {
				compareRecorded(t, &want.Outputs[k], &got[k])
			}
		})
	}
}

func compareRecorded(t *testing.T, want *recordedTensor, got *tensor.Tensor) {
	t.Helper()
	if want.Name != got.Name || want.Type != got.Type.String() || !cmp.Equal(want.Shape, got.Shape) {
		t.Errorf("output %q %v %v, want %q %s %v", got.Name, got.Type, got.Shape, want.Name, want.Type, want.Shape)
		return
	}
	shape := want.Shape
	if want.Every > 1 {
		s := sample(got, want.Every)
		got, shape = &s, s.Shape
	}
	w, err := tensorOf(want.Name, want.Type, shape, want.Data)
	if err != nil {
		t.Fatal(err)
	}
	if d := tensor.Compare(&w, got, tolerance); !d.OK() {
		t.Errorf("output %q: %v", got.Name, d)
	}
}

func readRecord(t *testing.T) (rec record) {
	t.Helper()
	b, err := os.ReadFile("testdata/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 300<<10 {
		t.Errorf("the recording has %d bytes, want at most %d", len(b), 300<<10)
	}
	if err := json.Unmarshal(b, &rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestModelThatNeedsAnotherLibraryIsRefused(t *testing.T) {
	eng, err := engine()
	if err != nil {
		t.Fatal(err)
	}
	if err := refused(t.Context(), eng); err != nil {
		t.Error(err)
	}
}

// TestVariant runs what Node gets instead of BF16 and of maps on our engine:
// it has to answer the same as the model itself.
func TestVariant(t *testing.T) {
	eng, err := engine()
	if err != nil {
		t.Fatal(err)
	}
	x := testmodels.RandomTensor(testmodels.NewRand(1), "x", tensor.BF16, 2, 3)
	rows := testmodels.RandomTensor(testmodels.NewRand(1), "x", tensor.FP32, 2, 4)
	tests := []struct {
		name  string
		model testmodels.Model
		in    tensor.Tensor
		want  []output
	}{
		{"bf16", testmodels.Identity(onnx.BFloat16, "N", 3), x, []output{{"y" + asFloat, "y"}}},
		{"maps of integers", testmodels.SequenceOfMaps(onnx.Int64), rows, []output{{"label", "label"}, {"scores", "probabilities"}}},
		{"nothing to change", testmodels.AddSub(), tensor.Tensor{}, []output{{"sum", "sum"}, {"diff", "diff"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := cases.Case{Name: "c", Model: tt.model.Bytes()}
			v, err := forNode(c.Model)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, v.outputs, cmp.AllowUnexported(output{})); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			if tt.in.Name == "" {
				if !bytes.Equal(c.Model, v.model) {
					t.Error("a model without BF16 and maps was changed")
				}
				return
			}
			in := tt.in
			want, err := answer(t.Context(), eng, tt.model.File(t, "own"), []tensor.Tensor{in})
			if err != nil {
				t.Fatal(err)
			}
			if in.Type == tensor.BF16 {
				in = widen(&in)
				in.Name += asFloat
			}
			path := filepath.Join(t.TempDir(), "variant.onnx")
			if err := os.WriteFile(path, v.model, 0o644); err != nil {
				t.Fatal(err)
			}
			outs, err := answer(t.Context(), eng, path, []tensor.Tensor{in})
			if err != nil {
				t.Fatal(err)
			}
			var got []tensor.Tensor
			for i := range outs {
				if strings.HasSuffix(outs[i].Name, asFloat) {
					if outs[i], err = narrow(&outs[i]); err != nil {
						t.Fatal(err)
					}
				}
				outs[i].Name = v.outputs[i].ours
				got = append(got, outs[i])
				if i == len(outs)-1 {
					got = append(got, v.keys...)
				}
			}
			tl := &tally{}
			tl.add(tt.name, want, got, tensor.Tolerance{})
			if len(tl.problems) > 0 || tl.same != len(want) {
				t.Errorf("%d of %d outputs are equal: %q", tl.same, len(want), tl.problems)
			}
		})
	}
}

// TestTallySees makes sure that the comparison can fail.
func TestTallySees(t *testing.T) {
	f := func(name string, v ...float32) []tensor.Tensor {
		return []tensor.Tensor{tensor.Of(name, []int64{int64(len(v))}, v)}
	}
	tests := []struct {
		name      string
		want, got []tensor.Tensor
		tol       tensor.Tolerance
		problem   bool
		same      int
	}{
		{"equal", f("y", 1, 2), f("y", 1, 2), tensor.Tolerance{}, false, 1},
		{"within", f("y", 1), f("y", 1.00001), tolerance, false, 0},
		{"beyond", f("y", 1), f("y", 1.001), tolerance, true, 0},
		{"one bit, and none allowed", f("y", 1), f("y", 1.0000001), tensor.Tolerance{}, true, 0},
		{"another sign of zero", f("y", 0), f("y", float32(math.Copysign(0, -1))), tensor.Tolerance{}, true, 0},
		{"name", f("y", 1), f("z", 1), tolerance, true, 0},
		{"number of outputs", f("y", 1), nil, tolerance, true, 0},
		{"string", []tensor.Tensor{tensor.OfStrings("y", nil, "a")}, []tensor.Tensor{tensor.OfStrings("y", nil, "b")}, tolerance, true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tl := &tally{}
			tl.add("m", tt.want, tt.got, tt.tol)
			if (len(tl.problems) > 0) != tt.problem || tl.same != tt.same {
				t.Errorf("problems %q and %d the same, want a problem: %v, and %d the same", tl.problems, tl.same, tt.problem, tt.same)
			}
		})
	}
}
