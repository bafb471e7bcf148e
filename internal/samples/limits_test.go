package samples

import (
	"archive/zip"
	"bytes"
	"os"
	"strings"
	"testing"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// The limit is on what must be read for the rows wanted, not on the file.
func TestLimits(t *testing.T) {
	x := &driver.Signature{Inputs: []driver.TensorInfo{{Name: "x", Type: tensor.FP64, Shape: []int64{-1}}}}
	rows := strings.Repeat("1.5\n", 100<<10)
	body := `{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}]}`
	array, err := os.ReadFile("testdata/npy/u8.npy") // 3 elements
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	w, err := z.Create("x.npy")
	if err == nil {
		_, err = w.Write(array)
	}
	if err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		file  string
		read  func(*source) ([]*infer.Request, *Mapping, error)
		most  int
		limit int64
		code  fault.Code
		want  int
		more  bool
	}{
		{"first rows of a long table", "x\n" + rows, readTable, 2, 100 << 10, fault.OK, 2, true},
		{"a row too far down", "x\n" + rows, readTable, 50 << 10, 100 << 10, fault.TooLarge, 0, false},
		{"a cell without end", "x\n\"" + rows, readTable, 2, 100 << 10, fault.TooLarge, 0, false},
		{"names without end", "\"" + rows, readTable, 2, 100 << 10, fault.TooLarge, 0, false},
		{"a table of just the limit", "x\n1\n", readTable, 2, 4, fault.OK, 1, false},
		{"first bodies of a long file", strings.Repeat(body+"\n", 10), readJSON, 2, 200, fault.OK, 2, true},
		{"a body too far down", strings.Repeat(body+"\n", 10), readJSON, 3, 200, fault.TooLarge, 0, false},
		{"an array of bodies", "[" + strings.Repeat(body+",", 10) + body + "]", readJSON, 3, 200, fault.TooLarge, 0, false},
		{"first elements", string(array), readNPY, 2, 16, fault.Invalid, 0, false}, // that FP64 cannot hold
		{"an element", string(array), readNPY, 1, 8, fault.OK, 1, true},
		{"more elements than fit", string(array), readNPY, 2, 15, fault.TooLarge, 0, false},
		{"an element in an archive", archive.String(), readNPZ, 1, 8, fault.OK, 1, true},
		{"more elements in an archive than fit", archive.String(), readNPZ, 2, 15, fault.TooLarge, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, m, err := tt.read(&source{path: "x", data: strings.NewReader(tt.file), size: int64(len(tt.file)), sig: x, most: tt.most, limit: tt.limit})
			if got := fault.CodeOf(err); got != tt.code {
				t.Fatalf("got %v %v, want %v", got, err, tt.code)
			}
			if err == nil && (m.Requests != tt.want || m.More != tt.more) {
				t.Errorf("got %+v, want %d requests and More %v", m, tt.want, tt.more)
			}
		})
	}
}
