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
// learns one by heart.
var cases = []struct {
	name               string
	numbers, documents int
	value              func(*rand.Rand) string
}{
	{"image", 150528, 64, shortest},
	{"row", 64, 4096, shortest},
	{"features", 150528, 16, feature},
	{"doubles", 150528, 16, double},
}

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

// BenchmarkDecodeNumbers reports, for one of many numbers, the least time of
// ours and of simdjson's, and the median of the ratios of the rounds, of which
// each is one pass over all documents by either.
func BenchmarkDecodeNumbers(b *testing.B) {
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			dir := b.TempDir()
			var docs [][]byte
			args := []string{strconv.Itoa(c.numbers)}
			for i := range c.documents {
				docs = append(docs, document(rng, c.numbers, c.value))
				path := filepath.Join(dir, strconv.Itoa(i)+".json")
				if err := os.WriteFile(path, docs[i], 0o600); err != nil {
					b.Fatal(err)
				}
				args = append(args, path)
			}
			total := float64(c.numbers * c.documents)
			p := startPeer(b, args)
			var ours, theirs, ratios, stdlib []float64
			for b.Loop() {
				took, sum := pass(b, docs)
				ours = append(ours, took/total)
				if p == nil {
					continue
				}
				other, want := p.pass(b)
				if math.Abs(sum-want) > 1e-6*math.Abs(want) {
					b.Fatalf("sum %v, simdjson's is %v", sum, want)
				}
				theirs = append(theirs, other/total)
				ratios = append(ratios, took/other)
			}
			for range min(b.N, 3) {
				stdlib = append(stdlib, general(b, docs[:1+len(docs)/64])/float64(c.numbers*(1+len(docs)/64)))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(slices.Min(ours), "ns/number")
			b.ReportMetric(slices.Min(stdlib)/slices.Min(ours), "times-encoding/json")
			if p != nil {
				slices.Sort(ratios)
				b.ReportMetric(slices.Min(theirs), "simdjson-ns/number")
				b.ReportMetric(ratios[len(ratios)/2], "ratio-to-simdjson")
				b.ReportMetric(ratios[0], "least-ratio")
				b.ReportMetric(ratios[len(ratios)-1], "largest-ratio")
			}
		})
	}
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
func startPeer(b *testing.B, args []string) *peer {
	program := os.Getenv("SIMDJSON_DECODE")
	if program == "" {
		return nil
	}
	cmd := exec.CommandContext(b.Context(), program, args...)
	cmd.Stderr = os.Stderr
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

func (p *peer) pass(b *testing.B) (ns, sum float64) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
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
