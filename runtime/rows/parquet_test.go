package rows

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/tensor"
)

// memory is a Source in memory.
type pqMemory []byte

func (m pqMemory) Size() int64 { return int64(len(m)) }

func (m pqMemory) Range(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length < 0 || offset > int64(len(m)) {
		return nil, errors.New("no such range")
	}
	return io.NopCloser(bytes.NewReader(m[offset:min(offset+length, int64(len(m)))])), nil
}

type penguin struct {
	Bill   float32 `parquet:"bill"`
	Mass   float64 `parquet:"mass,dict,snappy"`
	Year   int32   `parquet:"year,delta"`
	Island string  `parquet:"island,dict"`
	ID     int64   `parquet:"id,zstd"`
	Ok     bool    `parquet:"ok"`
}

func writeParquet[T any](t testing.TB, rows []T, opts ...parquet.WriterOption) pqMemory {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, opts...)
	for len(rows) > 0 {
		n := min(len(rows), 1000)
		if _, err := w.Write(rows[:n]); err != nil {
			t.Fatal(err)
		}
		rows = rows[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSmoke(t *testing.T) {
	var in []penguin
	for i := range 5000 {
		in = append(in, penguin{Bill: float32(i) / 3, Mass: float64(i % 7), Year: int32(2000 + i%9), Island: strings.Repeat("x", i%5), ID: int64(i) * 3, Ok: i%3 == 0})
	}
	src := writeParquet(t, in, parquet.PageBufferSize(4000), parquet.MaxRowsPerRowGroup(1500))
	f := &File{Source: src, Name: "p.parquet", Format: Parquet}
	ctx := context.Background()
	s, err := ReadSchema(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := NewPlan(&driver.Signature{Inputs: []driver.TensorInfo{
		{Name: "x", Type: tensor.FP32, Shape: []int64{-1, 3}},
		{Name: "island", Type: tensor.Bytes, Shape: []int64{-1, 1}},
	}, Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.FP32, Shape: []int64{-1}}}}, s, &PlanOptions{Columns: map[string]string{"bill": "x", "mass": "x", "year": "x"}, Pass: []string{"id", "ok", "island"}})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := Split(ctx, f, &SplitOptions{PartBytes: 60000})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v %+v", parts, s)
	var got []penguin
	for _, part := range parts {
		r, err := Open(ctx, f, part, plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		var b Block
		for {
			err := r.Next(ctx, &b, 777)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			x, _ := tensor.View[float32](&b.Inputs[0])
			for i := range b.Rows {
				got = append(got, penguin{Bill: x[3*i], Mass: float64(x[3*i+1]), Year: int32(x[3*i+2]), Island: string(b.Inputs[1].Strings[i]), ID: b.Pass[0].Ints[i], Ok: b.Pass[1].Ints[i] != 0})
			}
		}
		r.Close()
	}
	if d := cmp.Diff(in, got); d != "" {
		t.Error(d[:2000])
	}
}
