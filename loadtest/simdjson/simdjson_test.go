package simdjson_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/tensor"
)

// cases are what is decoded: many documents, so that no branch predictor
// learns one by heart. The two sides take turns after each batch of them.
var cases = []struct {
	name           string
	numbers, batch int
	value          func(*rand.Rand) string
}{
	{"image", 150528, 1, shortest},
	{"row", 64, 1024, shortest},
	{"features", 150528, 1, feature},
	{"doubles", 150528, 1, double},
}

const batches = 64

// shortest is a float32 in [-1, 1) as encoding/json and JavaScript's Math.fround print it.
func shortest(rng *rand.Rand) string {
	b, _ := json.Marshal(rng.Float32()*2 - 1)
	return string(b)
}

// double is a number in [-1, 1) as Python prints it, with some 17 digits.
func double(rng *rand.Rand) string {
	return strconv.FormatFloat(rng.Float64()*2-1, 'g', -1, 64)
}

// feature is what columns of a table hold: whole numbers, prices, small counts.
func feature(rng *rand.Rand) string {
	return strconv.FormatFloat(math.Round(rng.ExpFloat64()*5e4)/100, 'f', rng.IntN(3), 64)
}

func document(rng *rand.Rand, n int, value func(*rand.Rand) string) []byte {
	b := fmt.Appendf(nil, `{"inputs":[{"name":"x","shape":[1,%d],"datatype":"FP32","data":[`, n)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, value(rng)...)
	}
	return append(b, "]}]}"...)
}

// BenchmarkDecodeNumbers reports what one of many numbers takes, of each batch
// the least time, and the median of the ratios to simdjson's time for the same
// batch just after.
func BenchmarkDecodeNumbers(b *testing.B) {
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			dir := b.TempDir()
			var docs [][]byte
			args := []string{strconv.Itoa(c.numbers), strconv.Itoa(c.batch)}
			for i := range batches * c.batch {
				docs = append(docs, document(rng, c.numbers, c.value))
				path := filepath.Join(dir, strconv.Itoa(i))
				if err := os.WriteFile(path, docs[i], 0o600); err != nil {
					b.Fatal(err)
				}
			}
			each := float64(c.numbers * c.batch) // numbers of a batch
			p := startPeer(b, dir, args)
			var ours, theirs [batches]float64
			var ratios []float64
			for b.Loop() {
				for i := range batches {
					took, sum := pass(b, docs[i*c.batch:(i+1)*c.batch])
					ours[i] = least(ours[i], took/each)
					if p == nil {
						continue
					}
					other, want := p.pass(b, i)
					if math.Abs(sum-want) > 1e-6 {
						b.Fatalf("sum %v, simdjson's is %v", sum, want)
					}
					theirs[i] = least(theirs[i], other/each)
					ratios = append(ratios, took/other)
				}
			}
			var stdlib [4]float64
			for range min(b.N, 3) {
				for i := range stdlib {
					stdlib[i] = least(stdlib[i], general(b, docs[i*c.batch:(i+1)*c.batch])/each)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(mean(ours[:]), "ns/number")
			b.ReportMetric(mean(stdlib[:])/mean(ours[:len(stdlib)]), "times-encoding/json")
			if p != nil {
				slices.Sort(ratios)
				b.ReportMetric(mean(theirs[:]), "simdjson-ns/number")
				b.ReportMetric(mean(ours[:])/mean(theirs[:]), "ratio-of-least")
				b.ReportMetric(ratios[len(ratios)/2], "median-ratio")
			}
		})
	}
}

// least is the lower of two times, of which the first is 0 when there is none yet.
func least(a, b float64) float64 {
	if a == 0 {
		return b
	}
	return min(a, b)
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// pass decodes every document once.
func pass(b *testing.B, docs [][]byte) (ns, sum float64) {
	start := time.Now()
	for _, doc := range docs {
		req, err := codec.DecodeRequest(doc, -1, nil)
		if err != nil {
			b.Fatal(err)
		}
		v, ok := tensor.View[float32](&req.Inputs[0])
		if !ok {
			b.Fatalf("got %v", req.Inputs[0].Type)
		}
		sum += float64(v[len(v)/2])
	}
	return float64(time.Since(start).Nanoseconds()), sum
}

// general decodes every document with encoding/json.
func general(b *testing.B, docs [][]byte) (ns float64) {
	start := time.Now()
	for _, doc := range docs {
		var req struct {
			Inputs []struct {
				Name, Datatype string
				Shape          []int64
				Data           []float32
			}
		}
		if err := json.Unmarshal(doc, &req); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(start).Nanoseconds())
}

// peer is the running C++ program.
type peer struct {
	in  io.Writer
	out *bufio.Reader
}

// startPeer starts the program that SIMDJSON_DECODE names; nil without one.
func startPeer(b *testing.B, dir string, args []string) *peer {
	program := os.Getenv("SIMDJSON_DECODE")
	if program == "" {
		return nil
	}
	cmd := exec.CommandContext(b.Context(), program, args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil && b.Context().Err() == nil {
			b.Error(err)
		}
	})
	return &peer{in, bufio.NewReader(out)}
}

// pass has the peer decode one batch once.
func (p *peer) pass(b *testing.B, batch int) (ns, sum float64) {
	if _, err := fmt.Fprintln(p.in, batch); err != nil {
		b.Fatal(err)
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &ns, &sum); err != nil {
		b.Fatal(err)
	}
	return ns, sum
}
