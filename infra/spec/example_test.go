package spec_test

import (
	"fmt"

	"godwit.dev/infra/spec"
)

func ExampleParse() {
	s, err := spec.Parse("godwit.yaml", []byte(`
model: fraud.onnx
image: ghcr.io/acme/fraud
targets: {awslambda: {}, knative: {gpu: 1, mesh: istio}}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Models[0].Name, s.Targets.Names())
	fmt.Println(s.Targets.AWSLambda.Memory, s.Targets.Knative.Provider)
	// Output:
	// fraud [awslambda knative]
	// 1769MiB cuda
}

func ExampleProblems() {
	_, err := spec.Parse("godwit.yaml", []byte("model: fraud.onnx\ntargets:\n  awslambda: {memroy: 1GiB, timeout: 20}\n"))
	for _, problem := range spec.Problems(err) {
		fmt.Println(problem)
		fmt.Println("Try:", problem.Hint)
	}
	// Output:
	// spec.Parse godwit.yaml:3:15: targets.awslambda: unknown key "memroy"
	//    3 |   awslambda: {memroy: 1GiB, timeout: 20}
	//      |               ^
	// Try: Did you mean "memory"?
	// spec.Parse godwit.yaml:3:38: targets.awslambda.timeout: want a duration with a unit such as 300ms, got the number 20
	//    3 |   awslambda: {memroy: 1GiB, timeout: 20}
	//      |                                      ^
	// Try: Say the unit: 20s is 20 seconds.
}

func ExampleNew() {
	s, err := spec.New("fraud.onnx")
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Targets.AWSLambda = &spec.AWSLambda{Memory: 2 * spec.GiB}
	text, err := s.Marshal()
	fmt.Printf("%s%v\n", text, err)
	// Output:
	// # What runs, where and how big. What is left out has a default, listed in docs/spec.md of Godwit.
	// model: fraud.onnx
	// targets: {awslambda: {memory: 2GiB}}
	// <nil>
}
