package testmodels_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/golden"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// The models' bytes are the same on every machine and under every version of
// Go: recorded answers and measurements depend on it.
func TestSameBytesEverywhere(t *testing.T) {
	var list bytes.Buffer
	add := func(name string, b []byte) {
		fmt.Fprintf(&list, "%x %7d %s\n", sha256.Sum256(b), len(b), name)
	}
	for _, n := range testmodels.All() {
		add(n.Name, n.Model.Bytes())
	}
	add("medium", testmodels.Medium().Bytes())
	m, data := testmodels.Small().Externalize("small.bin")
	add("small with external data", m.Bytes())
	add("its external data", data)
	for seed := range uint64(50) {
		m, request := testmodels.RandomGraph(seed)
		add(fmt.Sprintf("random graph %d", seed), m.Bytes())
		var all bytes.Buffer
		for _, x := range request {
			fmt.Fprintf(&all, "%s %v %v %q %q\n", x.Name, x.Type, x.Shape, x.Data, x.Strings)
		}
		add("its request", all.Bytes())
	}
	golden.Check(t, "digests.txt", list.Bytes())
}

func TestNamesAreFiles(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range testmodels.All() {
		if seen[n.Name] || !filepath.IsLocal(n.Name) || filepath.Base(n.Name) != n.Name {
			t.Errorf("name %q is there twice or is not a file's", n.Name)
		}
		seen[n.Name] = true
	}
}

func TestFile(t *testing.T) {
	path := testmodels.AddSub().File(t, "addsub")
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, testmodels.AddSub().Bytes()) || filepath.Base(path) != "addsub.onnx" {
		t.Errorf("%s holds %d bytes", path, len(got))
	}
}

func TestExternalFile(t *testing.T) {
	path := testmodels.Tiny().ExternalFile(t, "tiny")
	m, err := onnx.Read(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.External) != 4 {
		t.Errorf("%d tensors in other files, want 4", len(m.External))
	}
	if err := m.CheckExternal(""); err != nil {
		t.Error(err)
	}
}

func TestResNet50IsTheRealTopology(t *testing.T) {
	b := testmodels.ResNet50().Bytes()
	m, err := onnx.ReadFrom(bytes.NewReader(b), int64(len(b)), "resnet50", nil)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, o := range m.Ops {
		count[o.Name] = o.Count
	}
	want := map[string]int{"Conv": 53, "Relu": 49, "Add": 16, "MaxPool": 1, "GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("operators (-want +got)\n%s", diff)
	}
	// torchvision's has 25,557,032 with 53,120 for the batch normalisations,
	// of which half, the shifts, become the convolutions' biases here.
	if got := m.Initializers.Bytes / 4; got != 25_557_032-53_120/2 {
		t.Errorf("%d weights, want %d", got, 25_557_032-53_120/2)
	}
}

func TestRandomGraphsDiffer(t *testing.T) {
	ops, types, seen := map[string]bool{}, map[tensor.DType]bool{}, map[[32]byte]bool{}
	for seed := range uint64(200) {
		m, request := testmodels.RandomGraph(seed)
		seen[sha256.Sum256(m.Bytes())] = true
		for _, n := range m.Graph.Nodes {
			ops[n.Op] = true
		}
		for _, x := range request {
			types[x.Type] = true
		}
	}
	if len(seen) != 200 || len(types) != len(tensor.DTypes()) || len(ops) < 35 {
		t.Errorf("200 seeds give %d models, %d input types and %d operators", len(seen), len(types), len(ops))
	}
}
