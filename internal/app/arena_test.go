package app_test

import (
	"context"
	"path/filepath"
	"testing"

	"godwit.dev/internal/app"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
)

func TestOnlySmallModelsGoWithoutTheArena(t *testing.T) {
	tests := []struct {
		name  string
		model testmodels.Model
		want  bool
	}{
		{"tiny", testmodels.Tiny(), true},
		{"small, 0.35 MB", testmodels.Small(), false},
		{"a large row", testmodels.Identity(onnx.Float, "N", 3, 200, 200), false},
		{"two large rows together", testmodels.Model{Graph: testmodels.Graph{
			Nodes:   []testmodels.Node{testmodels.N("Add", []string{"a", "b"}, []string{"y"})},
			Inputs:  []testmodels.Value{testmodels.V("a", onnx.Float, "N", 10000), testmodels.V("b", onnx.Float, "N", 10000)},
			Outputs: []testmodels.Value{testmodels.V("y", onnx.Float, "N", 10000)},
		}}, false},
		{"many operators", testmodels.Slow(100), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := function(t, "model: addsub.onnx\n")
			write(t, filepath.Join(dir, "addsub.onnx"), tt.model.Bytes())
			eng := engine(dir)
			f, err := app.Open(dir, eng, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close(context.Background())
			if err := f.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := eng.opts[0].NoArena; got != tt.want {
				t.Errorf("without the arena: %v, want %v", got, tt.want)
			}
		})
	}
}
