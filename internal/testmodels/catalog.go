package testmodels

import (
	"fmt"

	"godwit.dev/runtime/onnx"
)

// A Named model is one entry of All.
type Named struct {
	Name  string
	Model Model
	// Runs is false where ONNX Runtime refuses the model when it is loaded,
	// on the CPU at least.
	Runs bool
}

// All returns every small model of this package under a name that fits a file:
// for tests that walk all of them. Medium, Wide, ResNet50 and the random graphs
// are left out; Slow is there with two steps.
func All() []Named {
	var all []Named
	add := func(name string, m Model) { all = append(all, Named{name, m, true}) }
	for _, e := range onnx.ElemTypes() {
		for _, dims := range [][]any{{"N", 3}, {}} {
			all = append(all, Named{fmt.Sprintf("identity-%v-%d", e, len(dims)), Identity(e, dims...), runs(e)})
		}
	}
	add("addsub", AddSub())
	add("matmul", MatMul(3, 5, 1))
	add("noinputs", NoInputs())
	add("scalario", ScalarIO())
	add("zerodim", ZeroDim())
	add("multiio", MultiIO())
	add("dynamicbatch", DynamicBatch())
	add("mixesrows", MixesRows())
	add("tiny", Tiny())
	add("small", Small())
	add("slow", Slow(2))
	add("maps-int64", SequenceOfMaps(onnx.Int64))
	add("maps-string", SequenceOfMaps(onnx.String))
	add("sequence-output", SequenceOutput())
	add("sequence-input", SequenceInput())
	add("optional-output", OptionalOutput())
	add("gathertrap", GatherTrap())
	add("reshapetrap", ReshapeTrap())
	add("random", Random())
	add("dropout-on", Dropout(true))
	add("dropout-off", Dropout(false))
	add("nan", NaN())
	add("stringconcat", StringConcat())
	add("stringstop", StringStop())
	add("branches", Branches())
	add("localfunction", LocalFunction())
	all = append(all, Named{"customop", CustomOp(), false})
	return all
}

// runs reports whether ONNX Runtime's CPU provider has Identity for e: measured
// with 1.30. The 8-bit floats run but cannot be served.
func runs(e onnx.ElemType) bool {
	switch e {
	case onnx.Complex64, onnx.Complex128, onnx.Float8E8M0, onnx.Float4E2M1,
		onnx.Uint4, onnx.Int4, onnx.Uint2, onnx.Int2:
		return false
	}
	return true
}
