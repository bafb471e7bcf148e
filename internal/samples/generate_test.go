package samples_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/samples"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

func shapes(requests []*infer.Request) (all [][]int64) {
	for _, r := range requests {
		for i := range r.Inputs {
			all = append(all, r.Inputs[i].Shape)
		}
	}
	return all
}

func TestGenerateShapes(t *testing.T) {
	symbolic := func(name string, symbols ...string) driver.TensorInfo {
		in := input(name, tensor.FP32)
		for range symbols {
			in.Shape = append(in.Shape, -1)
		}
		in.Symbols = symbols
		return in
	}
	tests := []struct {
		name string
		sig  *driver.Signature
		n    int
		want [][]int64
	}{
		{"fixed", signature(input("x", tensor.FP32, 2, 3)), 2, [][]int64{{2, 3}, {2, 3}}},
		{"batch", signature(input("x", tensor.FP32, -1, 3)), 2, [][]int64{{1, 3}, {1, 3}}},
		{"scalar and list", signature(input("x", tensor.FP32), input("y", tensor.Bytes, -1)), 1, [][]int64{nil, {1}}},
		{"sequence", signature(input("x", tensor.FP32, -1, -1)), 4, [][]int64{{1, 8}, {1, 1}, {1, 2}, {1, 4}}},
		{"picture", signature(input("x", tensor.FP32, -1, 3, -1, -1)), 2, [][]int64{{1, 3, 8, 8}, {1, 3, 1, 1}}},
		{"a batch that is not first everywhere", signature(symbolic("x", "N", "T"), symbolic("y", "T", "N")), 1, [][]int64{{1, 1}, {1, 1}}},
		{"named batch", signature(symbolic("x", "N", "T"), symbolic("y", "N", "T", "U")), 1, [][]int64{{1, 8}, {1, 8, 8}}},
		{"no rank", signature(driver.TensorInfo{Name: "x", Type: tensor.FP32, Unranked: true}), 13, [][]int64{{1, 8}, {1, 1}, {1, 2}, {1, 4}, {1, 16}, {1, 3}, {1, 32}, {1, 64}, {1, 128}, {1, 224}, {1, 256}, {1, 512}, {1}}},
		{"too large", signature(input("x", tensor.FP32, 1<<40)), 3, nil},
		{"overflow", signature(input("x", tensor.FP32, 1<<40, 1<<40)), 3, nil},
		{"empty", signature(input("x", tensor.FP32, 0, 3)), 1, [][]int64{{0, 3}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, shapes(samples.Generate(tt.sig, tt.n, 1))); diff != "" {
				t.Errorf("shapes (-want +got):\n%s", diff)
			}
		})
	}
	if got := samples.Generate(signature(), 3, 1); len(got) != 1 || len(got[0].Inputs) != 0 {
		t.Errorf("without inputs: got %d requests, want one that is empty", len(got))
	}
}

// Every type has values in its sane range that JSON holds exactly, both bools
// among them, and the same seed gives the same values.
func TestGenerateValues(t *testing.T) {
	var all []driver.TensorInfo
	for _, d := range tensor.DTypes() {
		all = append(all, input(d.String(), d, -1, 40))
	}
	sig := signature(all...)
	requests, again := samples.Generate(sig, 3, 7), samples.Generate(sig, 3, 7)
	if show(t, requests[0]) == show(t, requests[1]) {
		t.Error("two requests have the same values")
	}
	if show(t, requests[0]) == show(t, samples.Generate(sig, 1, 8)[0]) {
		t.Error("two seeds give the same values")
	}
	for i, r := range requests {
		if diff := cmp.Diff(show(t, r), show(t, again[i])); diff != "" {
			t.Errorf("the same seed gives other values:\n%s", diff)
		}
		body, _, err := codec.EncodeRequest(nil, r, false)
		if err != nil {
			t.Fatal(err)
		}
		back, err := codec.DecodeRequest(body, -1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k := range r.Inputs {
			in := &r.Inputs[k]
			if d := tensor.Compare(in, &back.Inputs[k], tensor.Tolerance{}); !d.OK() {
				t.Errorf("%s through JSON: %v", in.Name, d)
			}
			most := 10.0
			if in.Type >= tensor.FP16 {
				most = 1
			}
			seen := map[float64]bool{}
			for _, v := range floats(in) {
				seen[v] = true
				if v < 0 || v >= most {
					t.Errorf("%s holds %g, want at least 0 and less than %g", in.Name, v, most)
				}
			}
			if in.Type == tensor.Bool && len(seen) != 2 {
				t.Errorf("bools are %v, want both", seen)
			}
		}
	}
}

// floats are the elements of any type but BYTES as JSON numbers.
func floats(t *tensor.Tensor) []float64 {
	zero, all := t.Clone(), []float64{}
	for i := range zero.Data {
		zero.Data[i] = 0
	}
	if t.Type == tensor.Bytes {
		return nil
	}
	// The distance to 0 of each element on its own is its magnitude; negative
	// values would show as such in the sign bit.
	size := t.Type.Size()
	for i := range t.Len() {
		one := tensor.Tensor{Type: t.Type, Data: t.Data[i*size : (i+1)*size]}
		nothing := tensor.Tensor{Type: t.Type, Data: zero.Data[:size]}
		if t.Type == tensor.Bool {
			all = append(all, float64(one.Data[0]))
			continue
		}
		v := tensor.Compare(&nothing, &one, tensor.Tolerance{}).MaxAbsolute
		if one.Data[size-1]&0x80 != 0 {
			v = -v
		}
		all = append(all, v)
	}
	return all
}

// What Generate is for: a model that accepts only one length and flags only.
func TestGenerateUntilTheModelAccepts(t *testing.T) {
	sig := driver.Signature{
		Inputs:  []driver.TensorInfo{input("ids", tensor.Int64, -1, -1)},
		Outputs: []driver.TensorInfo{input("y", tensor.Int64, -1, -1)},
	}
	picky := memengine.Model{Signature: sig, Run: func(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
		ids, _ := tensor.View[int64](&in[0])
		if len(ids) != 32 {
			return nil, fault.New(fault.Invalid, "test", "", "want 32 steps")
		}
		for _, id := range ids {
			if id > 1 {
				return nil, fault.New(fault.Invalid, "test", "", "want flags")
			}
		}
		y := in[0].Clone()
		y.Name = "y"
		return []tensor.Tensor{y}, nil
	}}
	m, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{"m": picky}), "m", &infer.Options{Digest: "sha256:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(context.WithoutCancel(t.Context()))
	accepted := 0
	for _, req := range samples.Generate(m.Signature(), 48, 1) {
		resp, err := m.Infer(t.Context(), req)
		if err == nil {
			accepted++
			resp.Release()
		}
	}
	if accepted != 2 {
		t.Errorf("the model accepted %d of 48 requests, want 2", accepted)
	}
}
