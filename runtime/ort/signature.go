//go:build cgo

package ort

/*
#include "engine.h"
*/
import "C"

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// types maps ONNXTensorElementDataType to ours; the zero value is unsupported.
var types = [...]tensor.DType{
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:    tensor.FP32,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:    tensor.Uint8,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:     tensor.Int8,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:   tensor.Uint16,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:    tensor.Int16,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:    tensor.Int32,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:    tensor.Int64,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING:   tensor.Bytes,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:     tensor.Bool,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:  tensor.FP16,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:   tensor.FP64,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:   tensor.Uint32,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64:   tensor.Uint64,
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16: tensor.BF16,
}

// refusedTypes names what the protocol cannot carry.
var refusedTypes = map[C.int]string{
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX64:      "complex64",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX128:     "complex128",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN:   "float8e4m3fn",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FNUZ: "float8e4m3fnuz",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2:     "float8e5m2",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2FNUZ: "float8e5m2fnuz",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E8M0:     "float8e8m0",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT4:          "uint4",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT4:           "int4",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT2:          "uint2",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT2:           "int2",
	C.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT4E2M1:     "float4e2m1",
}

func dtype(t C.int) tensor.DType {
	if t < 0 || int(t) >= len(types) {
		return tensor.None
	}
	return types[t]
}

// onnxType is the inverse of dtype.
func onnxType(d tensor.DType) C.int { return C.int(slices.Index(types[:], d)) }

// describe reads the signature from the live session, which is right for every
// format that the session can be made from, and checks where it runs.
func (s *session) describe(path string, opts *driver.Options) error {
	var inputs, outputs C.size_t
	var msg *C.char
	if code := C.gw_session_count(s.lib, s.raw, &inputs, &outputs, &msg); code != C.ORT_OK {
		return openError(path, int(code), takeString(msg))
	}
	for i := range inputs {
		if err := s.addInput(path, i); err != nil {
			return err
		}
	}
	for i := range outputs {
		if err := s.addOutput(path, i); err != nil {
			return err
		}
	}
	for i, o := range s.sig.Outputs {
		if slices.ContainsFunc(s.sig.Outputs[:i], func(p driver.TensorInfo) bool { return p.Name == o.Name }) {
			return fault.New(fault.BadModel, "ort.Open", path, "two outputs are named %q", o.Name).
				WithHint("The keys of a sequence of maps X become the output X_keys; rename the other output.")
		}
	}
	if err := s.readMetadata(path); err != nil {
		return err
	}
	return s.checkProvider(path, opts.Provider.Name)
}

func (s *session) info(path string, output bool, i C.size_t, info *C.gw_info) error {
	var msg *C.char
	side := C.int(0)
	if output {
		side = 1
	}
	if code := C.gw_session_info(s.lib, s.raw, side, i, info, &msg); code != C.ORT_OK {
		return openError(path, int(code), takeString(msg))
	}
	what := "input"
	if output {
		what = "output"
	}
	subject := fmt.Sprintf("%s: %s %q", path, what, C.GoString(info.name))
	if info.kind == C.GW_REFUSED {
		return fault.New(fault.BadModel, "ort.Open", subject, "want a tensor, got %s", C.GoString(info.refused)).
			WithHint("Export the model with tensors only; for scikit-learn that is the option zipmap: False.")
	}
	if dtype(info._type) == tensor.None {
		name := refusedTypes[info._type]
		if name == "" {
			name = fmt.Sprintf("number %d", info._type)
		}
		return fault.New(fault.BadModel, "ort.Open", subject, "element type %s is not in the Open Inference Protocol", name).
			WithHint("Add a Cast to a type that the protocol has, such as float32, at this end of the graph.")
	}
	return nil
}

func (s *session) addInput(path string, i C.size_t) error {
	var info C.gw_info
	defer C.gw_info_free(&info)
	if err := s.info(path, false, i, &info); err != nil {
		return err
	}
	s.sig.Inputs = append(s.sig.Inputs, tensorInfo(&info))
	s.inNames = append(s.inNames, C.strdup(info.name))
	return nil
}

func (s *session) addOutput(path string, i C.size_t) error {
	var info C.gw_info
	defer C.gw_info_free(&info)
	if err := s.info(path, true, i, &info); err != nil {
		return err
	}
	slot := len(s.slots)
	t := tensorInfo(&info)
	s.slots = append(s.slots, C.strdup(info.name))
	s.sig.Outputs = append(s.sig.Outputs, t)
	if info.kind != C.GW_MAPS {
		s.parts = append(s.parts, s.partOf(slot, &t))
		return nil
	}
	last := &s.sig.Outputs[len(s.sig.Outputs)-1]
	last.Shape, last.Symbols, last.Unranked = []int64{-1, -1}, nil, false
	s.sig.Outputs = append(s.sig.Outputs, driver.TensorInfo{Name: t.Name + "_keys", Type: dtype(info.key_type), Shape: []int64{-1}})
	s.parts = append(s.parts, part{slot: slot, kind: C.GW_GATHERED}, part{slot: slot, kind: C.GW_GATHERED, keys: true})
	return nil
}

// partOf says whether the value of a tensor output may be written into again.
// Not that of an input which is an output too: ONNX Runtime puts the input's
// value there and never writes into ours. Strings are assigned one by one
// anyway. And providers other than the CPU's copy outputs from their device
// without comparing shapes.
func (s *session) partOf(slot int, output *driver.TensorInfo) part {
	p := part{slot: slot, kind: C.GW_REUSED}
	p.passed = slices.ContainsFunc(s.sig.Inputs, func(in driver.TensorInfo) bool { return in.Name == output.Name })
	if p.passed || output.Type == tensor.Bytes || s.native {
		p.kind = C.GW_RENEWED
	}
	return p
}

func tensorInfo(info *C.gw_info) driver.TensorInfo {
	t := driver.TensorInfo{Name: C.GoString(info.name), Type: dtype(info._type), Unranked: info.ranked == 0}
	if t.Unranked {
		return t
	}
	t.Shape = make([]int64, info.rank)
	for i, d := range unsafe.Slice(info.dims, info.rank) {
		t.Shape[i] = max(int64(d), -1)
	}
	named := false
	symbols := make([]string, info.rank)
	for i, c := range unsafe.Slice(info.symbols, info.rank) {
		symbols[i] = C.GoString(c)
		named = named || symbols[i] != ""
	}
	if named {
		t.Symbols = symbols
	}
	return t
}

func (s *session) readMetadata(path string) error {
	var pairs, msg *C.char
	var size C.size_t
	code := C.gw_session_metadata(s.lib, s.raw, &pairs, &size, &msg)
	defer C.free(unsafe.Pointer(pairs))
	if code != C.ORT_OK {
		return openError(path, int(code), takeString(msg))
	}
	words := strings.Split(C.GoStringN(pairs, C.int(size)), "\x00")
	s.sig.Metadata = map[string]string{}
	for i := 0; i+1 < len(words); i += 2 {
		s.sig.Metadata[words[i]] = words[i+1]
	}
	return nil
}

// checkProvider compares where the nodes really are with what was asked for.
func (s *session) checkProvider(path, want string) error {
	s.providers = []string{cpu}
	if want == "" || want == cpu {
		return nil
	}
	var names, msg *C.char
	var size C.size_t
	code := C.gw_session_providers(s.lib, s.raw, &names, &size, &msg)
	defer C.free(unsafe.Pointer(names))
	if code != C.ORT_OK {
		return openError(path, int(code), takeString(msg))
	}
	s.providers = nil
	count := map[string]int{}
	for _, name := range strings.Split(strings.TrimSuffix(C.GoStringN(names, C.int(size)), "\x00"), "\x00") {
		short := name
		for ours, theirs := range providers {
			if theirs == name {
				short = ours
			}
		}
		if count[short]++; count[short] == 1 {
			s.providers = append(s.providers, short)
		}
	}
	if count[want] == 0 {
		return fault.New(fault.Runtime, "ort.Open", path, "want provider %q, but every operator was placed on %s", want, strings.Join(s.providers, ", ")).
			WithHint("This provider has no kernel for the model's operators; convert the model for it, or set provider: cpu.")
	}
	slices.SortStableFunc(s.providers, func(a, b string) int {
		switch {
		case a == want:
			return -1
		case b == want:
			return 1
		}
		return 0
	})
	return nil
}
