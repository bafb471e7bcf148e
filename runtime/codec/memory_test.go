package codec_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// allocated is how many bytes work allocates in all, freed or not.
func allocated(work func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// fixed is what a request may cost however short it is.
const fixed = 128 << 10

// fill repeats a fragment with a separator up to n bytes in all and counts it.
func fill(fragment string, n int) (string, int) {
	count := max(1, n/(len(fragment)+1))
	return strings.Repeat(fragment+",", count-1) + fragment, count
}

// Bodies that make naive decoders allocate: %s is the filling, %d its count.
var greedy = []struct{ name, fragment, body string }{
	{"zeros as FP64", "0", `{"inputs":[{"name":"x","datatype":"FP64","shape":[%[2]d],"data":[%[1]s]}]}`},
	{"zeros as INT64, data first", "0", `{"inputs":[{"data":[%[1]s],"name":"x","datatype":"INT64","shape":[%[2]d]}]}`},
	{"zeros of another count", "0", `{"inputs":[{"name":"x","datatype":"FP64","shape":[1,%[2]d,2],"data":[%[1]s]}]}`},
	{"rows of one", "[0]", `{"inputs":[{"name":"x","datatype":"FP64","shape":[%[2]d,1],"data":[%[1]s]}]}`},
	{"empty rows", "[]", `{"inputs":[{"name":"x","datatype":"FP64","shape":[%[2]d,0],"data":[%[1]s]}]}`},
	{"empty strings", `""`, `{"inputs":[{"name":"x","datatype":"BYTES","shape":[%[2]d],"data":[%[1]s]}]}`},
	{"empty strings of another count", `""`, `{"inputs":[{"name":"x","datatype":"BYTES","shape":[2,%[2]d],"data":[%[1]s]}]}`},
	{"escaped strings", `"\n"`, `{"inputs":[{"name":"x","datatype":"BYTES","shape":[%[2]d],"data":[%[1]s]}]}`},
	{"long escaped strings", `"\u00e9` + strings.Repeat("a", 9000) + `"`, `{"inputs":[{"name":"x","datatype":"BYTES","shape":[%[2]d],"data":[%[1]s]}]}`},
	{"bools", "true", `{"inputs":[{"name":"x","datatype":"BOOL","shape":[%[2]d],"data":[%[1]s]}]}`},
	{"skipped arrays", "[]", `{"inputs":[],"x":[%[1]s],"y":%[2]d}`},
	{"skipped objects", `{"\u0061":{}}`, `{"inputs":[],"x":[%[1]s],"y":%[2]d}`},
	{"skipped strings", `"\n"`, `{"inputs":[],"x":[%[1]s],"y":%[2]d}`},
	{"skipped depth", strings.Repeat("[", 60) + strings.Repeat("]", 60), `{"inputs":[],"x":[%[1]s],"y":%[2]d}`},
	{"dimensions", "1", `{"inputs":[{"shape":[%[1]s],"name":"%[2]d"}]}`},
	{"parameter of digits", "", `{"inputs":[],"parameters":{"a":` + strings.Repeat("9", 1<<20) + `%[1]s}}`},
	{"a long name", strings.Repeat("n", 1<<20), `{"inputs":[{"name":"%[1]s","y":%[2]d}]}`},
	{"not JSON", "[{", `{"inputs":[{"data":%[1]s`},
}

// Whatever a megabyte of JSON says, decoding it costs at most eight.
func TestMemoryIsBoundedByTheBody(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, name string, body []byte) {
		got := allocated(func() { codec.DecodeRequest(body, -1, nil) })
		if most := 8*uint64(len(body)) + fixed; got > most {
			t.Errorf("%s: %d bytes of JSON cost %d bytes, want at most %d", name, len(body), got, most)
		}
	}
	for _, g := range greedy {
		filling, n := fill(g.fragment, 1<<20)
		check(t, g.name, fmt.Appendf(nil, g.body, filling, n))
	}
	// As many of everything as one request may have.
	params := `{"a":"` + strings.Repeat("x", 200) + `"` + keys(4) + `}`
	check(t, "all limits", []byte(`{"inputs":[`+inputs(200, `,"parameters":`+params)+`],"outputs":[`+outputs(256)+`]}`))
	rapid.Check(t, func(t *rapid.T) {
		g := rapid.SampledFrom(greedy).Draw(t, "kind")
		size := rapid.SampledFrom([]int{1, 100, 4 << 10, 64 << 10, 1 << 20}).Draw(t, "size")
		filling, n := fill(g.fragment, size)
		body := fmt.Appendf(nil, g.body, filling, n+rapid.IntRange(-1, 1).Draw(t, "more"))
		cut := rapid.IntRange(0, len(body)).Draw(t, "cut")
		if rapid.Bool().Draw(t, "whole") {
			cut = len(body)
		}
		check(t, g.name, body[:cut])
	})
}

// What a shape asks for is refused before anything is allocated for it.
func TestRefusedShapesCostNothing(t *testing.T) {
	for _, tt := range []struct{ name, datatype, shape string }{
		{"overflow", "FP32", "[8589934592,2147483648]"},
		{"overflow behind a zero", "FP32", "[0,8589934592,2147483648]"},
		{"elements", "BYTES", "[67108865]"},
		{"bytes", "FP64", "[67108864]"},
		{"more than the body holds", "FP32", "[16777216]"},
		{"more strings than the body holds", "BYTES", "[16777216]"},
	} {
		body := []byte(data(tt.datatype, tt.shape, "[1]"))
		if got := allocated(func() { codec.DecodeRequest(body, -1, nil) }); got > 16<<10 {
			t.Errorf("JSON, %s: %d bytes allocated, want hardly any", tt.name, got)
		}
		head := one(`"datatype":"` + tt.datatype + `","shape":` + tt.shape + `,"parameters":{"binary_data_size":0}`)
		if got := allocated(func() { codec.DecodeRequest([]byte(head), len(head), nil) }); got > 16<<10 {
			t.Errorf("binary, %s: %d bytes allocated, want hardly any", tt.name, got)
		}
	}
	huge := []byte(f(5, in("x", "FP32", 1<<24), f(5, f(6, "1234"))) + f(5, in("y", "BYTES", 1<<24)))
	if got := allocated(func() { codec.DecodeInferGRPC(huge, nil) }); got > 16<<10 {
		t.Errorf("gRPC: %d bytes allocated, want hardly any", got)
	}
}

// A response that cannot fit is refused before it is written.
func TestRefusedResponsesCostNothing(t *testing.T) {
	text := repeat("a", 1<<20)
	for _, resp := range []*infer.Response{
		respond(tensor.OfStrings("s", []int64{2}, text, text)),
		respond(tensor.Of("f", []int64{1 << 20}, make([]float32, 1<<20))),
	} {
		for _, binary := range []bool{true, false} {
			var err error
			got := allocated(func() {
				_, _, err = codec.EncodeResponse(nil, nil, resp, &codec.EncodeOptions{Binary: binary, Limits: &codec.Limits{Response: 1 << 20}})
			})
			checkFault(t, err, fault.TooLarge, "want at most 1048576 bytes")
			if got > 16<<10 {
				t.Errorf("binary=%v: %d bytes allocated, want hardly any", binary, got)
			}
		}
	}
}

// Binary tensors cost at most 6 times the body, gRPC messages 12 times.
func TestMemoryOfBinaryTensors(t *testing.T) {
	const n = 1 << 18
	head := one(fmt.Sprintf(`"datatype":"BYTES","shape":[%d],"parameters":{"binary_data_size":%d}`, n, 4*n))
	body := append([]byte(head), make([]byte, 4*n)...)
	if got := allocated(func() {
		if _, err := codec.DecodeRequest(body, len(head), nil); err != nil {
			t.Error(err)
		}
	}); got > 6*uint64(len(body))+fixed {
		t.Errorf("%d bytes with empty strings cost %d", len(body), got)
	}
	var contents []byte
	for range n {
		contents = protowire.AppendBytes(protowire.AppendTag(contents, 8, protowire.BytesType), nil)
	}
	msg := []byte(f(5, in("x", "BYTES", n), f(5, string(contents))))
	if got := allocated(func() {
		if _, _, err := codec.DecodeInferGRPC(msg, nil); err != nil {
			t.Error(err)
		}
	}); got > 12*uint64(len(msg))+fixed {
		t.Errorf("a gRPC message of %d bytes with empty strings cost %d", len(msg), got)
	}
}

// A request of the usual size takes few allocations, however it is written.
func TestDecodingTakesFewAllocations(t *testing.T) {
	values, n := fill("0.5", 4*64)
	body := fmt.Appendf(nil, `{"id":"1","inputs":[{"name":"x","shape":[1,%d],"datatype":"FP32","data":[[%s]]}]}`, n, values)
	if got := testing.AllocsPerRun(100, func() { codec.DecodeRequest(body, -1, nil) }); got > 8 {
		t.Errorf("JSON: %v allocations, want at most 8", got)
	}
	msg := []byte(f(1, "m") + f(5, in("x", "FP32", 1, 64)) + f(7, string(make([]byte, 256))))
	if got := testing.AllocsPerRun(100, func() { codec.DecodeInferGRPC(msg, nil) }); got > 8 {
		t.Errorf("gRPC: %v allocations, want at most 8", got)
	}
}

func TestDefaultLimits(t *testing.T) {
	want := codec.Limits{Body: 16 << 20, Depth: 64, Rank: 16, Elements: 1 << 26, Tensors: 256, Params: 256, StringBytes: 1 << 20}
	if got := (*codec.Limits)(nil).WithDefaults(); got != want {
		t.Errorf("nil: %+v, want %+v", got, want)
	}
	some := codec.Limits{Body: math.MaxInt64, Depth: 1, Rank: 2, Elements: 3, Tensors: 4, Params: 5, StringBytes: 6, Response: 7}
	if got := some.WithDefaults(); got != some {
		t.Errorf("set ones: %+v, want %+v", got, some)
	}
}
