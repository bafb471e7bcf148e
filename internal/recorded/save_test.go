package recorded_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/golden"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// everyType is a tensor of each type with the values at its borders.
func everyType() []tensor.Tensor {
	half := func(name string, d tensor.DType, bits ...uint16) tensor.Tensor {
		return tensor.OfBits(name, d, []int64{1, int64(len(bits))}, bits)
	}
	return []tensor.Tensor{
		tensor.Of("bool", []int64{2, 2}, []bool{true, false, false, true}),
		tensor.Of("u8", []int64{2}, []uint8{0, math.MaxUint8}),
		tensor.Of("u16", []int64{2}, []uint16{0, math.MaxUint16}),
		tensor.Of("u32", []int64{2}, []uint32{0, math.MaxUint32}),
		tensor.Of("u64", []int64{3}, []uint64{0, 1<<53 + 1, math.MaxUint64}),
		tensor.Of("i8", []int64{2}, []int8{math.MinInt8, math.MaxInt8}),
		tensor.Of("i16", []int64{2}, []int16{math.MinInt16, math.MaxInt16}),
		tensor.Of("i32", []int64{2}, []int32{math.MinInt32, math.MaxInt32}),
		tensor.Of("i64", []int64{3}, []int64{math.MinInt64, 1<<53 + 1, math.MaxInt64}),
		half("f16", tensor.FP16, 0, 1, 0x2e66, 0x7bff, 0xfbff),
		half("bf16", tensor.BF16, 0, 1, 0x3dcd, 0x7f7f, 0xff7f),
		tensor.Of("f32", []int64{2, 3}, []float32{0.1, math.MaxFloat32, math.SmallestNonzeroFloat32, -1e-7, 16777216, 1. / 3}),
		tensor.Of("f64", []int64{1, 2}, []float64{0.1, math.MaxFloat64}),
		tensor.OfStrings("text", []int64{2, 1}, "", "a \"quoted\", [line]\n€: 1"),
		tensor.Of("scalar", nil, []float32{0.5}),
		tensor.Of("empty", []int64{0, 3}, []float32{}),
		tensor.Of("column", []int64{3, 1}, []float32{1, 2, 3}),
	}
}

func answer(outputs ...tensor.Tensor) *infer.Response {
	return &infer.Response{Digest: "sha256:0f1e", Outputs: outputs}
}

func TestSaveThenLoad(t *testing.T) {
	dir := t.TempDir()
	req := &infer.Request{
		ID: "a", Inputs: everyType(), Outputs: []infer.OutputRequest{{Name: "y"}, {Name: "f32"}},
		Params: infer.Params{"note": "x: [1,2]", "n": int64(3)},
	}
	resp := answer(append(everyType(), tensor.Of("y", []int64{3}, []float64{math.NaN(), math.Inf(1), math.Inf(-1)}))...)
	if err := recorded.Save(dir, "m", "every-type", req, resp, recorded.Tolerances{"y": {Relative: 0.5}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"every-type.json", "every-type.want.json"} {
		text, err := os.ReadFile(filepath.Join(dir, "requests", "m", name))
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name, text)
	}

	all, err := recorded.Load(dir, "m")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Model != "m" || all[0].Name != "every-type" || all[0].Path != filepath.Join(dir, "requests", "m", "every-type.json") {
		t.Fatalf("Load = %+v", all)
	}
	got, err := all[0].Decode()
	if err != nil {
		t.Fatal(err)
	}
	if got.Model != "m" || got.ID != "a" {
		t.Errorf("model %q, id %q; want m and a", got.Model, got.ID)
	}
	if diff := cmp.Diff([]any{req.Outputs, req.Params}, []any{got.Outputs, got.Params}); diff != "" {
		t.Errorf("outputs and parameters (-want +got):\n%s", diff)
	}
	for i := range req.Inputs {
		if d := tensor.Compare(&req.Inputs[i], &got.Inputs[i], tensor.Tolerance{}); !d.OK() || req.Inputs[i].Name != got.Inputs[i].Name {
			t.Errorf("input %q: %v", got.Inputs[i].Name, d)
		}
	}
	for i := range resp.Outputs {
		if d := tensor.Compare(&resp.Outputs[i], &all[0].Want.Outputs[i], tensor.Tolerance{}); !d.OK() {
			t.Errorf("output %q: %v", resp.Outputs[i].Name, d)
		}
	}
	if err := all[0].Want.Check(resp); err != nil {
		t.Error(err)
	}
	want := recorded.Tolerances{"y": {Relative: 0.5}}
	for _, o := range everyType() {
		if tol := recorded.DefaultTolerance(o.Type); tol.Relative > 0 {
			want[o.Name] = tol
		}
	}
	if diff := cmp.Diff(want, all[0].Want.Tolerance); diff != "" {
		t.Errorf("tolerances (-want +got):\n%s", diff)
	}
	if all[0].Want.ModelDigest != "sha256:0f1e" {
		t.Errorf("digest %q, want sha256:0f1e", all[0].Want.ModelDigest)
	}
}

func TestSaveReplacesBothFilesAndLeavesNoOther(t *testing.T) {
	dir := t.TempDir()
	x := tensor.Of("x", []int64{1}, []float32{1})
	if err := recorded.Save(dir, "m", "1", request(x), answer(x), nil); err != nil {
		t.Fatal(err)
	}
	if err := recorded.Save(dir, "m", "1", &infer.Request{ID: "new", Inputs: []tensor.Tensor{x}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "requests", "m", "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := filepath.Glob(filepath.Join(dir, "requests", "m", ".*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(dir, "requests", "m", "1.json")}, append(files, hidden...)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	all, err := recorded.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if req, err := all[0].Decode(); err != nil || req.ID != "new" || all[0].Want != nil {
		t.Errorf("got id %q, want %v, error %v; want the new request without an answer", req.ID, all[0].Want, err)
	}
}

// A request that fits only without white space is written without it.
func TestSaveDropsWhiteSpaceToFit(t *testing.T) {
	dir := t.TempDir()
	x := tensor.Of("x", []int64{30000}, make([]uint8, 30000))
	if err := recorded.Save(dir, "m", "1", request(x), nil, nil); err != nil {
		t.Fatal(err)
	}
	all, err := recorded.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(all[0].Body); n > recorded.MaxBody || bytes.Contains(all[0].Body, []byte(", ")) {
		t.Errorf("body of %d bytes, want at most %d and no white space", n, recorded.MaxBody)
	}
}

func TestSaveErrors(t *testing.T) {
	x := tensor.Of("x", []int64{1}, []float32{1})
	big := tensor.Of("x", []int64{40000}, make([]uint8, 40000))
	huge := tensor.Of("x", []int64{600000}, make([]uint8, 600000))
	nan := tensor.Of("x", []int64{1}, []float32{float32(math.NaN())})
	raw := tensor.OfStrings("x", []int64{1}, "\xff")
	label := tensor.OfStrings("label", []int64{1}, "a")
	tests := []struct {
		name        string
		model, file string
		in          tensor.Tensor
		out         tensor.Tensor
		tol         recorded.Tolerances
		code        fault.Code
		text        string
	}{
		{"model up", "..", "1", x, x, nil, fault.Invalid, `model "..": want a name`},
		{"model with a slash", "a/b", "1", x, x, nil, fault.Invalid, `model "a/b"`},
		{"name up", "m", "../1", x, x, nil, fault.Invalid, `request "../1": want a name`},
		{"hidden name", "m", ".1", x, x, nil, fault.Invalid, `request ".1"`},
		{"name like an answer", "m", "1.want", x, x, nil, fault.Invalid, `request "1.want"`},
		{"empty name", "m", "", x, x, nil, fault.Invalid, `request ""`},
		{"too large", "m", "1", big, x, nil, fault.TooLarge, "want at most 65536 bytes, got 80"},
		{"answer too large", "m", "1", x, huge, nil, fault.TooLarge, "want an answer of at most 1048576 bytes, got "},
		{"NaN", "m", "1", nan, x, nil, fault.Unprocessable, "got NaN"},
		{"bytes that are not text", "m", "1", raw, x, nil, fault.Unprocessable, `got "\xff"`},
		{"answer that is not text", "m", "1", x, raw, nil, fault.Unprocessable, `got "\xff"`},
		{"tolerance of another output", "m", "1", x, x, recorded.Tolerances{"y": {}}, fault.Invalid, `want the name of an output, got "y"`},
		{"tolerance of text", "m", "1", x, label, recorded.Tolerances{"label": {Absolute: 1}}, fault.Invalid, `tolerance of output "label": want none for BYTES`},
		{"negative tolerance", "m", "1", x, x, recorded.Tolerances{"x": {Absolute: -1}}, fault.Invalid, "want numbers of at least 0, got 0 and -1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			err := recorded.Save(dir, tt.model, tt.file, request(tt.in), answer(tt.out), tt.tol)
			if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v %q, want %v with %q", fault.CodeOf(err), err, tt.code, tt.text)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestSaveDoesNotFollowLinksOut(t *testing.T) {
	outside := t.TempDir()
	for _, link := range []string{"requests", "requests/m"} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(link)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		x := tensor.Of("x", []int64{1}, []float32{1})
		if err := recorded.Save(dir, "m", "1", request(x), nil, nil); err == nil {
			t.Errorf("saved through %s, a link out of the folder", link)
		}
		if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
			t.Errorf("left outside: %v %v", left, err)
		}
	}
}

func request(inputs ...tensor.Tensor) *infer.Request { return &infer.Request{Inputs: inputs} }
