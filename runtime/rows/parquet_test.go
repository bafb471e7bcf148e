package rows_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

func parquetOf(b []byte) *rows.File {
	return &rows.File{Source: memory(b), Name: "test.parquet", Format: rows.Parquet}
}

// pqColumn is a column that parquet-go writes.
type pqColumn struct {
	name  string
	node  parquet.Node
	null  bool // every third value, and a long run of them
	value func(i int) parquet.Value
}

func (c *pqColumn) missing(i int) bool { return c.null && (i%3 == 1 || i > 400 && i < 900) }

// pqWrite writes n rows of columns, whose names are in order.
func pqWrite(t testing.TB, columns []pqColumn, n int, opts ...parquet.WriterOption) []byte {
	t.Helper()
	group := parquet.Group{}
	for _, c := range columns {
		node := c.node
		if c.null {
			node = parquet.Optional(node)
		}
		group[c.name] = node
	}
	var out bytes.Buffer
	w := parquet.NewWriter(&out, append([]parquet.WriterOption{parquet.NewSchema("test", group)}, opts...)...)
	row := make(parquet.Row, len(columns))
	for i := range n {
		for k := range columns {
			c := &columns[k]
			switch {
			case c.missing(i):
				row[k] = parquet.NullValue().Level(0, 0, k)
			case c.null:
				row[k] = c.value(i).Level(0, 1, k)
			default:
				row[k] = c.value(i).Level(0, 0, k)
			}
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// shown is how pqShow has a value.
func shown(v parquet.Value) string {
	switch v.Kind() {
	case parquet.Boolean:
		return fmt.Sprint(v.Boolean())
	case parquet.Int32:
		return fmt.Sprint(v.Int32())
	case parquet.Int64:
		return fmt.Sprint(v.Int64())
	case parquet.Float:
		return fmt.Sprint(float64(v.Float()))
	case parquet.Double:
		return fmt.Sprint(v.Double())
	}
	return string(v.ByteArray())
}

func pqShow(v *rows.Values, i int) string {
	switch {
	case v.Null != nil && v.Null[i]:
		return "null"
	case v.Kind == rows.Bool:
		return fmt.Sprint(v.Ints[i] != 0)
	case v.Kind == rows.Int:
		return fmt.Sprint(v.Ints[i])
	case v.Kind == rows.Uint:
		return fmt.Sprint(v.Uints[i])
	case v.Kind == rows.Float || v.Kind == rows.Double:
		return fmt.Sprint(v.Floats[i])
	}
	return string(v.Raw[i])
}

// pqRead reads what passes through, a string for each row. Every block is kept
// until all are read: what comes later must not change it.
func pqRead(t testing.TB, f *rows.File, p *rows.Plan, partBytes int64, block int) (got []string, at []int64) {
	t.Helper()
	parts, err := rows.Split(t.Context(), f, &rows.SplitOptions{PartBytes: partBytes})
	if err != nil {
		t.Fatal(err)
	}
	var blocks []*rows.Block
	for _, part := range parts {
		r, err := rows.Open(t.Context(), f, part, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := &rows.Block{}
		for err = r.Next(t.Context(), b, block); err == nil; err = r.Next(t.Context(), b, block) {
			blocks = append(blocks, b)
			b = &rows.Block{}
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range blocks {
		for i := range b.Rows {
			var s []string
			for k := range b.Pass {
				s = append(s, pqShow(&b.Pass[k], i))
			}
			got = append(got, strings.Join(s, " "))
		}
		at = append(at, b.At...)
		if len(b.Bad) > 0 {
			t.Fatalf("bad rows: %+v", b.Bad)
		}
	}
	return got, at
}

func pqColumns() []pqColumn {
	word := func(i int) parquet.Value {
		return parquet.ByteArrayValue([]byte(strings.Repeat("ab", i%7) + fmt.Sprint(i%50)))
	}
	types := []struct {
		name      string
		typ       parquet.Node
		encodings string
		value     func(i int) parquet.Value
	}{
		{"bool", parquet.Leaf(parquet.BooleanType), "plain rle", func(i int) parquet.Value { return parquet.BooleanValue(i%5 < 2 || i > 1200) }},
		{"i32", parquet.Int(32), "plain dict delta split", func(i int) parquet.Value { return parquet.Int32Value(int32((i * i * 7919) % 100003 * (1 - i%2*2))) }},
		{"i64", parquet.Int(64), "plain dict delta split", func(i int) parquet.Value { return parquet.Int64Value(int64(i%90) << (i % 55) * int64(1-i%2*2)) }},
		{"u8", parquet.Uint(8), "plain dict delta", func(i int) parquet.Value { return parquet.Int32Value(int32(i % 256)) }},
		{"f32", parquet.Leaf(parquet.FloatType), "plain dict split", func(i int) parquet.Value { return parquet.FloatValue(float32(i%300) / 7) }},
		{"f64", parquet.Leaf(parquet.DoubleType), "plain dict split", func(i int) parquet.Value { return parquet.DoubleValue(float64(i%300) / 7) }},
		{"text", parquet.String(), "plain dict deltalength deltabytes", word},
		{"blob", parquet.Leaf(parquet.ByteArrayType), "plain deltabytes", word},
		{"fixed", parquet.Leaf(parquet.FixedLenByteArrayType(5)), "plain dict deltabytes", func(i int) parquet.Value {
			return parquet.FixedLenByteArrayValue(fmt.Appendf(nil, "%05d", i*i%1000))
		}},
	}
	var all []pqColumn
	for _, typ := range types {
		for _, e := range strings.Fields(typ.encodings) {
			node := typ.typ
			switch e {
			case "rle":
				node = parquet.Encoded(node, &parquet.RLE)
			case "dict":
				node = parquet.Encoded(node, &parquet.RLEDictionary)
			case "delta":
				node = parquet.Encoded(node, &parquet.DeltaBinaryPacked)
			case "deltalength":
				node = parquet.Encoded(node, &parquet.DeltaLengthByteArray)
			case "deltabytes":
				node = parquet.Encoded(node, &parquet.DeltaByteArray)
			case "split":
				node = parquet.Encoded(node, &parquet.ByteStreamSplit)
			}
			all = append(all, pqColumn{typ.name + "_" + e, node, false, typ.value}, pqColumn{typ.name + "_" + e + "_null", node, true, typ.value})
		}
	}
	// parquet.Group sorts its columns.
	for i := range all {
		for k := i; k > 0 && all[k].name < all[k-1].name; k-- {
			all[k], all[k-1] = all[k-1], all[k]
		}
	}
	return all
}

// What parquet-go writes in every type, encoding, compression and version of
// pages is read as it was.
func TestParquetRead(t *testing.T) {
	const n = 1500
	columns := pqColumns()
	p := &rows.Plan{}
	for _, c := range columns {
		p.Pass = append(p.Pass, c.name)
	}
	var want []string
	var wantAt []int64
	for i := range n {
		var s []string
		for k := range columns {
			if columns[k].missing(i) {
				s = append(s, "null")
			} else {
				s = append(s, shown(columns[k].value(i)))
			}
		}
		want = append(want, strings.Join(s, " "))
		wantAt = append(wantAt, int64(i)+1)
	}
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Zstd, &parquet.Lz4Raw} {
		for version := 1; version <= 2; version++ {
			t.Run(fmt.Sprintf("%v v%d", codec, version), func(t *testing.T) {
				f := parquetOf(pqWrite(t, columns, n, parquet.Compression(codec), parquet.DataPageVersion(version),
					parquet.PageBufferSize(2000), parquet.MaxRowsPerRowGroup(650)))
				for _, block := range []int{1 << 20, 333} {
					got, at := pqRead(t, f, p, 1, block)
					if !slices.Equal(want, got) {
						d := cmp.Diff(want, got)
						t.Fatalf("blocks of %d: (-want +got)\n%.3000s", block, d)
					}
					if d := cmp.Diff(wantAt, at); d != "" {
						t.Fatalf("blocks of %d: (-want +got)\n%.1000s", block, d)
					}
				}
			})
		}
	}
}

func TestParquetSchema(t *testing.T) {
	type inner struct {
		Low  float32 `parquet:"low"`
		High float64 `parquet:"high,optional"`
	}
	type row struct {
		Pixels []float32 `parquet:"pixels,list"`
		Old    []int32   `parquet:"old"`
		Range  inner     `parquet:"range"`
		Price  int64     `parquet:"price,decimal(2:18)"`
		Name   string    `parquet:"name"`
		Raw    []byte    `parquet:"raw"`
		Count  uint16    `parquet:"count"`
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	if _, err := w.Write([]row{{Pixels: make([]float32, 3), Old: []int32{1, 2}}, {Pixels: make([]float32, 3), Old: []int32{3, 4}}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := rows.ReadSchema(t.Context(), parquetOf(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	want := &rows.Schema{Columns: []rows.Column{
		{Name: "pixels", Kind: rows.Float, List: true, Length: 3},
		{Name: "old", Kind: rows.Int, List: true, Length: 2},
		{Name: "range.low", Kind: rows.Float},
		{Name: "range.high", Kind: rows.Double},
		{Name: "price", Kind: rows.Bytes},
		{Name: "name", Kind: rows.Text},
		{Name: "raw", Kind: rows.Bytes},
		{Name: "count", Kind: rows.Uint},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Numbers go into tensors of other types where these hold them, and else the row
// is bad; what is missing is NaN where that can be told.
func TestParquetTensors(t *testing.T) {
	type row struct {
		D *float64 `parquet:"d"`
		I *int64   `parquet:"i"`
		S *string  `parquet:"s"`
	}
	d := func(v float64) *float64 { return &v }
	i := func(v int64) *int64 { return &v }
	s := func(v string) *string { return &v }
	data := []row{
		{d(1.5), i(1), s("a")},
		{d(3), i(300), s("b")},
		{nil, i(2), s("c")},
		{d(1e300), i(3), nil},
		{d(0.1), nil, s("e")},
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := parquetOf(b.Bytes())
	bad := func(row int64, column, reason string) rows.Bad {
		return rows.Bad{Row: row, Offset: -1, Column: column, Code: "invalid", Reason: reason}
	}
	for _, c := range []struct {
		name      string
		in        []driver.TensorInfo
		noMissing bool
		want      reading
	}{
		{"as they are", []driver.TensorInfo{in("d", tensor.FP64, -1), in("s", tensor.Bytes, -1)}, false, reading{
			Rows: []string{"1.5 a", "3 b", "NaN c", "1e+300 ", "0.1 e"}, At: []int64{1, 2, 3, 4, 5}}},
		{"nothing may be missing", []driver.TensorInfo{in("d", tensor.FP64, -1), in("s", tensor.Bytes, -1, 1)}, true, reading{
			Rows: []string{"1.5 a", "3 b", "0.1 e"}, At: []int64{1, 2, 5},
			Bad: []rows.Bad{bad(3, "d", "want a number within the range of FP64, got null"), bad(4, "s", "want a string, got null")}}},
		{"too large for single", []driver.TensorInfo{in("d", tensor.FP32, -1)}, false, reading{
			Rows: []string{"1.5", "3", "NaN", "0.1"}, At: []int64{1, 2, 3, 5},
			Bad: []rows.Bad{bad(4, "d", "want a number within the range of FP32, got 1e+300")}}},
		{"half", []driver.TensorInfo{in("i", tensor.FP16, -1)}, false, reading{
			Rows: []string{"1", "300", "2", "3", "NaN"}, At: []int64{1, 2, 3, 4, 5}}},
		{"to bytes", []driver.TensorInfo{in("i", tensor.Uint8, -1)}, false, reading{
			Rows: []string{"1", "2", "3"}, At: []int64{1, 3, 4},
			Bad: []rows.Bad{bad(2, "i", "want a whole number for UINT8 (0 to 255), got 300"), bad(5, "i", "want a whole number for UINT8 (0 to 255), got null")}}},
		{"whole doubles", []driver.TensorInfo{in("d", tensor.Int64, -1)}, false, reading{
			Rows: []string{"3"}, At: []int64{2},
			Bad: []rows.Bad{bad(1, "d", whatInt64+"1.5"), bad(3, "d", whatInt64+"null"), bad(4, "d", whatInt64+"1e+300"), bad(5, "d", whatInt64+"0.1")}}},
		{"both", []driver.TensorInfo{in("i", tensor.FP32, -1), in("d", tensor.Bool, -1)}, false, reading{
			Bad: []rows.Bad{bad(1, "d", "want true or false, got 1.5"), bad(2, "d", "want true or false, got 3"), bad(3, "d", "want true or false, got null"),
				bad(4, "d", "want true or false, got 1e+300"), bad(5, "d", "want true or false, got 0.1")}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := readAll(t, f, plan(t, f, nil, c.in...), 1<<20, 10, &rows.ReadOptions{NoMissing: c.noMissing})
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// One tensor of several columns, among them nulls in pages that end elsewhere
// than others' do.
func TestParquetInterleaves(t *testing.T) {
	const n = 5000
	columns := []pqColumn{
		{"a", parquet.Leaf(parquet.FloatType), false, func(i int) parquet.Value { return parquet.FloatValue(float32(i)) }},
		{"b", parquet.Encoded(parquet.Leaf(parquet.DoubleType), &parquet.RLEDictionary), true, func(i int) parquet.Value { return parquet.DoubleValue(float64(i % 9)) }},
		{"c", parquet.Encoded(parquet.Int(64), &parquet.DeltaBinaryPacked), false, func(i int) parquet.Value { return parquet.Int64Value(int64(-i)) }},
	}
	f := parquetOf(pqWrite(t, columns, n, parquet.PageBufferSize(1000), parquet.MaxRowsPerRowGroup(2048)))
	p := plan(t, f, &rows.PlanOptions{Columns: map[string]string{"a": "x", "b": "x", "c": "x"}}, in("x", tensor.FP32, -1, 3))
	var want []string
	for i := range n {
		b := fmt.Sprint(i % 9)
		if columns[1].missing(i) {
			b = "NaN"
		}
		want = append(want, fmt.Sprint(float32(i), " ", b, " ", float32(-i)))
	}
	got, parts := readAll(t, f, p, 1, 1000, nil)
	if len(parts) != 3 {
		t.Errorf("want 3 parts, got %+v", parts)
	}
	if d := cmp.Diff(want, got.Rows); d != "" {
		t.Errorf("(-want +got)\n%.2000s", d)
	}
}

func TestParquetLists(t *testing.T) {
	type row struct {
		ID     int64      `parquet:"id"`
		Pixels []*float32 `parquet:"pixels,list"`
		Old    []int32    `parquet:"old"`
	}
	v := func(all ...float32) []*float32 {
		var p []*float32
		for i := range all {
			p = append(p, &all[i])
		}
		return p
	}
	var data []row
	want := reading{}
	for i := range 3000 {
		r := row{ID: int64(i), Pixels: v(float32(i), float32(i)+0.5, -1), Old: []int32{int32(i), int32(-i)}}
		switch bad := (rows.Bad{Row: int64(i) + 1, Offset: -1, Code: "invalid"}); i {
		case 100:
			r.Pixels = nil
			bad.Column, bad.Reason = "pixels", "want a list of 3, got 0 elements"
			want.Bad = append(want.Bad, bad)
		case 200:
			r.Pixels = v(1, 2)
			bad.Column, bad.Reason = "pixels", "want a list of 3, got 2 elements"
			want.Bad = append(want.Bad, bad)
		case 1000:
			r.Pixels = v(make([]float32, 4000)...)
			bad.Column, bad.Reason = "pixels", "want a list of 3, got 4000 elements"
			want.Bad = append(want.Bad, bad)
		case 2000:
			r.Old = []int32{1, 2, 3}
			bad.Column, bad.Reason = "old", "want a list of 2, got 3 elements"
			want.Bad = append(want.Bad, bad)
		case 2500:
			r.Pixels[1] = nil
			want.Rows = append(want.Rows, "2500 NaN -1 2500 -2500")
			want.At = append(want.At, 2501)
		default:
			want.Rows = append(want.Rows, fmt.Sprint(float32(i), " ", float32(i)+0.5, " -1 ", i, " ", -i))
			want.At = append(want.At, int64(i)+1)
		}
		data = append(data, r)
	}
	for version := 1; version <= 2; version++ {
		var b bytes.Buffer
		w := parquet.NewGenericWriter[row](&b, parquet.PageBufferSize(500), parquet.DataPageVersion(version), parquet.MaxRowsPerRowGroup(1100))
		for i := range data { // alone, so that pages end within
			if _, err := w.Write(data[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f := parquetOf(b.Bytes())
		p := plan(t, f, nil, in("pixels", tensor.FP32, -1, 3), in("old", tensor.Int64, -1, 2))
		got, _ := readAll(t, f, p, 1<<20, 170, nil)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("version %d: (-want +got)\n%.3000s", version, d)
		}
	}
}
