package rows_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// written is what a writer makes of blocks.
func written(t testing.TB, format rows.Format, s *rows.Schema, outputs []rows.Output, o *rows.WriteOptions, blocks ...block) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := rows.NewWriter(&buf, format, s, outputs, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if err := w.Write(&b.Block, b.outputs); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

type block struct {
	rows.Block
	outputs []tensor.Tensor
}

func raw(texts ...string) [][]byte {
	var all [][]byte
	for _, s := range texts {
		all = append(all, []byte(s))
	}
	return all
}

// every is a block with passed columns of every kind and outputs of most types.
func every() (*rows.Schema, []rows.Output, block) {
	s := &rows.Schema{Columns: []rows.Column{{Name: "text"}, {Name: "json, \"x\"", Kind: rows.JSON}, {Name: "bool", Kind: rows.Bool}, {Name: "int", Kind: rows.Int},
		{Name: "uint", Kind: rows.Uint}, {Name: "float", Kind: rows.Float}, {Name: "double", Kind: rows.Double}, {Name: "bytes", Kind: rows.Bytes}}}
	outputs := []rows.Output{{Name: "y", Type: tensor.FP32, Shape: []int64{2}}, {Name: "label", Type: tensor.Bytes}, {Name: "n", Type: tensor.Int8, Shape: []int64{1}}, {Name: "h", Type: tensor.FP16}, {Name: "b", Type: tensor.Bool}}
	for _, o := range outputs {
		c := rows.Column{Name: o.Name, Kind: rows.KindOf(o.Type)}
		if o.Elements() != 1 {
			c.List, c.Length = true, o.Elements()
		}
		s.Columns = append(s.Columns, c)
	}
	null := []bool{false, true}
	b := block{Block: rows.Block{Rows: 2, At: []int64{2, 3}, Pass: []rows.Values{
		{Name: "text", Raw: raw("a \"b\",\n", "\xff")},
		{Name: "json, \"x\"", Kind: rows.JSON, Raw: raw(`"q\"\u00e9"`, `[1,{"a":null}]`)},
		{Name: "bool", Kind: rows.Bool, Ints: []int64{1, 0}, Null: null},
		{Name: "int", Kind: rows.Int, Ints: []int64{math.MinInt64, 7}},
		{Name: "uint", Kind: rows.Uint, Uints: []uint64{math.MaxUint64, 7}},
		{Name: "float", Kind: rows.Float, Floats: []float64{float64(float32(0.1)), math.NaN()}},
		{Name: "double", Kind: rows.Double, Floats: []float64{0.1, math.Inf(-1)}},
		{Name: "bytes", Kind: rows.Bytes, Raw: raw("", "x"), Null: null},
	}}, outputs: []tensor.Tensor{
		tensor.Of("y", []int64{2, 2}, []float32{1, 0.25, float32(math.NaN()), float32(math.Inf(1))}),
		tensor.OfStrings("label", []int64{2}, "Adelie", ""),
		tensor.Of("n", []int64{2, 1}, []int8{-1, 2}),
		tensor.OfBits("h", tensor.FP16, []int64{2}, []uint16{tensor.ToFloat16(0.1), tensor.ToFloat16(65504)}),
		tensor.Of("b", []int64{2}, []bool{true, false}),
	}}
	return s, outputs, b
}

func TestWriteText(t *testing.T) {
	s, outputs, b := every()
	tests := []struct {
		format rows.Format
		want   string
	}{
		{rows.CSV, `text,"json, ""x""",bool,int,uint,float,double,bytes,y_0,y_1,label,n,h,b` + "\n" +
			"\"a \"\"b\"\",\n\",\"q\"\"é\",true,-9223372036854775808,18446744073709551615,0.1,0.1,,1,0.25,Adelie,-1,0.099975586,true\n" +
			"\xff,\"[1,{\"\"a\"\":null}]\",,7,7,NaN,-Infinity,,NaN,Infinity,,2,65504,false\n"},
		{rows.JSONL, `{"text":"a \"b\",\n","json, \"x\"":"q\"\u00e9","bool":true,"int":-9223372036854775808,"uint":18446744073709551615,"float":0.1,"double":0.1,"bytes":"","y":[1,0.25],"label":"Adelie","n":-1,"h":0.099975586,"b":true}` + "\n" +
			`{"text":{"b64":"/w=="},"json, \"x\"":[1,{"a":null}],"bool":null,"int":7,"uint":7,"float":null,"double":"-Infinity","bytes":null,"y":[null,"Infinity"],"label":"","n":2,"h":65504,"b":false}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(string(tt.format), func(t *testing.T) {
			got := written(t, tt.format, s, outputs, nil, b)
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			head := written(t, tt.format, s, outputs, nil)
			for name, open := range map[rows.Compression]func([]byte) (io.Reader, error){
				rows.Gzip: func(b []byte) (io.Reader, error) { return gzip.NewReader(bytes.NewReader(b)) },
				rows.Zstd: func(b []byte) (io.Reader, error) { return zstd.NewReader(bytes.NewReader(b)) },
			} {
				o := &rows.WriteOptions{Compression: name}
				small := written(t, tt.format, s, outputs, o, b)
				r, err := open(small)
				if err != nil {
					t.Fatal(err)
				}
				if all, err := io.ReadAll(r); err != nil || !bytes.Equal(all, got) {
					t.Errorf("%s: got %q, %v", name, all, err)
				}
				if !bytes.Equal(small, written(t, tt.format, s, outputs, o, b)) {
					t.Errorf("%s: other bytes for the same rows", name)
				}
				// Joined, from any form to any.
				for _, to := range []rows.Compression{rows.None, rows.Gzip, rows.Zstd} {
					var buf bytes.Buffer
					parts := []rows.Source{memory(small), memory(written(t, tt.format, s, outputs, o)), memory(small)}
					if err := rows.Join(t.Context(), &buf, tt.format, parts, &rows.JoinOptions{From: name, To: to}); err != nil {
						t.Fatal(err)
					}
					f, err := rows.Identify(t.Context(), "all."+string(tt.format), memory(buf.Bytes()))
					if err != nil || f.Compression != to {
						t.Fatalf("joined as %q: got %+v, %v", to, f, err)
					}
					plain := inflated(t, buf.Bytes(), to)
					if want := string(got) + string(got[len(head):]); plain != want {
						t.Errorf("joined from %q to %q: got %q, want %q", name, to, plain, want)
					}
				}
			}
		})
	}
}

func inflated(t testing.TB, data []byte, c rows.Compression) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	var err error
	switch c {
	case rows.Gzip:
		r, err = gzip.NewReader(r)
	case rows.Zstd:
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// However rows are parted into blocks, the bytes are the same, compressed too.
func TestBlocksDoNotShow(t *testing.T) {
	s := &rows.Schema{Columns: []rows.Column{{Name: "id"}, {Name: "y", Kind: rows.Double}}}
	outputs := []rows.Output{{Name: "y", Type: tensor.FP64}}
	blocks := func(size int) (all []block) {
		for from := 0; from < 40000; from += size {
			var ids []string
			var y []float64
			for i := from; i < min(from+size, 40000); i++ {
				ids, y = append(ids, fmt.Sprint("row ", i)), append(y, math.Sqrt(float64(i)))
			}
			all = append(all, block{rows.Block{Rows: len(y), Pass: []rows.Values{{Name: "id", Raw: raw(ids...)}}}, []tensor.Tensor{tensor.Of("y", []int64{int64(len(y))}, y)}})
		}
		return all
	}
	for _, format := range []rows.Format{rows.CSV, rows.JSONL} {
		for _, c := range []rows.Compression{rows.None, rows.Gzip, rows.Zstd} {
			o := &rows.WriteOptions{Compression: c}
			want := written(t, format, s, outputs, o, blocks(40000)...)
			for _, size := range []int{97, 4096} {
				if got := written(t, format, s, outputs, o, blocks(size)...); !bytes.Equal(got, want) {
					t.Errorf("%s %q: blocks of %d rows give other bytes", format, c, size)
				}
			}
		}
	}
}

// A row of one column whose value is empty is a row still.
func TestEmptyValueOfOneColumn(t *testing.T) {
	s := &rows.Schema{Columns: []rows.Column{{Name: "y", Kind: rows.Bytes}}}
	outputs := []rows.Output{{Name: "y", Type: tensor.Bytes}}
	got := written(t, rows.CSV, s, outputs, nil, block{rows.Block{Rows: 2}, []tensor.Tensor{tensor.OfStrings("y", []int64{2}, "", "a")}})
	if want := "y\n\"\"\na\n"; string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	f := csvOf(string(got))
	back, _ := readAll(t, f, plan(t, f, nil, in("y", tensor.Bytes, -1)), 1<<20, 10, nil)
	if diff := cmp.Diff(reading{Rows: []string{"", "a"}, At: []int64{2, 3}}, back); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Where the model does not tell how many elements a row has, the first block does.
func TestDynamicOutputs(t *testing.T) {
	s := &rows.Schema{Columns: []rows.Column{{Name: "y", Kind: rows.Float, List: true}}}
	outputs := []rows.Output{{Name: "y", Type: tensor.FP32, Shape: []int64{-1}}}
	one := block{rows.Block{Rows: 1}, []tensor.Tensor{tensor.Of("y", []int64{1, 1}, []float32{1})}}
	two := block{rows.Block{Rows: 1}, []tensor.Tensor{tensor.Of("y", []int64{1, 2}, []float32{1, 2})}}
	if got, want := string(written(t, rows.CSV, s, outputs, nil, two, two)), "y_0,y_1\n1,2\n1,2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := string(written(t, rows.CSV, s, outputs, nil, one)), "y\n1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := string(written(t, rows.JSONL, s, outputs, nil, one, two)), "{\"y\":[1]}\n{\"y\":[1,2]}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w, err := rows.NewWriter(io.Discard, rows.CSV, s, outputs, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&two.Block, two.outputs); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&one.Block, one.outputs); fault.CodeOf(err) != fault.Unprocessable {
		t.Errorf("rows of another length: got %v", err)
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	y := []rows.Output{{Name: "y", Type: tensor.FP32, Shape: []int64{2}}}
	s := &rows.Schema{Columns: []rows.Column{{Name: "y_0"}, {Name: "y", Kind: rows.Float, List: true, Length: 2}}}
	if _, err := rows.NewWriter(io.Discard, rows.CSV, s, y, nil); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("two columns of one name: got %v", err)
	}
	if _, err := rows.NewWriter(io.Discard, rows.CSV, &rows.Schema{Columns: s.Columns[1:]}, y, &rows.WriteOptions{Compression: "lz4"}); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("lz4: got %v", err)
	}
	w, err := rows.NewWriter(io.Discard, rows.JSONL, &rows.Schema{Columns: s.Columns[1:]}, y, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, out := range map[string]tensor.Tensor{
		"another type":     tensor.Of("y", []int64{1, 2}, []float64{1, 2}),
		"other rows":       tensor.Of("y", []int64{2, 2}, []float32{1, 2, 3, 4}),
		"another length":   tensor.Of("y", []int64{1, 3}, []float32{1, 2, 3}),
		"no rows at all":   tensor.Of("y", []int64{}, []float32{1}),
		"first dimensions": tensor.Of("y", []int64{2, 1}, []float32{1, 2}),
	} {
		if err := w.Write(&rows.Block{Rows: 1}, []tensor.Tensor{out}); fault.CodeOf(err) != fault.Unprocessable {
			t.Errorf("%s: got %v", name, err)
		}
	}
	other := memory("z\n1\n")
	if err := rows.Join(t.Context(), io.Discard, rows.CSV, []rows.Source{memory("y\n1\n"), other}, nil); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("parts with other columns: got %v", err)
	}
}

// What is written reads back as it was, through the other format too.
func TestWrittenReadsBack(t *testing.T) {
	values := []float32{0, 1.5e-30, -3.4e38, 0.1, 16777217, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}
	out := []rows.Output{{Name: "y", Type: tensor.FP32, Shape: []int64{4}}}
	s := &rows.Schema{Columns: []rows.Column{{Name: "y", Kind: rows.Float, List: true, Length: 4}}}
	for _, format := range []rows.Format{rows.CSV, rows.JSONL} {
		data := written(t, format, s, out, nil, block{rows.Block{Rows: 2}, []tensor.Tensor{tensor.Of("y", []int64{2, 4}, values)}})
		f := &rows.File{Source: memory(data), Format: format}
		p := plan(t, f, nil, []driver.TensorInfo{in("y", tensor.FP32, -1, 4)}...)
		got, _ := readAll(t, f, p, 1<<20, 10, nil)
		want := reading{Rows: []string{fmt.Sprint(values[0], values[1], values[2], values[3]), fmt.Sprint(values[4], values[5], values[6], values[7])}, At: got.At}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
}
