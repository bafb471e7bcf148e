package rows

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

type bytesSource []byte

func (s bytesSource) Size() int64 { return int64(len(s)) }

func (s bytesSource) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s[off : off+n])), nil
}

// forged is a file of one column "x", as nobody would write it.
type forged struct {
	kind         int32 // pqInt32 unless set
	list         bool
	optional     bool
	rows, values int64
	codec        int32
	pages        [][]byte // with headers
}

func (f *forged) file() []byte {
	var schema thriftWriter
	schema.listHead(thriftStruct, 2)
	schema.begin()
	schema.string(4, "schema")
	schema.i32(5, 1)
	schema.end()
	schema.begin()
	schema.i32(1, f.kind)
	rep := int32(pqRequired)
	if f.list {
		rep = pqRepeated
	} else if f.optional {
		rep = pqOptional
	}
	schema.i32(3, rep)
	schema.string(4, "x")
	schema.end()
	file := []byte(pqMagic)
	for _, p := range f.pages {
		file = append(file, p...)
	}
	g := pqGroup{rows: f.rows, chunks: []pqChunk{{kind: f.kind, codec: f.codec, values: f.values, size: int64(len(file) - 4), uncompressed: int64(len(file) - 4), data: 4, encodings: []int32{pqPlain}}}}
	return append(file, pqFooter(schema.b, [][]string{{"x"}}, []pqGroup{g})...)
}

// page1 is a data page of version 1, dictionary one of a dictionary.
func page1(values, encoding, size int32, body ...byte) []byte {
	return forgedPage(pqDataPage, 5, values, encoding, size, body)
}

func dictionary(values int32, body ...byte) []byte {
	return forgedPage(pqDictionaryPage, 7, values, pqPlain, int32(len(body)), body)
}

func forgedPage(kind int32, field int16, values, encoding, size int32, body []byte) []byte {
	var w thriftWriter
	w.begin()
	w.i32(1, kind)
	w.i32(2, size)
	w.i32(3, int32(len(body)))
	w.field(field, thriftStruct)
	w.begin()
	w.i32(1, values)
	w.i32(2, encoding)
	if kind == pqDataPage {
		w.i32(3, pqRLE)
		w.i32(4, pqRLE)
	}
	w.end()
	w.end()
	return append(w.b, body...)
}

func page2(values, encoding, defBytes, repBytes int32, body ...byte) []byte {
	var w thriftWriter
	w.begin()
	w.i32(1, pqDataPageV2)
	w.i32(2, int32(len(body)))
	w.i32(3, int32(len(body)))
	w.field(8, thriftStruct)
	w.begin()
	w.i32(1, values)
	w.i32(2, 0)
	w.i32(3, values)
	w.i32(4, encoding)
	w.i32(5, defBytes)
	w.i32(6, repBytes)
	w.end()
	w.end()
	return append(w.b, body...)
}

func ints(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestParquetForged(t *testing.T) {
	run := func(count uint64, value byte) []byte { // of one bit, with its length in front
		r := append(binary.AppendUvarint(nil, count<<1), value)
		return append(ints(uint32(len(r))), r...)
	}
	deltas := func(head ...uint64) []byte {
		var b []byte
		for _, v := range head {
			b = binary.AppendUvarint(b, v)
		}
		return b
	}
	for _, c := range []struct {
		name string
		file forged
		code fault.Code
		want string // in the error; "" is none
	}{
		{"fine", forged{kind: pqInt32, rows: 2, values: 2, pages: [][]byte{page1(2, pqPlain, 8, ints(1, 2)...)}}, fault.OK, ""},
		{"fine dictionary", forged{kind: pqInt32, rows: 3, values: 3, pages: [][]byte{dictionary(2, ints(7, 8)...), page1(3, pqRLEDictionary, 3, 1, 6, 1)}}, fault.OK, ""},
		{"fine list", forged{kind: pqInt32, list: true, rows: 1, values: 2, pages: [][]byte{page1(2, pqPlain, 20, join(ints(2), []byte{3, 2}, run(2, 1), ints(1, 2))...)}}, fault.OK, ""},
		{"fine second version", forged{kind: pqInt32, optional: true, rows: 2, values: 2, pages: [][]byte{page2(2, pqPlain, 2, 0, join([]byte{4, 1}, ints(1, 2))...)}}, fault.OK, ""},
		{"page too large", forged{kind: pqInt32, codec: pqSnappy, rows: 2, values: 2, pages: [][]byte{page1(2, pqPlain, 1<<30, 1, 2)}}, fault.TooLarge, "a page has 1073741824 bytes"},
		{"snappy bomb", forged{kind: pqInt32, codec: pqSnappy, rows: 2, values: 2, pages: [][]byte{page1(2, pqPlain, 8, 0xff, 0xff, 0xff, 0xff, 0x07)}}, fault.Invalid, "a page becomes 2147483647 bytes, and its header says 8"},
		{"page negative", forged{kind: pqInt32, rows: 2, values: 2, pages: [][]byte{page1(2, pqPlain, -8, ints(1, 2)...)}}, fault.Invalid, "8 bytes, and -8 uncompressed"},
		{"page of another size", forged{kind: pqInt32, rows: 2, values: 2, pages: [][]byte{page1(2, pqPlain, 9, ints(1, 2)...)}}, fault.Invalid, "a page has 8 bytes, and its header says 9"},
		{"page cut off", forged{kind: pqInt32, rows: 2, values: 2, pages: [][]byte{page1(2, pqPlain, 8, ints(1, 2)...)[:22]}}, fault.Invalid, "it is cut off"},
		{"no page", forged{kind: pqInt32, rows: 2, values: 2}, fault.Invalid, "it has no page for 2 values"},
		{"too many values", forged{kind: pqInt32, rows: 2, values: 2, pages: [][]byte{page1(3, pqPlain, 12, ints(1, 2, 3)...)}}, fault.Invalid, "a page has 3 values, and 2 are left"},
		{"fewer values than it says", forged{kind: pqInt32, rows: 2, values: 2, pages: [][]byte{page1(2, pqPlain, 4, ints(1)...)}}, fault.Invalid, "its values end early"},
		{"more values than rows", forged{kind: pqInt32, rows: 2, values: 3, pages: [][]byte{page1(3, pqPlain, 12, ints(1, 2, 3)...)}}, fault.Invalid, "it has 3 values, and the row group has 2 rows"},
		{"second dictionary", forged{kind: pqInt32, rows: 1, values: 1, pages: [][]byte{dictionary(1, ints(7)...), dictionary(1, ints(7)...), page1(1, pqRLEDictionary, 3, 1, 2, 0)}}, fault.Invalid, "a second dictionary"},
		{"no dictionary", forged{kind: pqInt32, rows: 1, values: 1, pages: [][]byte{page1(1, pqRLEDictionary, 3, 1, 2, 0)}}, fault.Invalid, "a dictionary that is not there"},
		{"index beyond", forged{kind: pqInt32, rows: 1, values: 1, pages: [][]byte{dictionary(2, ints(7, 8)...), page1(1, pqRLEDictionary, 3, 2, 2, 3)}}, fault.Invalid, "the index 3 into a dictionary of 2"},
		{"large dictionary", forged{kind: pqInt32, rows: 1, values: 1, pages: [][]byte{dictionary(1<<30, ints(7, 8)...)}}, fault.Invalid, "its dictionary has 1073741824 values in 8 bytes"},
		{"large dictionary of words", forged{kind: pqByteArray, rows: 1, values: 1, pages: [][]byte{dictionary(1<<30, ints(7, 8)...)}}, fault.Invalid, "its dictionary has 1073741824 values in 8 bytes"},
		{"word beyond", forged{kind: pqByteArray, rows: 1, values: 1, pages: [][]byte{page1(1, pqPlain, 8, ints(1<<31, 0)...)}}, fault.Invalid, "a value of 2147483648 bytes, and 4 are left"},
		{"within a list", forged{kind: pqInt32, list: true, rows: 1, values: 1, pages: [][]byte{page1(1, pqPlain, 16, join(run(1, 1), run(1, 1), ints(1))...)}}, fault.Invalid, "its values begin within a list"},
		{"more lists than rows", forged{kind: pqInt32, list: true, rows: 1, values: 2, pages: [][]byte{page1(2, pqPlain, 20, join(run(2, 0), run(2, 1), ints(1, 2))...)}}, fault.Invalid, "it has more values than the row group has rows"},
		{"fewer lists than rows", forged{kind: pqInt32, list: true, rows: 2, values: 2, pages: [][]byte{page1(2, pqPlain, 20, join(ints(2), []byte{3, 2}, run(2, 1), ints(1, 2))...)}}, fault.Invalid, "it has fewer lists than the row group has rows"},
		{"levels beyond", forged{kind: pqInt32, optional: true, rows: 1, values: 1, pages: [][]byte{page1(1, pqPlain, 8, ints(5, 1)...)}}, fault.Invalid, "its definition levels end early"},
		{"levels of the second version beyond", forged{kind: pqInt32, optional: true, rows: 1, values: 1, pages: [][]byte{page2(1, pqPlain, 9, 0, ints(5, 1)...)}}, fault.Invalid, "its levels have 0 and 9 bytes of a page's 8"},
		{"levels that end", forged{kind: pqInt32, optional: true, rows: 9, values: 9, pages: [][]byte{page1(9, pqPlain, 40, join(run(1, 1), ints(1, 2, 3, 4, 5, 6, 7, 8, 9)[:34])...)}}, fault.Invalid, "its runs end early"},
		{"deltas without a block", forged{kind: pqInt32, rows: 2, values: 2, pages: [][]byte{page1(2, pqDelta, 4, deltas(0, 4, 2, 0)...)}}, fault.Invalid, "its deltas are in blocks of 0 values"},
		{"fewer deltas", forged{kind: pqInt32, rows: 2, values: 2, pages: [][]byte{page1(2, pqDelta, 5, deltas(128, 4, 1, 0)...)}}, fault.Invalid, "1 deltas fewer than values"},
		{"wide deltas", forged{kind: pqInt32, rows: 2, values: 2, pages: [][]byte{page1(2, pqDelta, 10, append(deltas(128, 4, 2, 0, 0), 65, 0, 0, 0)...)}}, fault.Invalid, "its deltas have 65 bits each"},
		{"lengths for more values", forged{kind: pqByteArray, rows: 1, values: 1, pages: [][]byte{page1(1, pqDeltaLength, 6, deltas(128, 4, 200, 0)...)}}, fault.Invalid, "200 lengths for 1 values"},
		{"negative length", forged{kind: pqByteArray, rows: 1, values: 1, pages: [][]byte{page1(1, pqDeltaLength, 5, deltas(128, 4, 1, 1)...)}}, fault.Invalid, "a value of -1 bytes"},
		{"prefix of nothing", forged{kind: pqByteArray, rows: 1, values: 1, pages: [][]byte{page1(1, pqDeltaBytes, 10, append(deltas(128, 4, 1, 10), deltas(128, 4, 1, 0)...)...)}}, fault.Invalid, "a value of 0 bytes after the first 5"},
		{"unknown encoding", forged{kind: pqInt32, rows: 1, values: 1, pages: [][]byte{page1(1, 77, 4, ints(1)...)}}, fault.Unsupported, "the encoding 77"},
		{"unknown codec", forged{kind: pqInt32, codec: 77, rows: 1, values: 1, pages: [][]byte{page1(1, pqPlain, 4, ints(1)...)}}, fault.Unsupported, "codec 77"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &File{Source: bytesSource(c.file.file()), Name: "forged.parquet", Format: Parquet}
			in := Input{Name: "x", Type: tensor.FP64, Columns: []string{"x"}}
			if c.file.kind == pqByteArray {
				in.Type = tensor.Bytes
			}
			if c.file.list {
				in.Shape = []int64{2}
			}
			r, err := Open(t.Context(), f, Part{To: 1}, &Plan{Inputs: []Input{in}}, nil)
			var b Block
			for err == nil {
				err = r.Next(t.Context(), &b, 100)
			}
			if r != nil {
				r.Close()
			}
			if c.want == "" {
				if err != io.EOF {
					t.Errorf("want no error, got %v", err)
				}
				return
			}
			if fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `row group 0 column "x"`) {
				t.Errorf("want %v: …%s…, got %v: %v", c.code, c.want, fault.CodeOf(err), err)
			}
		})
	}
}

// A small file may have very many rows; they take time as they are read, and no
// memory.
func TestParquetManyRows(t *testing.T) {
	const rows = 1<<31 - 8
	file := forged{kind: pqInt32, rows: rows, values: rows, pages: [][]byte{
		dictionary(1, ints(7)...), page1(rows, pqRLEDictionary, 7, append([]byte{1}, append(binary.AppendUvarint(nil, rows<<1), 0)...)...)}}
	f := &File{Source: bytesSource(file.file()), Name: "forged.parquet", Format: Parquet}
	r, err := Open(t.Context(), f, Part{To: 1}, &Plan{Inputs: []Input{{Name: "x", Type: tensor.FP32, Columns: []string{"x"}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b Block
	for range 100 {
		if err := r.Next(t.Context(), &b, 1000); err != nil || b.Rows != 1000 {
			t.Fatalf("want 1000 rows, got %d, %v", b.Rows, err)
		}
	}
	if x, _ := tensor.View[float32](&b.Inputs[0]); x[999] != 7 {
		t.Errorf("want 7, got %v", x[999])
	}
}

// A row group that is too large to be fetched as a whole is read in windows of
// each column, which pages and their headers do not end with.
func TestParquetWindows(t *testing.T) {
	const n, columns = 100_000, 4
	schema, plan := &Schema{}, &Plan{Inputs: []Input{{Name: "x", Type: tensor.FP32, Shape: []int64{columns}}}}
	var outputs []Output
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i*7919%n) / 3
	}
	var tensors []tensor.Tensor
	for i := range columns {
		name := string(rune('a' + i))
		plan.Inputs[0].Columns = append(plan.Inputs[0].Columns, name)
		schema.Columns = append(schema.Columns, Column{Name: name, Kind: Float})
		outputs = append(outputs, Output{Name: name, Type: tensor.FP32})
		tensors = append(tensors, tensor.Of(name, []int64{n}, values))
	}
	var out bytes.Buffer
	w, err := NewWriter(&out, Parquet, schema, outputs, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&Block{Rows: n}, tensors); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := &File{Source: bytesSource(out.Bytes()), Name: "test.parquet", Format: Parquet}
	for round := range 2 { // the second in memory of the first
		r, err := Open(t.Context(), f, Part{To: 1}, plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		fetch := r.(*pqReader).fetch
		fetch.whole, fetch.ahead = 0, 0
		got := 0
		var b Block
		for err = r.Next(t.Context(), &b, 999); err == nil; err = r.Next(t.Context(), &b, 999) {
			x, _ := tensor.View[float32](&b.Inputs[0])
			for i, v := range x {
				if v != values[got+i/columns] {
					t.Fatalf("round %d row %d: want %v, got %v", round, got+i/columns, values[got+i/columns], v)
				}
			}
			got += b.Rows
		}
		if err != io.EOF || got != n {
			t.Fatalf("want %d rows, got %d, %v", n, got, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
