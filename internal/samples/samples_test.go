package samples_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/samples"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

func signature(inputs ...driver.TensorInfo) *driver.Signature {
	return &driver.Signature{Inputs: inputs}
}

func input(name string, d tensor.DType, shape ...int64) driver.TensorInfo {
	return driver.TensorInfo{Name: name, Type: d, Shape: shape}
}

// show is a request in one line: "x FP32 [1 2] 0.5 NaN | y BYTES [1] "a"".
func show(t testing.TB, req *infer.Request) string {
	t.Helper()
	var all []string
	for i := range req.Inputs {
		in := &req.Inputs[i]
		if err := in.Check(); err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %v %s %s", in.Name, in.Type, tensor.FormatShape(in.Shape), values(in))))
	}
	return strings.Join(all, " | ")
}

func values(t *tensor.Tensor) string {
	var v any
	switch t.Type {
	case tensor.Bytes:
		return strings.Trim(fmt.Sprintf("%q", t.Strings), "[]")
	case tensor.Bool:
		v, _ = tensor.View[bool](t)
	case tensor.Uint8:
		b, _ := tensor.View[uint8](t)
		wide := make([]int, len(b)) // fmt shows a []byte in its own way
		for i := range b {
			wide[i] = int(b[i])
		}
		v = wide
	case tensor.Uint16:
		v, _ = tensor.View[uint16](t)
	case tensor.Uint32:
		v, _ = tensor.View[uint32](t)
	case tensor.Uint64:
		v, _ = tensor.View[uint64](t)
	case tensor.Int8:
		v, _ = tensor.View[int8](t)
	case tensor.Int16:
		v, _ = tensor.View[int16](t)
	case tensor.Int32:
		v, _ = tensor.View[int32](t)
	case tensor.Int64:
		v, _ = tensor.View[int64](t)
	case tensor.FP32:
		v, _ = tensor.View[float32](t)
	case tensor.FP64:
		v, _ = tensor.View[float64](t)
	default:
		bits, _ := tensor.View[uint16](t)
		floats := make([]float32, len(bits))
		for i, b := range bits {
			floats[i] = tensor.Float16(b)
			if t.Type == tensor.BF16 {
				floats[i] = tensor.BFloat16(b)
			}
		}
		v = floats
	}
	return strings.Trim(fmt.Sprint(v), "[]")
}

// write makes a file and returns its path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A sample is a file with what is to become of it.
type sample struct {
	name, file string
	sig        *driver.Signature
	most       int
	want       []string // requests as show has them
	mapping    string   // without the first line, whose numbers are in more
	more       bool
}

func (tt *sample) run(t *testing.T, path string) {
	requests, m, err := samples.FromFile(path, tt.sig, tt.most)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range requests {
		got = append(got, show(t, r))
	}
	if diff := cmp.Diff(tt.want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	first, rest, _ := strings.Cut(m.String(), "\n")
	if diff := cmp.Diff(tt.mapping, rest); diff != "" {
		t.Errorf("mapping (-want +got):\n%s", diff)
	}
	if m.More != tt.more || m.Requests != len(got) || !strings.HasPrefix(first, filepath.Base(path)+": ") {
		t.Errorf("mapping %q with More %v; want %d requests and More %v", first, m.More, len(got), tt.more)
	}
}

// refused checks an error's code, parts of its text and of its hint.
func refused(t *testing.T, err error, code fault.Code, text, hint string) {
	t.Helper()
	if fault.CodeOf(err) != code || !strings.Contains(err.Error(), text) || !strings.Contains(fault.HintOf(err), hint) {
		t.Errorf("got %v %q with the hint %q; want %v with %q and %q", fault.CodeOf(err), err, fault.HintOf(err), code, text, hint)
	}
}

func TestFromFileErrors(t *testing.T) {
	sig := signature(input("x", tensor.FP32, -1))
	dir := t.TempDir()
	tests := []struct {
		name, path string
		code       fault.Code
		text       string
	}{
		{"another kind", write(t, "x.parquet", "PAR1"), fault.Unsupported, `want a file that ends in .csv, .tsv, .npy, .npz, .json or .jsonl, got ".parquet"`},
		{"no kind", write(t, "x", ""), fault.Unsupported, `got ""`},
		{"missing", filepath.Join(dir, "gone.csv"), fault.NotFound, "gone.csv"},
		{"folder", mkdir(t, filepath.Join(dir, "d.csv")), fault.Invalid, "want a file, got something else"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := samples.FromFile(tt.path, sig, 0)
			refused(t, err, tt.code, tt.text, "")
		})
	}
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
