package rows_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/compress/uncompressed"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"golang.org/x/sys/unix"

	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// benchFile has 32 columns of floats.
func benchFile(b *testing.B, n int, codec compress.Codec, dict bool) memory {
	b.Helper()
	group := parquet.Group{}
	for i := range 32 {
		node := parquet.Compressed(parquet.Leaf(parquet.FloatType), codec)
		if dict {
			node = parquet.Encoded(node, &parquet.RLEDictionary)
		}
		group[fmt.Sprintf("c%02d", i)] = node
	}
	var out bytes.Buffer
	w := parquet.NewWriter(&out, parquet.NewSchema("t", group), parquet.PageBufferSize(1<<20))
	rng := rand.New(rand.NewPCG(1, 2))
	row := make(parquet.Row, 32)
	for range n {
		for k := range row {
			v := rng.Float32()
			if dict {
				v = float32(rng.IntN(1000))
			}
			row[k] = parquet.FloatValue(v).Level(0, 0, k)
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// processor is the time that this process has used of processors.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchPlan() *rows.Plan {
	p := &rows.Plan{Inputs: []rows.Input{{Name: "x", Type: tensor.FP32, Shape: []int64{32}}}}
	for i := range 32 {
		p.Inputs[0].Columns = append(p.Inputs[0].Columns, fmt.Sprintf("c%02d", i))
	}
	return p
}

// BenchmarkParquet reads 32 columns of floats into a tensor; library reads the
// same pages with parquet-go, and only adds the values up.
func BenchmarkParquet(b *testing.B) {
	const n = 200_000
	for _, c := range []struct {
		name  string
		codec compress.Codec
		dict  bool
	}{
		{"plain", &uncompressed.Codec{}, false},
		{"snappy", &snappy.Codec{}, false},
		{"zstd", &zstd.Codec{}, false},
		{"dictionary", &snappy.Codec{}, true},
	} {
		src := benchFile(b, n, c.codec, c.dict)
		f := &rows.File{Source: src, Name: "bench.parquet", Format: rows.Parquet}
		b.Run(c.name+"/ours", func(b *testing.B) {
			ctx := context.Background()
			b.SetBytes(n * 32 * 4)
			b.ReportAllocs()
			before := processor(b)
			var block rows.Block
			for b.Loop() {
				parts, err := rows.Split(ctx, f, &rows.SplitOptions{PartBytes: 1 << 40})
				if err != nil {
					b.Fatal(err)
				}
				r, err := rows.Open(ctx, f, parts[0], benchPlan(), nil)
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					err = r.Next(ctx, &block, 4096)
				}
				if err != io.EOF || r.Lines() != n {
					b.Fatal(err, r.Lines())
				}
				r.Close()
			}
			b.ReportMetric(float64(processor(b)-before)/float64(b.N)/n, "cpu-ns/row")
		})
		b.Run(c.name+"/library", func(b *testing.B) {
			b.SetBytes(n * 32 * 4)
			b.ReportAllocs()
			before := processor(b)
			slab, floats := make([]float32, 4096*32), make([]float32, 4096)
			values := make([]parquet.Value, 4096)
			for b.Loop() {
				file, err := parquet.OpenFile(bytes.NewReader(src), int64(len(src)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
				if err != nil {
					b.Fatal(err)
				}
				for _, g := range file.RowGroups() {
					for k, chunk := range g.ColumnChunks() {
						pages := chunk.Pages()
						for {
							page, err := pages.ReadPage()
							if err != nil {
								break
							}
							switch r := page.Values().(type) {
							case parquet.FloatReader:
								for {
									n, err := r.ReadFloats(floats)
									for i, v := range floats[:n] {
										slab[i*32+k] = v
									}
									if err != nil {
										break
									}
								}
							default:
								for {
									n, err := r.ReadValues(values)
									for i := range values[:n] {
										slab[i*32+k] = values[i].Float()
									}
									if err != nil {
										break
									}
								}
							}
							parquet.Release(page)
						}
						pages.Close()
					}
				}
			}
			b.ReportMetric(float64(processor(b)-before)/float64(b.N)/n, "cpu-ns/row")
		})
	}
}
