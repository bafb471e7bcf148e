package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"godwit.dev/e2e/cases"
	"godwit.dev/runtime/tensor"
)

// What is committed: Node's answers to the first random graphs and to the odd
// models, in one file. Models and requests are made again from their seeds and
// recognised by their digests.
const recordedGraphs = 60

type record struct {
	Runtime string     `json:"runtime"`
	Cases   []recorded `json:"cases"`
}

type recorded struct {
	Name    string           `json:"name"`
	Model   string           `json:"model"`  // digest
	Inputs  string           `json:"inputs"` // digest
	Outputs []recordedTensor `json:"outputs"`
}

type recordedTensor struct {
	Name  string  `json:"name"`
	Type  string  `json:"type"`
	Shape []int64 `json:"shape"`
	// Every is 0 where Data has all elements; otherwise Data has only the
	// elements 0, Every, 2·Every, ….
	Every int    `json:"every,omitempty"`
	Data  []byte `json:"data"`
}

// most is how many elements of one tensor are recorded.
const most = 4096

func (r *record) add(c *cases.Case, outs []tensor.Tensor) {
	if strings.HasPrefix(c.Name, "random-") && len(r.Cases) >= recordedGraphs {
		return
	}
	one := recorded{Name: c.Name, Model: c.Digest(), Inputs: c.InputsDigest()}
	for i := range outs {
		t := &outs[i]
		every := sampling(t)
		rt := recordedTensor{Name: t.Name, Type: t.Type.String(), Shape: t.Shape, Data: elements(t)}
		if every > 1 {
			s := sample(t, every)
			rt.Every, rt.Data = every, s.Data
		}
		one.Outputs = append(one.Outputs, rt)
	}
	r.Cases = append(r.Cases, one)
}

// sampling is the step at which a tensor is recorded; 1 for all elements.
func sampling(t *tensor.Tensor) int {
	if n := t.Len(); n > most && t.Type != tensor.Bytes {
		return (n + most - 1) / most
	}
	return 1
}

// sample is the tensor [n] of the elements at 0, every, 2·every, …
func sample(t *tensor.Tensor, every int) tensor.Tensor {
	size := t.Type.Size()
	var data []byte
	for i := 0; i < t.Len(); i += every {
		data = append(data, t.Data[i*size:(i+1)*size]...)
	}
	return tensor.Tensor{Name: t.Name, Type: t.Type, Shape: []int64{int64(len(data) / size)}, Data: data}
}

// save writes a case to a line, so that a new recording shows what changed.
func (r *record) save(file string) error {
	var b bytes.Buffer
	runtime, err := json.Marshal(r.Runtime)
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "{\"runtime\":%s,\"cases\":[\n", runtime)
	for i := range r.Cases {
		line, err := json.Marshal(&r.Cases[i])
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteString(",\n")
		}
		b.Write(line)
	}
	b.WriteString("\n]}\n")
	return os.WriteFile(file, b.Bytes(), 0o644)
}
