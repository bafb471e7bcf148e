package rows_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// pqBlocks writes n rows in blocks of size rows: every kind that passes, every
// type that a model gives.
func pqBlocks(t testing.TB, from, n, size int) []byte {
	t.Helper()
	return pqBlocksIn(t, nil, from, n, size)
}

// pqBlocksIn is pqBlocks by a writer with memory.
func pqBlocksIn(t testing.TB, memory *rows.Memory, from, n, size int) []byte {
	t.Helper()
	schema := &rows.Schema{Columns: []rows.Column{
		{Name: "id", Kind: rows.Int}, {Name: "name", Kind: rows.Text}, {Name: "raw", Kind: rows.JSON}, {Name: "flag", Kind: rows.Bool},
		{Name: "count", Kind: rows.Uint}, {Name: "f", Kind: rows.Float}, {Name: "d", Kind: rows.Double},
	}}
	types := []tensor.DType{tensor.FP32, tensor.FP64, tensor.FP16, tensor.BF16, tensor.Int8, tensor.Int64, tensor.Uint16, tensor.Uint64, tensor.Bool, tensor.Bytes}
	var outputs []rows.Output
	for _, dt := range types {
		outputs = append(outputs, rows.Output{Name: "out_" + dt.String(), Type: dt})
		schema.Columns = append(schema.Columns, rows.Column{Name: "out_" + dt.String(), Kind: rows.KindOf(dt)})
	}
	outputs = append(outputs, rows.Output{Name: "scores", Type: tensor.FP32, Shape: []int64{3}})
	schema.Columns = append(schema.Columns, rows.Column{Name: "scores", Kind: rows.Float, List: true, Length: 3})
	var out bytes.Buffer
	w, err := rows.NewWriter(&out, rows.Parquet, schema, outputs, &rows.WriteOptions{Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < from+n; i += size {
		m := min(size, from+n-i)
		b := rows.Block{Rows: m, Pass: make([]rows.Values, 7)}
		for k := range b.Pass {
			b.Pass[k] = rows.Values{Name: schema.Columns[k].Name, Kind: schema.Columns[k].Kind}
		}
		f32, f64, half := make([]float32, m), make([]float64, m), make([]uint16, m)
		i8, i64, u16, u64 := make([]int8, m), make([]int64, m), make([]uint16, m), make([]uint64, m)
		bools, words, scores := make([]bool, m), make([]string, m), make([]float32, 3*m)
		for r := range m {
			v := i + r
			b.Pass[0].Ints = append(b.Pass[0].Ints, int64(-v))
			b.Pass[1].Raw = append(b.Pass[1].Raw, fmt.Appendf(nil, "näme %d", v))
			b.Pass[1].Null = append(b.Pass[1].Null, v%4 == 0)
			b.Pass[2].Raw = append(b.Pass[2].Raw, fmt.Appendf(nil, `{"v": %d}`, v))
			b.Pass[3].Ints = append(b.Pass[3].Ints, int64(v%2))
			b.Pass[4].Uints = append(b.Pass[4].Uints, math.MaxUint64-uint64(v))
			b.Pass[5].Floats = append(b.Pass[5].Floats, float64(float32(v)/3))
			b.Pass[6].Floats = append(b.Pass[6].Floats, float64(v)/3)
			f32[r], f64[r], half[r] = float32(v)/7, float64(v)/7, tensor.ToFloat16(float64(v%100)/8)
			i8[r], i64[r], u16[r], u64[r] = int8(v), int64(-v), uint16(v), uint64(v)
			bools[r], words[r] = v%3 == 0, fmt.Sprint("label", v%5)
			scores[3*r], scores[3*r+1] = float32(v), 0.5
		}
		shape := []int64{int64(m)}
		bf := make([]uint16, m)
		for r := range bf {
			bf[r] = tensor.ToBFloat16(float64((i + r) % 100))
		}
		err := w.Write(&b, []tensor.Tensor{
			tensor.Of("out_FP32", shape, f32), tensor.Of("out_FP64", shape, f64), tensor.OfBits("out_FP16", tensor.FP16, shape, half),
			tensor.OfBits("out_BF16", tensor.BF16, shape, bf), tensor.Of("out_INT8", shape, i8), tensor.Of("out_INT64", shape, i64),
			tensor.Of("out_UINT16", shape, u16), tensor.Of("out_UINT64", shape, u64), tensor.Of("out_BOOL", shape, bools),
			tensor.OfStrings("out_BYTES", shape, words...), tensor.Of("scores", []int64{int64(m), 3}, scores),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// pqWritten is a row of pqBlocks as parquet-go reads it.
type pqWritten struct {
	ID     *int64    `parquet:"id,optional"`
	Name   *string   `parquet:"name,optional"`
	Raw    *string   `parquet:"raw,optional"`
	Flag   *bool     `parquet:"flag,optional"`
	Count  *uint64   `parquet:"count,optional"`
	F      *float32  `parquet:"f,optional"`
	D      *float64  `parquet:"d,optional"`
	FP32   float32   `parquet:"out_FP32"`
	FP64   float64   `parquet:"out_FP64"`
	FP16   float32   `parquet:"out_FP16"`
	BF16   float32   `parquet:"out_BF16"`
	Int8   int8      `parquet:"out_INT8"`
	Int64  int64     `parquet:"out_INT64"`
	Uint16 uint16    `parquet:"out_UINT16"`
	Uint64 uint64    `parquet:"out_UINT64"`
	Bool   bool      `parquet:"out_BOOL"`
	Bytes  string    `parquet:"out_BYTES"`
	Scores []float32 `parquet:"scores,list"`
}

func pqWant(from, n int) []pqWritten {
	var want []pqWritten
	for v := from; v < from+n; v++ {
		name := fmt.Sprintf("näme %d", v)
		w := pqWritten{
			ID: new(int64(-v)), Name: &name, Raw: new(fmt.Sprintf(`{"v": %d}`, v)), Flag: new(v%2 == 1), Count: new(math.MaxUint64 - uint64(v)),
			F: new(float32(v) / 3), D: new(float64(v) / 3), FP32: float32(v) / 7, FP64: float64(v) / 7,
			FP16: float32(v%100) / 8, BF16: float32(v % 100), Int8: int8(v), Int64: int64(-v), Uint16: uint16(v), Uint64: uint64(v),
			Bool: v%3 == 0, Bytes: fmt.Sprint("label", v%5), Scores: []float32{float32(v), 0.5, 0},
		}
		if v%4 == 0 {
			w.Name = nil
		}
		want = append(want, w)
	}
	return want
}

func pqLibrary(t testing.TB, file []byte) []pqWritten {
	t.Helper()
	got, err := parquet.Read[pqWritten](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Another library reads what we write, in types that say what they are, and the
// bytes do not tell which blocks the rows came in.
func TestParquetWrite(t *testing.T) {
	const n = 17_000
	file := pqBlocks(t, 0, n, 512)
	if d := cmp.Diff(pqWant(0, n), pqLibrary(t, file)); d != "" {
		t.Errorf("(-want +got)\n%.3000s", d)
	}
	for _, size := range []int{1, 97, n} {
		if other := pqBlocks(t, 0, n, size); !bytes.Equal(file, other) {
			t.Errorf("blocks of %d rows give %d other bytes than blocks of 512", size, len(other))
		}
	}
	p, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	want := `message schema {
	optional int64 id (INT(64,true));
	optional binary name (STRING);
	optional binary raw (JSON);
	optional boolean flag;
	optional int64 count (INT(64,false));
	optional float f;
	optional double d;
	required float out_FP32;
	required double out_FP64;
	required float out_FP16;
	required float out_BF16;
	required int32 out_INT8 (INT(8,true));
	required int64 out_INT64 (INT(64,true));
	required int32 out_UINT16 (INT(16,false));
	required int64 out_UINT64 (INT(64,false));
	required boolean out_BOOL;
	required binary out_BYTES (STRING);
	required group scores (LIST) {
		repeated group list {
			required float element;
		}
	}
}`
	if d := cmp.Diff(want, p.Schema().String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// What a writer leaves to the next one does not show in its bytes, whatever
// columns that one has, and whether it was closed.
func TestParquetMemoryIsUsedAgain(t *testing.T) {
	memory := &rows.Memory{}
	for i, c := range [][2]int{{0, 20_000}, {500, 300}, {7, 40_000}, {0, 1}} {
		if got, want := pqBlocksIn(t, memory, c[0], c[1], 1000), pqBlocks(t, c[0], c[1], 1000); !bytes.Equal(got, want) {
			t.Errorf("file %d: %d bytes differ from %d without memory", i, len(got), len(want))
		}
		var out bytes.Buffer
		few := []rows.Output{{Name: "y", Type: tensor.FP32, Shape: []int64{}}}
		w, err := rows.NewWriter(&out, rows.Parquet, &rows.Schema{Columns: []rows.Column{{Name: "y", Kind: rows.Float}}}, few, &rows.WriteOptions{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&rows.Block{Rows: 3}, []tensor.Tensor{tensor.Of("y", []int64{3}, []float32{1, 2, 3})}); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			continue // it is given up
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // what is left is enough
		pqBlocksIn(t, memory, 0, 20_000, 1000)
	}
	had, anew := allocated(func() { pqBlocksIn(t, memory, 0, 20_000, 1000) }), allocated(func() { pqBlocks(t, 0, 20_000, 1000) })
	if had > anew-1_500_000 { // what the file has in pages
		t.Errorf("with memory %d bytes are allocated, without %d", had, anew)
	}
}

func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// A row group ends where 8 MB are reached, whatever the blocks.
func TestParquetRowGroups(t *testing.T) {
	const n, wide = 3000, 1000
	write := func(size int) []byte {
		var out bytes.Buffer
		w, err := rows.NewWriter(&out, rows.Parquet, &rows.Schema{Columns: []rows.Column{{Name: "y", Kind: rows.Float, List: true, Length: wide}}},
			[]rows.Output{{Name: "y", Type: tensor.FP32, Shape: []int64{wide}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		y := make([]float32, size*wide)
		for i := 0; i < n; i += size {
			m := min(size, n-i)
			if err := w.Write(&rows.Block{Rows: m}, []tensor.Tensor{tensor.Of("y", []int64{int64(m), wide}, y[:m*wide])}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	file := write(700)
	if !bytes.Equal(file, write(1024)) {
		t.Error("other blocks give other bytes")
	}
	parts, err := rows.Split(t.Context(), parquetOf(file), &rows.SplitOptions{PartBytes: 1})
	if err != nil || len(parts) != 2 {
		t.Errorf("want two row groups, got %+v, %v", parts, err)
	}
}

// Rows that are read and written are the same rows, lists too.
func TestParquetWriteReads(t *testing.T) {
	f := parquetOf(pqBlocks(t, 0, 300, 100))
	p := plan(t, f, nil, in("scores", tensor.FP32, -1, 3), in("out_UINT16", tensor.Int64, -1))
	got, _ := readAll(t, f, p, 1, 64, nil)
	var want reading
	for i := range 300 {
		want.Rows = append(want.Rows, fmt.Sprint(i, " 0.5 0 ", i))
		want.At = append(want.At, int64(i)+1)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestParquetJoin(t *testing.T) {
	var parts []rows.Source
	var want []pqWritten
	for _, part := range [][2]int{{0, 2000}, {2000, 0}, {2000, 500}, {2500, 1}} {
		parts = append(parts, memory(pqBlocks(t, part[0], part[1], 1000)))
		want = append(want, pqWant(part[0], part[1])...)
	}
	var out bytes.Buffer
	if err := rows.Join(t.Context(), &out, rows.Parquet, parts, nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, pqLibrary(t, out.Bytes())); d != "" {
		t.Errorf("(-want +got)\n%.3000s", d)
	}
	all, err := rows.Split(t.Context(), parquetOf(out.Bytes()), &rows.SplitOptions{PartBytes: 1})
	if err != nil || len(all) != 3 || all[2].Line != 2501 {
		t.Errorf("want three row groups, the last with row 2501, got %+v, %v", all, err)
	}
	other := pqWrite(t, []pqColumn{{"x", parquet.Int(64), false, func(int) parquet.Value { return parquet.Int64Value(1) }}}, 3)
	if err := rows.Join(t.Context(), io.Discard, rows.Parquet, []rows.Source{parts[0], memory(other)}, nil); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("other columns: want %v, got %v", fault.Invalid, err)
	}
}

// Files of others are joined too, with their dictionaries.
func TestParquetJoinDictionaries(t *testing.T) {
	columns := pqColumns()
	p := &rows.Plan{}
	for _, c := range columns {
		p.Pass = append(p.Pass, c.name)
	}
	var parts []rows.Source
	var want []string
	for _, n := range []int{90, 40} {
		file := pqWrite(t, columns, n, parquet.MaxRowsPerRowGroup(50))
		got, _ := pqRead(t, parquetOf(file), p, 1, 64)
		want = append(want, got...)
		parts = append(parts, memory(file))
	}
	var out bytes.Buffer
	if err := rows.Join(t.Context(), &out, rows.Parquet, parts, nil); err != nil {
		t.Fatal(err)
	}
	got, at := pqRead(t, parquetOf(out.Bytes()), p, 1, 64)
	if d := cmp.Diff(want, got); d != "" || at[len(at)-1] != 130 {
		t.Errorf("the last row is %d; (-want +got)\n%.2000s", at[len(at)-1], d)
	}
}

func TestParquetWriteRefuses(t *testing.T) {
	out := []rows.Output{{Name: "y", Type: tensor.FP32}}
	columns := func(c ...rows.Column) *rows.Schema {
		return &rows.Schema{Columns: append(c, rows.Column{Name: "y", Kind: rows.Float})}
	}
	if _, err := rows.NewWriter(io.Discard, rows.Parquet, columns(rows.Column{Name: "l", List: true}), out, nil); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("a list that passes through: want %v, got %v", fault.Unsupported, err)
	}
	for name, y := range map[string]tensor.Tensor{
		"another type": tensor.Of("y", []int64{2}, []float64{1, 2}),
		"two elements": tensor.Of("y", []int64{2, 2}, []float32{1, 2, 3, 4}),
		"other rows":   tensor.Of("y", []int64{3}, []float32{1, 2, 3}),
	} {
		w, err := rows.NewWriter(io.Discard, rows.Parquet, columns(), out, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&rows.Block{Rows: 2}, []tensor.Tensor{y}); fault.CodeOf(err) != fault.Unsupported {
			t.Errorf("%s: want %v, got %v", name, fault.Unsupported, err)
		}
		if err := w.Close(); err == nil {
			t.Errorf("%s: a file that lacks rows was ended as if it were whole", name)
		}
	}
	full := errors.New("no space")
	if _, err := rows.NewWriter(refuser{full}, rows.Parquet, columns(), out, nil); !errors.Is(err, full) {
		t.Errorf("want %v, got %v", full, err)
	}
}

type refuser struct{ err error }

func (r refuser) Write([]byte) (int, error) { return 0, r.err }
