// Package cases holds the models that the end-to-end parts ask about, each
// with one request: random graphs, and the odd models that come with the
// binding of ONNX Runtime. The same call gives the same bytes everywhere.
package cases

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/tensor"
)

// A Case is one model with one request.
type Case struct {
	Name   string // fits a file and a model
	File   string // the model's file name, which need not be Name
	Model  []byte // the file
	Inputs []tensor.Tensor
}

// Digest is the "sha256:…" of the model's file.
func (c *Case) Digest() string { return digest(c.Model) }

// InputsDigest is the "sha256:…" of the names, types, shapes and elements.
func (c *Case) InputsDigest() string {
	var b bytes.Buffer
	for i := range c.Inputs {
		t := &c.Inputs[i]
		fmt.Fprintf(&b, "%q %v %s\n", t.Name, t.Type, tensor.FormatShape(t.Shape))
		b.Write(t.Data)
		for _, s := range t.Strings {
			fmt.Fprintf(&b, "%q\n", s)
		}
	}
	return digest(b.Bytes())
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Random is the random graph of a seed.
func Random(seed int) Case {
	m, in := testmodels.RandomGraph(uint64(seed))
	name := fmt.Sprintf("random-%03d", seed)
	return Case{Name: name, File: name + ".onnx", Model: m.Bytes(), Inputs: in}
}

// binding is the module whose test_data has the odd models.
const binding = "github.com/yalue/onnxruntime_go"

// OddDir asks the go tool for the folder of the odd models.
func OddDir() (string, error) {
	var problem strings.Builder
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", binding)
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w: %s", binding, err, problem.String())
	}
	return filepath.Join(strings.TrimSpace(string(out)), "test_data"), nil
}

// NeedsExtensions is the one odd model that has to be refused: its operator
// StringUpper is in another library.
const NeedsExtensions = "example_needs_extensions.onnx"

// odd are the eleven others. A dynamic dimension has three elements here.
var odd = []struct {
	name, file string
	in         func(r *testmodels.Rand) []tensor.Tensor
}{
	{"odd-name", "example ż 大 김.onnx", random("in", tensor.Int32, 1, 2)},
	{"odd-0-dim-output", "example_0_dim_output.onnx", random("x", tensor.FP32, 2, 8)},
	{"odd-big-compute", "example_big_compute.onnx", random("Input", tensor.FP32, 1, 50<<20)},
	{"odd-big-fanout", "example_big_fanout.onnx", random("input", tensor.FP32, 1, 4)},
	{"odd-dynamic-axes", "example_dynamic_axes.onnx", random("input_vectors", tensor.FP32, 3, 10)},
	{"odd-float16", "example_float16.onnx", random("InputA", tensor.FP16, 1, 2, 2, 2)},
	{"odd-lora", "example_lora.onnx", random("in", tensor.FP32, 1, 4)},
	{"odd-multitype", "example_multitype.onnx", both(random("InputA", tensor.Uint8, 1, 1, 1), random("InputB", tensor.FP64, 1, 2, 2))},
	{"odd-several", "example_several_inputs_and_outputs.onnx", both(random("input 1", tensor.Int32, 2, 5, 2, 5),
		random("input 2", tensor.FP32, 2, 3, 20), random("input 3", tensor.BF16, 9))},
	{"odd-strings", "example_strings.onnx", words},
	{"odd-randomforest", "sklearn_randomforest.onnx", irises},
}

func random(name string, d tensor.DType, shape ...int64) func(*testmodels.Rand) []tensor.Tensor {
	return func(r *testmodels.Rand) []tensor.Tensor {
		return []tensor.Tensor{testmodels.RandomTensor(r, name, d, shape...)}
	}
}

func both(parts ...func(*testmodels.Rand) []tensor.Tensor) func(*testmodels.Rand) []tensor.Tensor {
	return func(r *testmodels.Rand) (all []tensor.Tensor) {
		for _, p := range parts {
			all = append(all, p(r)...)
		}
		return all
	}
}

// words have letters that fold in ASCII, in two bytes, and not at all.
func words(*testmodels.Rand) []tensor.Tensor {
	return []tensor.Tensor{tensor.OfStrings("input", []int64{5}, "Godwit", "ÄÖÜ grün", "日本", "", "MiXeD 123")}
}

// irises are four lengths in centimetres each, over the range of the flowers.
func irises(r *testmodels.Rand) []tensor.Tensor {
	v := make([]float32, 30*4)
	for i := range v {
		v[i] = 4 + 4*r.Float32()
	}
	return []tensor.Tensor{tensor.Of("X", []int64{30, 4}, v)}
}

// Odd reads the odd models in dir that can be answered. One of them takes and
// gives 200 MB.
func Odd(dir string) ([]Case, error) {
	var all []Case
	for i, o := range odd {
		b, err := os.ReadFile(filepath.Join(dir, o.file))
		if err != nil {
			return nil, err
		}
		all = append(all, Case{Name: o.name, File: o.file, Model: b, Inputs: o.in(testmodels.NewRand(uint64(i)))})
	}
	return all, nil
}

// Locale lets the models that fold letters in en_US.UTF-8 load on a machine
// that has only C.UTF-8, whose letters are the same: it makes folder one for
// LOCPATH. It returns "" where the machine has to do without.
func Locale(folder string) (locpath string, err error) {
	const c = "/usr/lib/locale/C.utf8"
	if _, err := os.Stat(c); err != nil {
		return "", nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	link := filepath.Join(folder, "en_US.UTF-8")
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		return "", err
	}
	return folder, os.Symlink(c, link)
}
