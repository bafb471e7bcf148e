package memengine_test

import (
	"context"
	"fmt"
	"testing"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

func TestConformance(t *testing.T) {
	e := memengine.New(drivertest.InGo())
	drivertest.Run(t, drivertest.Harness{
		Engine:    e,
		Path:      func(_ testing.TB, name string) string { return name },
		NotAModel: func(testing.TB) string { return "no-model" },
	})
	if n := e.Sessions(); n != 0 {
		t.Errorf("%d sessions are still open", n)
	}
}

func ExampleEngine_Open() {
	e := memengine.New(map[string]memengine.Model{"identity": memengine.Identity(tensor.FP32, -1, 2)})
	s, err := e.Open(context.Background(), "identity", &driver.Options{IntraOp: 1, Runs: 1})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	out := []tensor.Tensor{{Name: "y"}}
	if err := s.Run(context.Background(), []tensor.Tensor{tensor.Of("x", []int64{1, 2}, []float32{3, 4})}, out); err != nil {
		panic(err)
	}
	v, _ := tensor.View[float32](&out[0])
	fmt.Println(out[0].Type, out[0].Shape, v)
	// Output: FP32 [1 2] [3 4]
}
