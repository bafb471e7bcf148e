package samples

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// What is read from any bytes are requests whose tensors fit the signature.
func fuzz(f *testing.F, name string, read func(*source) ([]*infer.Request, *Mapping, error)) {
	sigs := []driver.Signature{
		{Inputs: []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Shape: []int64{-1, 4}}}},
		{Inputs: []driver.TensorInfo{{Name: "x", Type: tensor.Int16, Shape: []int64{-1, 1}}}},
		{Inputs: []driver.TensorInfo{{Name: "x", Type: tensor.Bytes, Shape: []int64{-1}}}},
		{Inputs: []driver.TensorInfo{{Name: "x", Type: tensor.BF16, Unranked: true}}},
		{Inputs: []driver.TensorInfo{{Name: "x", Type: tensor.Bool, Shape: []int64{-1, -1}}, {Name: "y", Type: tensor.FP64}}},
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for i := range sigs {
			requests, m, err := read(&source{path: name, data: bytes.NewReader(data), size: int64(len(data)), sig: &sigs[i], most: 3, limit: 1 << 20})
			if err != nil {
				continue
			}
			if len(requests) == 0 || len(requests) > 3 || m.Requests != len(requests) {
				t.Fatalf("%d requests, the mapping says %d", len(requests), m.Requests)
			}
			for _, r := range requests {
				if len(r.Inputs) != len(sigs[i].Inputs) {
					t.Fatalf("%d inputs", len(r.Inputs))
				}
				for k := range r.Inputs {
					in, info := &r.Inputs[k], &sigs[i].Inputs[k]
					if err := in.Check(); err != nil {
						t.Fatal(err)
					}
					if in.Name != info.Name || in.Type != info.Type || !info.Unranked && !fits(info.Shape, in.Shape) {
						t.Fatalf("got %s %v %v, want %s", in.Name, in.Type, in.Shape, infer.Describe(info))
					}
				}
			}
		}
	})
}

func FuzzNPY(f *testing.F) {
	files, err := filepath.Glob("testdata/npy/*.npy")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds: ", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	fuzz(f, "x.npy", readNPY)
}

func FuzzNPZ(f *testing.F) {
	for _, file := range []string{"testdata/npy/borders.npz", "testdata/npy/penguins.npz"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	fuzz(f, "x.npz", readNPZ)
}

func FuzzTable(f *testing.F) {
	for _, s := range []string{
		"x,y\n1,2\n", "x\n\n\"a\"\n", "p0;p1;p2;p3\n1;2;3;4\n", ",0,1,2,3\n0,1,2,3,4\n", "\xef\xbb\xbfx\ty\ntrue\t-1e5\n", "1,2\n3,4\n", "x\n\"",
	} {
		f.Add([]byte(s))
	}
	fuzz(f, "x.csv", readTable)
}

// Bodies are decoded only, so they need not fit.
func FuzzBodies(f *testing.F) {
	for _, s := range []string{
		`{"inputs": []}`, `[{"inputs": []}, {"inputs": []}]`, "{\"inputs\": []}\n{\"inputs\": []}", `[`, `[[]]`, `{}`, "", `[{"inputs": []}]]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		requests, m, err := readJSON(&source{path: "x.json", data: bytes.NewReader(data), size: int64(len(data)), most: 3, limit: 1 << 20})
		if err == nil && (len(requests) == 0 || len(requests) > 3 || m.Requests != len(requests)) {
			t.Fatalf("%d requests, the mapping says %d", len(requests), m.Requests)
		}
	})
}
