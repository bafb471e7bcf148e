package rows_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// table is n rows of 32 floats of about seven digits.
func table(n int, format rows.Format) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	if format == rows.CSV {
		for i := range 32 {
			fmt.Fprintf(&b, "%sx_%d", strings.Repeat(",", min(i, 1)), i)
		}
		b.WriteByte('\n')
	}
	for range n {
		if format == rows.JSONL {
			b.WriteString(`{"x":[`)
		}
		for i := range 32 {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.FormatFloat(float64(float32(r.NormFloat64())), 'g', -1, 32))
		}
		if format == rows.JSONL {
			b.WriteString(`]}`)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

const benchRows = 20000

// perRow starts the processor's clock, which others on the machine do not
// change, and gives what stops it.
func perRow(b *testing.B) (stop func()) {
	begun := cpu(b)
	return func() {
		b.ReportMetric(float64((cpu(b)-begun).Nanoseconds())/float64(b.N)/benchRows, "cpu-ns/row")
		b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
	}
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchRead(b *testing.B, f *rows.File, inputs ...driver.TensorInfo) {
	p := plan(b, f, nil, inputs...)
	b.SetBytes(f.Source.Size())
	b.ReportAllocs()
	var block rows.Block
	defer perRow(b)()
	for b.Loop() {
		r, err := rows.Open(b.Context(), f, rows.Part{Line: 1, To: f.Source.Size()}, p, nil)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for err == nil {
			err = r.Next(b.Context(), &block, 1024)
			n += block.Rows
		}
		if err != io.EOF || n != benchRows {
			b.Fatalf("got %d rows and %v", n, err)
		}
		r.Close()
	}
}

func BenchmarkRead(b *testing.B) {
	x := in("x", tensor.FP32, -1, 32)
	var each []driver.TensorInfo
	for i := range 32 {
		each = append(each, in(fmt.Sprintf("x_%d", i), tensor.FP32, -1, 1))
	}
	data := table(benchRows, rows.CSV)
	lines := table(benchRows, rows.JSONL)
	quoted := bytes.ReplaceAll(bytes.ReplaceAll(data, []byte(","), []byte(`","`)), []byte("\n"), []byte("\"\n\""))
	quoted = append([]byte{'"'}, bytes.TrimSuffix(quoted, []byte{'"'})...)
	b.Run("csv", func(b *testing.B) { benchRead(b, csvOf(string(data)), x) })
	b.Run("csv/32inputs", func(b *testing.B) { benchRead(b, csvOf(string(data)), each...) })
	b.Run("csv/FP64", func(b *testing.B) { benchRead(b, csvOf(string(data)), in("x", tensor.FP64, -1, 32)) })
	b.Run("csv/quoted", func(b *testing.B) { benchRead(b, csvOf(string(quoted)), x) })
	b.Run("jsonl", func(b *testing.B) { benchRead(b, jsonlOf(string(lines)), x) })
	b.Run("encoding/csv", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		out := make([]float32, 32*1024)
		defer perRow(b)()
		for b.Loop() {
			r := csv.NewReader(bytes.NewReader(data))
			r.ReuseRecord = true
			r.Read()
			for n := 0; ; n++ {
				rec, err := r.Read()
				if err != nil {
					break
				}
				for i, s := range rec {
					v, err := strconv.ParseFloat(s, 32)
					if err != nil {
						b.Fatal(err)
					}
					out[n%1024*32+i] = float32(v)
				}
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.SetBytes(int64(len(lines)))
		b.ReportAllocs()
		var row struct {
			X []float32 `json:"x"`
		}
		defer perRow(b)()
		for b.Loop() {
			d := json.NewDecoder(bytes.NewReader(lines))
			for d.More() {
				row.X = row.X[:0]
				if err := d.Decode(&row); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	for _, format := range []rows.Format{rows.CSV, rows.JSONL} {
		data := table(benchRows, format)
		f := &rows.File{Source: memory(data), Format: format}
		b.Run(string(format), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := rows.Split(b.Context(), f, &rows.SplitOptions{PartBytes: 1 << 20}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	out := []rows.Output{{Name: "label", Type: tensor.Int64}, {Name: "p", Type: tensor.FP32, Shape: []int64{10}}}
	s := &rows.Schema{Columns: []rows.Column{{Name: "label", Kind: rows.Int}, {Name: "p", Kind: rows.Float, List: true, Length: 10}}}
	r := rand.New(rand.NewPCG(1, 2))
	label, p := make([]int64, 1024), make([]float32, 10240)
	for i := range label {
		label[i] = r.Int64N(10)
	}
	for i := range p {
		p[i] = r.Float32()
	}
	tensors := []tensor.Tensor{tensor.Of("label", []int64{1024}, label), tensor.Of("p", []int64{1024, 10}, p)}
	for _, format := range []rows.Format{rows.CSV, rows.JSONL} {
		b.Run(string(format), func(b *testing.B) {
			w, err := rows.NewWriter(io.Discard, format, s, out, nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := w.Write(&rows.Block{Rows: 1024}, tensors); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*1024/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
