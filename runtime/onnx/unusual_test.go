package onnx_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

func TestSignature(t *testing.T) {
	for _, tt := range []struct {
		name  string
		model testmodels.Model
		want  driver.Signature
	}{
		{"several", testmodels.MultiIO(), driver.Signature{
			Inputs: []driver.TensorInfo{
				{Name: "a", Type: tensor.FP32, Shape: []int64{-1, 2}, Symbols: []string{"N", ""}},
				{Name: "b", Type: tensor.Int64, Shape: []int64{-1, 3}, Symbols: []string{"N", ""}},
				{Name: "c", Type: tensor.Bytes, Shape: []int64{-1}, Symbols: []string{"N"}},
				{Name: "d", Type: tensor.Bool, Shape: []int64{}},
			},
			Outputs: []driver.TensorInfo{
				{Name: "a2", Type: tensor.FP32, Shape: []int64{-1, 2}, Symbols: []string{"N", ""}},
				{Name: "b1", Type: tensor.Int64, Shape: []int64{-1, 3}, Symbols: []string{"N", ""}},
				{Name: "c1", Type: tensor.Bytes, Shape: []int64{-1}, Symbols: []string{"N"}},
				{Name: "total", Type: tensor.FP32, Shape: []int64{}},
				{Name: "notd", Type: tensor.Bool, Shape: []int64{}},
			},
		}},
		{"maps with strings", testmodels.SequenceOfMaps(onnx.String), driver.Signature{
			Inputs: []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Shape: []int64{-1, 4}, Symbols: []string{"N", ""}}},
			Outputs: []driver.TensorInfo{
				{Name: "label", Type: tensor.Bytes, Shape: []int64{-1}, Symbols: []string{"N"}},
				{Name: "probabilities", Type: tensor.FP32, Shape: []int64{-1, -1}},
				{Name: "probabilities_keys", Type: tensor.Bytes, Shape: []int64{-1}},
			},
		}},
		{"no rank, no inputs' names", testmodels.ReshapeTrap(), driver.Signature{
			Inputs: []driver.TensorInfo{
				{Name: "x", Type: tensor.FP32, Shape: []int64{-1}, Symbols: []string{"N"}},
				{Name: "shape", Type: tensor.Int64, Shape: []int64{-1}, Symbols: []string{"R"}},
			},
			Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.FP32, Unranked: true}},
		}},
		{"no inputs", testmodels.NoInputs(), driver.Signature{
			Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.FP32, Shape: []int64{3}}},
		}},
		{"negative for dynamic", testmodels.Identity(onnx.BFloat16, -7, nil), driver.Signature{
			Inputs:  []driver.TensorInfo{{Name: "x", Type: tensor.BF16, Shape: []int64{-1, -1}}},
			Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.BF16, Shape: []int64{-1, -1}}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mustRead(t, tt.model).Signature()
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Metadata = map[string]string{"producer": "godwit-testmodels", "graph": "g"}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("signature (-want +got)\n%s", diff)
			}
		})
	}
	got, err := mustRead(t, everything()).Signature()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"license": "CC0", "classes": "a,b", "producer": "maker", "graph": "main",
		"domain": "org.example", "description": "For\nbirds", "version": "7"}
	if diff := cmp.Diff(want, got.Metadata); diff != "" {
		t.Errorf("metadata (-want +got)\n%s", diff)
	}
}

func TestSignatureReportsWhatCannotBeServed(t *testing.T) {
	several := testmodels.AddSub()
	several.Graph.Inputs[1].Name = "a"
	several.Graph.Nodes[0].In, several.Graph.Nodes[1].In = []string{"a", "a"}, []string{"a", "a"}
	several.Graph.Outputs[0] = testmodels.V("", onnx.Complex64, "N")
	clash := testmodels.SequenceOfMaps(onnx.Int64)
	clash.Graph.Outputs[0].Name = "probabilities_keys"
	for i := range clash.Graph.Nodes {
		for j, name := range clash.Graph.Nodes[i].Out {
			if name == "label" {
				clash.Graph.Nodes[i].Out[j] = "probabilities_keys"
			}
		}
	}
	sparse := testmodels.Identity(onnx.Float, "N")
	sparse.Graph.Inputs[0].Type.Sparse = true
	floatKeys := testmodels.SequenceOfMaps(onnx.Int64)
	floatKeys.Graph.Outputs[1].Type.Seq.Elem = onnx.Int32
	for _, tt := range []struct {
		name  string
		model testmodels.Model
		parts []string
	}{
		{"complex", testmodels.Identity(onnx.Complex128, "N"), []string{`input "x": element type complex128`, `output "y"`}},
		{"eight bits", testmodels.Identity(onnx.Float8E5M2, "N"), []string{"float8e5m2"}},
		{"sequence in", testmodels.SequenceInput(), []string{`input "rows": want a tensor, got seq(tensor(float)[? 4])`}},
		{"sequence out", testmodels.SequenceOutput(), []string{`output "rows": want a tensor, got seq(tensor(float)[1 4])`}},
		{"optional", testmodels.OptionalOutput(), []string{`output "maybe": want a tensor, got optional(tensor(float)[N 4])`}},
		{"sparse", sparse, []string{"got sparse_tensor(float)[N]"}},
		{"maps with odd keys", floatKeys, []string{"got seq(map(int32,tensor(float)[]))"}},
		{"all of it at once", several, []string{`two inputs are named "a"`, "complex64", "output number 1 has no name"}},
		{"keys' name taken", clash, []string{`two outputs are named "probabilities_keys"`}},
		{"too large", testmodels.Identity(onnx.Float, 1<<40, 1<<40), []string{"larger than any memory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := mustRead(t, tt.model)
			sig, err := m.Signature()
			if sig != nil {
				t.Errorf("signature %+v beside the error", sig)
			}
			wantBad(t, err, tt.parts...)
			found := false
			for _, f := range m.Unusual() {
				found = found || f.Code == "signature" && f.Level == onnx.Problem && strings.Contains(f.What, tt.parts[0])
			}
			if !found {
				t.Errorf("findings do not tell: %+v", m.Unusual())
			}
		})
	}
}

func TestUnusual(t *testing.T) {
	with := func(change func(*testmodels.Model)) testmodels.Model {
		m := testmodels.AddSub()
		change(&m)
		return m
	}
	external, _ := testmodels.Tiny().Externalize("w.bin")
	for _, tt := range []struct {
		name  string
		model testmodels.Model
		want  []string // LEVEL CODE
	}{
		{"usual", testmodels.AddSub(), nil},
		{"usual with maps", testmodels.SequenceOfMaps(onnx.Int64), []string{"note maps"}},
		{"new IR version", with(func(m *testmodels.Model) { m.IR = 14 }), []string{"problem ir-version"}},
		{"newest IR version and opsets", with(func(m *testmodels.Model) {
			m.IR, m.Opsets = 13, []testmodels.Opset{{Domain: "ai.onnx", Version: 26}, {Domain: "ai.onnx.ml", Version: 5}}
		}), nil},
		{"new opset", with(func(m *testmodels.Model) { m.Opsets = []testmodels.Opset{{Version: 27}} }), []string{"problem opset"}},
		{"new opset of ai.onnx.ml", with(func(m *testmodels.Model) {
			m.Opsets = []testmodels.Opset{{Version: 17}, {Domain: "ai.onnx.ml", Version: 6}}
		}), []string{"problem opset"}},
		{"old opset", with(func(m *testmodels.Model) { m.Opsets = []testmodels.Opset{{Version: 6}} }), []string{"warning old-opset"}},
		{"older than opsets", with(func(m *testmodels.Model) { m.IR, m.Opsets = 2, []testmodels.Opset{} }), []string{"warning old-opset"}},
		{"custom operator", testmodels.CustomOp(), []string{"problem custom-ops"}},
		{"own function", testmodels.LocalFunction(), []string{"note functions"}},
		{"the runtime's operator", with(func(m *testmodels.Model) { m.Graph.Nodes[0].Domain = "com.microsoft" }), []string{"note runtime-ops"}},
		{"blocked for a CPU", with(func(m *testmodels.Model) { m.Graph.Nodes[0].Domain = "com.microsoft.nchwc" }), []string{"warning cpu-specific"}},
		{"random", testmodels.Random(), []string{"warning random"}},
		{"loop", with(func(m *testmodels.Model) { m.Graph.Nodes[0].Op = "Scan" }), []string{"note loops"}},
		{"no inputs", testmodels.NoInputs(), []string{"warning no-inputs"}},
		{"no outputs", with(func(m *testmodels.Model) { m.Graph.Outputs = nil }), []string{"problem no-outputs"}},
		{"defaults", with(func(m *testmodels.Model) { m.Graph.Inits = []testmodels.Tensor{testmodels.Floats32("b", nil, 1)} }), []string{"note defaults"}},
		{"fixed batch", testmodels.Identity(onnx.Float, 1, 4), []string{"note no-batch"}},
		{"scalars", testmodels.ScalarIO(), []string{"note no-batch"}},
		{"batch without a name", testmodels.Identity(onnx.Float, nil, 4), []string{"note no-batch"}},
		{"batches of two names", testmodels.StringStop(), []string{"note no-batch", "note strings"}},
		{"float16", testmodels.Identity(onnx.Float16, "N"), []string{"note float16"}},
		{"no rank", testmodels.ReshapeTrap(), []string{"note no-batch", "note unranked"}},
		{"a dimension of zero", testmodels.ZeroDim(), []string{"warning empty", "note no-batch"}},
		{"external data", external, []string{"note external-data"}},
		{"huge", with(func(m *testmodels.Model) {
			m.Graph.Inits = []testmodels.Tensor{{Name: "W", Elem: onnx.Uint8, Dims: []int64{1 << 30}, External: [][2]string{{"location", "w"}}}}
		}), []string{"warning huge", "note external-data"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range mustRead(t, tt.model).Unusual() {
				got = append(got, f.Level.String()+" "+f.Code)
				if f.What == "" || f.Why == "" || !strings.HasSuffix(f.What, ".") || !strings.HasSuffix(f.Why, ".") || f.Level > onnx.Note && f.Do == "" {
					t.Errorf("finding %+v does not say what, why and what to do in sentences", f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got)\n%s", diff)
			}
		})
	}
}

func TestSignatureErrorsNameTheFileOnce(t *testing.T) {
	_, err := mustRead(t, testmodels.SequenceOutput()).Signature()
	if fault.CodeOf(err) != fault.BadModel || strings.Count(err.Error(), "m.onnx") != 1 {
		t.Errorf("error %q", err)
	}
}
