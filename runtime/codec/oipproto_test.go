package codec_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// oip describes the protocol's two messages to protobuf's own library, the
// second opinion about what our parser reads and writes.
type oip struct {
	request, response protoreflect.MessageDescriptor
}

func newOIP(t testing.TB) oip {
	type typ = descriptorpb.FieldDescriptorProto_Type
	const (
		str, i64, boolean, dbl, u64 = descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_INT64,
			descriptorpb.FieldDescriptorProto_TYPE_BOOL, descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, descriptorpb.FieldDescriptorProto_TYPE_UINT64
		i32, u32, flt, byt, msg = descriptorpb.FieldDescriptorProto_TYPE_INT32, descriptorpb.FieldDescriptorProto_TYPE_UINT32,
			descriptorpb.FieldDescriptorProto_TYPE_FLOAT, descriptorpb.FieldDescriptorProto_TYPE_BYTES, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	field := func(name string, num int32, t typ, repeated bool, of ...string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &num, Type: &t, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if repeated {
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		if len(of) > 0 {
			f.TypeName = proto.String(".inference." + of[0])
		}
		return f
	}
	message := func(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: fields}
	}
	withParams := func(m *descriptorpb.DescriptorProto, num int32) *descriptorpb.DescriptorProto {
		entry := message("ParametersEntry", field("key", 1, str, false), field("value", 2, msg, false, "InferParameter"))
		entry.Options = &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)}
		m.NestedType = append(m.NestedType, entry)
		m.Field = append(m.Field, field("parameters", num, msg, true, m.GetName()+".ParametersEntry"))
		return m
	}
	param := message("InferParameter", field("bool_param", 1, boolean, false), field("int64_param", 2, i64, false),
		field("string_param", 3, str, false), field("double_param", 4, dbl, false), field("uint64_param", 5, u64, false))
	param.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String("parameter_choice")}}
	for _, f := range param.Field {
		f.OneofIndex = proto.Int32(0)
	}
	contents := message("InferTensorContents", field("bool_contents", 1, boolean, true), field("int_contents", 2, i32, true), field("int64_contents", 3, i64, true),
		field("uint_contents", 4, u32, true), field("uint64_contents", 5, u64, true), field("fp32_contents", 6, flt, true), field("fp64_contents", 7, dbl, true), field("bytes_contents", 8, byt, true))
	tensorMessage := withParams(message("Tensor", field("name", 1, str, false), field("datatype", 2, str, false), field("shape", 3, i64, true), field("contents", 5, msg, false, "InferTensorContents")), 4)
	wanted := withParams(message("Requested", field("name", 1, str, false)), 2)
	request := withParams(message("ModelInferRequest", field("model_name", 1, str, false), field("model_version", 2, str, false), field("id", 3, str, false),
		field("inputs", 5, msg, true, "Tensor"), field("outputs", 6, msg, true, "Requested"), field("raw_input_contents", 7, byt, true)), 4)
	response := withParams(message("ModelInferResponse", field("model_name", 1, str, false), field("model_version", 2, str, false), field("id", 3, str, false),
		field("outputs", 5, msg, true, "Tensor"), field("raw_output_contents", 6, byt, true)), 4)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{Name: proto.String("oip.proto"), Package: proto.String("inference"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{param, contents, tensorMessage, wanted, request, response}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return oip{file.Messages().ByName("ModelInferRequest"), file.Messages().ByName("ModelInferResponse")}
}

func get(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(name))
}

// readRequest reads msg with protobuf's library.
func (o oip) readRequest(msg []byte) (*infer.Request, error) {
	m := dynamicpb.NewMessage(o.request)
	if err := proto.Unmarshal(msg, m); err != nil {
		return nil, err
	}
	req := &infer.Request{Model: get(m, "model_name").String(), Version: get(m, "model_version").String(), ID: get(m, "id").String(), Params: paramsOf(m)}
	inputs, raws := get(m, "inputs").List(), get(m, "raw_input_contents").List()
	some := false
	for i := range inputs.Len() {
		in := inputs.Get(i).Message()
		t, err := tensorOf(in, raws, i)
		if err != nil {
			return nil, err
		}
		req.Inputs = append(req.Inputs, t)
		req.InputParams = append(req.InputParams, paramsOf(in))
		some = some || paramsOf(in) != nil
	}
	if !some {
		req.InputParams = nil
	}
	outputs := get(m, "outputs").List()
	for i := range outputs.Len() {
		out := outputs.Get(i).Message()
		req.Outputs = append(req.Outputs, infer.OutputRequest{Name: get(out, "name").String(), Params: paramsOf(out)})
	}
	return req, nil
}

func paramsOf(m protoreflect.Message) infer.Params {
	var p infer.Params
	get(m, "parameters").Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		v.Message().Range(func(_ protoreflect.FieldDescriptor, choice protoreflect.Value) bool {
			if p == nil {
				p = infer.Params{}
			}
			p[k.String()] = choice.Interface()
			if u, ok := p[k.String()].(uint64); ok && u <= math.MaxInt64 {
				p[k.String()] = int64(u) // as in JSON
			}
			return true
		})
		return true
	})
	return p
}

func tensorOf(m protoreflect.Message, raws protoreflect.List, i int) (tensor.Tensor, error) {
	d, ok := tensor.ParseDType(get(m, "datatype").String())
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("datatype %q", get(m, "datatype").String())
	}
	t := tensor.Tensor{Name: get(m, "name").String(), Type: d}
	shape := get(m, "shape").List()
	for i := range shape.Len() {
		t.Shape = append(t.Shape, shape.Get(i).Int())
	}
	if raws.Len() > 0 {
		b := raws.Get(i).Bytes()
		if d != tensor.Bytes {
			t.Data = b
			return t, t.Check()
		}
		for len(b) > 0 {
			n := binary.LittleEndian.Uint32(b)
			t.Strings = append(t.Strings, b[4:4+n])
			b = b[4+n:]
		}
		return t, t.Check()
	}
	get(m, "contents").Message().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		for k := range v.List().Len() {
			e := v.List().Get(k)
			var b [8]byte
			switch f.Name() {
			case "bool_contents":
				if e.Bool() {
					b[0] = 1
				}
			case "int_contents", "int64_contents":
				binary.LittleEndian.PutUint64(b[:], uint64(e.Int()))
			case "uint_contents", "uint64_contents":
				binary.LittleEndian.PutUint64(b[:], e.Uint())
			case "fp32_contents":
				binary.LittleEndian.PutUint32(b[:], math.Float32bits(float32(e.Float())))
			case "fp64_contents":
				binary.LittleEndian.PutUint64(b[:], math.Float64bits(e.Float()))
			case "bytes_contents":
				t.Strings = append(t.Strings, e.Bytes())
				continue
			}
			t.Data = append(t.Data, b[:d.Size()]...)
		}
		return true
	})
	return t, t.Check()
}
