package codec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// The two sizes: a row of features and an image of 3 × 224 × 224.
var sizes = []int{64, 150528}

func floats(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	v := make([]float32, n)
	for i := range v {
		v[i] = rng.Float32()*2 - 1
	}
	return v
}

// perNumber reports the time of one of n numbers.
func perNumber(b *testing.B, n int, work func()) {
	b.ReportAllocs()
	for b.Loop() {
		work()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/number")
}

func BenchmarkDecodeJSON(b *testing.B) {
	for _, n := range sizes {
		v := floats(n)
		short := bigJSON("FP32", n, func(w *bytes.Buffer, i int) { fmt.Fprint(w, v[i]) })
		long := bigJSON("FP32", n, func(w *bytes.Buffer, i int) { fmt.Fprint(w, float64(v[i])) })
		double := bigJSON("FP64", n, func(w *bytes.Buffer, i int) { fmt.Fprint(w, float64(v[i])) })
		whole := bigJSON("INT64", n, func(w *bytes.Buffer, i int) { fmt.Fprint(w, int64(v[i]*1e9)) })
		for _, bb := range []struct {
			name string
			body []byte
		}{{"FP32", short}, {"FP32-17-digits", long}, {"FP64-17-digits", double}, {"INT64", whole}} {
			b.Run(fmt.Sprintf("%s/%d", bb.name, n), func(b *testing.B) {
				b.SetBytes(int64(len(bb.body)))
				perNumber(b, n, func() {
					if _, err := codec.DecodeRequest(bb.body, -1, nil); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
		b.Run(fmt.Sprintf("encoding-json/FP32/%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(short)))
			perNumber(b, n, func() {
				var req struct {
					Inputs []struct {
						Name, Datatype string
						Shape          []int64
						Data           []float32
					}
				}
				if err := json.Unmarshal(short, &req); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// What takes the longest for each byte: it bounds the time of any body.
func BenchmarkDecodeHostile(b *testing.B) {
	numbers := func(datatype, number string) []byte {
		all, n := fill(number, 1<<20)
		return []byte(data(datatype, fmt.Sprintf("[%d]", n), "["+all+"]"))
	}
	objects, _ := fill("{"+keys(255)[1:]+"}", 1<<20)
	long, _ := fill(`{"`+repeat("\u017f", 10000)+`":0}`, 1<<20)
	for _, bb := range []struct {
		name string
		body []byte
	}{
		{"many keys", []byte(`{"inputs":[],"x":[` + objects + `]}`)},
		{"keys to fold", []byte(`{"inputs":[],"x":[` + long + `]}`)},
		{"subnormals", numbers("FP64", "1e-320")},
		{"midpoints", numbers("FP64", "2.47032822920623272088e-324")},
		{"midpoints of many digits", numbers("FP64", "9007199254740993."+repeat("0", 900)+"1")},
		{"midpoints of halves", numbers("FP16", "2049.0")},
		{"midpoints of FP32", numbers("FP32", "16777217")},
		{"strings", numbers("BYTES", `"\n"`)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.DecodeRequest(bb.body, -1, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeBinary(b *testing.B) {
	for _, n := range sizes {
		body, header, err := codec.EncodeRequest(nil, &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, int64(n)}, floats(n))}}, true)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			perNumber(b, n, func() {
				if _, err := codec.DecodeRequest(body, header, nil); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func BenchmarkDecodeInferGRPC(b *testing.B) {
	for _, n := range sizes {
		for _, raw := range []bool{true, false} {
			msg, err := codec.AppendInferRequestGRPC(nil, &infer.Request{Model: "m", Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, int64(n)}, floats(n))}}, raw)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("raw=%v/%d", raw, n), func(b *testing.B) {
				b.SetBytes(int64(len(msg)))
				perNumber(b, n, func() {
					if _, _, err := codec.DecodeInferGRPC(msg, nil); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{10, 150528} {
		resp := &infer.Response{Model: "m", Version: "1", Outputs: []tensor.Tensor{tensor.Of("y", []int64{1, int64(n)}, floats(n))}}
		var dst []byte
		b.Run(fmt.Sprintf("json/%d", n), func(b *testing.B) {
			perNumber(b, n, func() {
				var err error
				if dst, _, err = codec.EncodeResponse(dst[:0], nil, resp, nil); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(fmt.Sprintf("encoding-json/%d", n), func(b *testing.B) {
			v, _ := tensor.View[float32](&resp.Outputs[0])
			perNumber(b, n, func() {
				if _, err := json.Marshal(map[string]any{"model_name": "m", "outputs": []any{map[string]any{"name": "y", "shape": resp.Outputs[0].Shape, "datatype": "FP32", "data": v}}}); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(fmt.Sprintf("binary/%d", n), func(b *testing.B) {
			perNumber(b, n, func() {
				var err error
				if dst, _, err = codec.EncodeResponse(dst[:0], nil, resp, &codec.EncodeOptions{Binary: true}); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(fmt.Sprintf("grpc/%d", n), func(b *testing.B) {
			perNumber(b, n, func() {
				var err error
				if dst, err = codec.AppendInferGRPC(dst[:0], nil, resp, true); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}
