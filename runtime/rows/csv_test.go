package rows_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// memory is a source in memory.
type memory []byte

func (m memory) Size() int64 { return int64(len(m)) }

func (m memory) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[off : off+n])), nil
}

// in is an input or output of a model.
func in(name string, t tensor.DType, shape ...int64) driver.TensorInfo {
	return driver.TensorInfo{Name: name, Type: t, Shape: shape}
}

// reading is all that a file's parts gave.
type reading struct {
	Rows []string // of each: its inputs, and what passes through
	At   []int64
	Bad  []rows.Bad
}

// readAll reads a file in parts of so many bytes and blocks of so many rows.
func readAll(t testing.TB, f *rows.File, p *rows.Plan, partBytes int64, block int, o *rows.ReadOptions) (got reading, parts []rows.Part) {
	t.Helper()
	if o == nil {
		o = &rows.ReadOptions{}
	}
	parts, err := rows.Split(t.Context(), f, &rows.SplitOptions{PartBytes: partBytes, MaxRow: o.MaxRow})
	if err != nil {
		t.Fatal(err)
	}
	lines := int64(0)
	for _, part := range parts {
		if part.Line != lines+1 {
			t.Errorf("part %d begins at line %d, want %d", part.Index, part.Line, lines+1)
		}
		r, err := rows.Open(t.Context(), f, part, p, o)
		if err != nil {
			t.Fatal(err)
		}
		var b rows.Block
		for {
			err := r.Next(t.Context(), &b, block)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if b.Rows+len(b.Bad) > block {
				t.Fatalf("want at most %d rows, got %d and %d bad ones", block, b.Rows, len(b.Bad))
			}
			got.add(t, &b)
		}
		lines += r.Lines()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return got, parts
}

func (r *reading) add(t testing.TB, b *rows.Block) {
	t.Helper()
	for k := range b.Rows {
		var s []string
		for i := range b.Inputs {
			x := &b.Inputs[i]
			if err := x.Check(); err != nil || x.Shape[0] != int64(b.Rows) {
				t.Fatalf("input %q: shape %v for %d rows: %v", x.Name, x.Shape, b.Rows, err)
			}
			n := x.Len() / b.Rows
			for e := k * n; e < (k+1)*n; e++ {
				s = append(s, element(x, e))
			}
		}
		for _, v := range b.Pass {
			if len(v.Raw) != b.Rows {
				t.Fatalf("column %q: %d values for %d rows", v.Name, len(v.Raw), b.Rows)
			}
			if null := v.Null != nil && v.Null[k]; len(v.Null) > b.Rows || null != (v.Kind == rows.JSON && string(v.Raw[k]) == "null") {
				t.Fatalf("column %q: %q, missing: %v", v.Name, v.Raw[k], v.Null)
			}
			s = append(s, v.Name+"="+string(v.Raw[k]))
		}
		r.Rows = append(r.Rows, strings.Join(s, " "))
	}
	if len(b.At) != b.Rows {
		t.Fatalf("%d lines for %d rows", len(b.At), b.Rows)
	}
	r.At = append(r.At, b.At...)
	r.Bad = append(r.Bad, b.Bad...)
}

func element(x *tensor.Tensor, k int) string {
	switch x.Type {
	case tensor.Bytes:
		return string(x.Strings[k])
	case tensor.FP32:
		v, _ := tensor.View[float32](x)
		return fmt.Sprint(v[k])
	case tensor.FP64:
		v, _ := tensor.View[float64](x)
		return fmt.Sprint(v[k])
	case tensor.Int64:
		v, _ := tensor.View[int64](x)
		return fmt.Sprint(v[k])
	case tensor.Bool:
		return fmt.Sprint(x.Data[k] != 0)
	case tensor.FP16:
		v, _ := tensor.View[uint16](x)
		return fmt.Sprint(tensor.Float16(v[k]))
	}
	v, _ := tensor.View[uint8](x)
	return fmt.Sprint(v[k])
}

// plan is NewPlan for a file whose outputs do not matter.
func plan(t testing.TB, f *rows.File, o *rows.PlanOptions, inputs ...driver.TensorInfo) *rows.Plan {
	t.Helper()
	s, err := rows.ReadSchema(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	p, err := rows.NewPlan(&driver.Signature{Inputs: inputs, Outputs: []driver.TensorInfo{in("y", tensor.FP32, -1, 2)}}, s, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func csvOf(text string) *rows.File {
	return &rows.File{Source: memory(text), Name: "test.csv", Format: rows.CSV}
}

func jsonlOf(text string) *rows.File {
	return &rows.File{Source: memory(text), Name: "test.jsonl", Format: rows.JSONL}
}

const (
	whatFP32  = "want a number within the range of FP32, got "
	whatInt64 = "want a whole number for INT64 (-9223372036854775808 to 9223372036854775807), got "
)

// offsets puts in where the lines of bad rows begin.
func offsets(text string, want *reading) {
	for i := range want.Bad {
		at := 0
		for range want.Bad[i].Row - 1 {
			at += strings.IndexByte(text[at:], '\n') + 1
		}
		want.Bad[i].Offset = int64(at)
	}
}

func TestCSV(t *testing.T) {
	x := []driver.TensorInfo{in("x", tensor.FP32, -1, 2), in("word", tensor.Bytes, -1, 1), in("n", tensor.Int64, -1)}
	tests := []struct {
		name, text string
		opts       *rows.ReadOptions
		want       reading
	}{
		{"plain", "x_0,x_1,word,n,id\n1,2.5,a b,-7,k1\n-0.125,1e3,,9,k2\n", nil, reading{
			Rows: []string{"1 2.5 a b -7 id=k1", "-0.125 1000  9 id=k2"}, At: []int64{2, 3}}},
		{"other order and columns between", "id,more,n,x_1,word,x_0,last\nk,z,3,2,w,1,z\n", nil, reading{
			Rows: []string{"1 2 w 3 id=k"}, At: []int64{2}}},
		{"no end of the last line, CRLF and a mark", "\ufeffx_0,x_1,word,n,id\r\n1,2,w,3,k\r\n\r\n4,5,v,6,l", nil, reading{
			Rows: []string{"1 2 w 3 id=k", "4 5 v 6 id=l"}, At: []int64{2, 4}}},
		{"quotes", "x_0,\"x_1\",word,n,id\n\"1\",2,\"a,\"\"b\"\"\nc\",\"3\",\"\"\n4,\" 5 \",v,6,\"l\"\n7,8,u,9,m\n", nil, reading{
			Rows: []string{"1 2 a,\"b\"\nc 3 id=", "4 5 v 6 id=l", "7 8 u 9 id=m"}, At: []int64{2, 4, 5}}},
		{"numbers in odd forms", "x_0,x_1,word,n,id\n+1,.5,w,+07,k\n 1.,-.5e1,w,-0,k\nNaN,-inf,w,1,k\n1e400,1,w,1,k\n,Infinity,w,1,k\n007.50,00,w,1,k\n", nil, reading{
			Rows: []string{"1 0.5 w 7 id=k", "1 -5 w 0 id=k", "NaN -Inf w 1 id=k", "NaN +Inf w 1 id=k", "7.5 0 w 1 id=k"}, At: []int64{2, 3, 4, 6, 7},
			Bad: []rows.Bad{{Row: 5, Column: "x_0", Code: "invalid", Reason: whatFP32 + `"1e400"`}}}},
		{"what is missing is bad if told so", "x_0,x_1,word,n,id\n1,2,w,3,\n,2,w,3,k\n1,2,,3,k\n1,2,w,,k\n", &rows.ReadOptions{NoMissing: true}, reading{
			Rows: []string{"1 2 w 3 id="}, At: []int64{2}, Bad: []rows.Bad{
				{Row: 3, Column: "x_0", Code: "invalid", Reason: whatFP32 + "an empty field"},
				{Row: 4, Column: "word", Code: "invalid", Reason: "want text, got an empty field"},
				{Row: 5, Column: "n", Code: "invalid", Reason: whatInt64 + "an empty field"}}}},
		{"bad rows", "x_0,x_1,word,n,id\nabc,2,w,3,k\n1,2,w,3\n1,2,w,3,k,more\n1,0x10,w,3,k\n1,2,w,3.0,k\n1,2,w,3,k\n1,2,w,9223372036854775808,k\n1_0,2,w,3,k\n1 2,2,w,3,k\n", nil, reading{
			Rows: []string{"1 2 w 3 id=k"}, At: []int64{7}, Bad: []rows.Bad{
				{Row: 2, Column: "x_0", Code: "invalid", Reason: whatFP32 + `"abc"`},
				{Row: 3, Code: "invalid", Reason: "want 5 fields, got 4"},
				{Row: 4, Code: "invalid", Reason: "want 5 fields, got 6"},
				{Row: 5, Column: "x_1", Code: "invalid", Reason: whatFP32 + `"0x10"`},
				{Row: 6, Column: "n", Code: "invalid", Reason: whatInt64 + `"3.0"`},
				{Row: 8, Column: "n", Code: "invalid", Reason: whatInt64 + `"9223372036854775808"`},
				{Row: 9, Column: "x_0", Code: "invalid", Reason: whatFP32 + `"1_0"`},
				{Row: 10, Column: "x_0", Code: "invalid", Reason: whatFP32 + `"1 2"`}}}},
		{"a lost quote costs its own line", "x_0,x_1,word,n,id\n1,2,\"w,3,k\n4,5,\"v\",6,l\n7,8,u\"u,9,m\n1,2,\"a\"b,3,k\n1,2,w,3,k\n1,2,\"w,3,k\n4,5,v,6,l\n", nil, reading{
			Rows: []string{"4 5 v 6 id=l", "1 2 w 3 id=k", "4 5 v 6 id=l"}, At: []int64{3, 6, 8}, Bad: []rows.Bad{
				{Row: 2, Column: "word", Code: "invalid", Reason: "want a comma after a closing quote, got something else (a quote within quotes is written twice)"},
				{Row: 4, Column: "word", Code: "invalid", Reason: "want quotes around the whole field, and each one in it twice, or none, got one within"},
				{Row: 5, Column: "word", Code: "invalid", Reason: "want a comma after a closing quote, got something else (a quote within quotes is written twice)"},
				{Row: 7, Column: "word", Code: "invalid", Reason: "want a closing quote, got none"}}}},
		{"a long line", "x_0,x_1,word,n,id\n1,2," + strings.Repeat("w", 100) + ",3,k\n1,2,w,3,k\n", &rows.ReadOptions{MaxRow: 64}, reading{
			Rows: []string{"1 2 w 3 id=k"}, At: []int64{3}, Bad: []rows.Bad{
				{Row: 2, Code: "too_large", Reason: "want a line of at most 64 bytes, got a longer one"}}}},
		{"a long row of short lines", "x_0,x_1,word,n,id\n1,2,\"" + strings.Repeat("w,w\n", 20) + "\",3,k\n1,2,w,3,k\n", &rows.ReadOptions{MaxRow: 64}, func() reading {
			want := reading{Rows: []string{"1 2 w 3 id=k"}, At: []int64{23}, Bad: []rows.Bad{{Row: 2, Column: "word", Code: "invalid", Reason: "want the row to end within the most bytes of one, got quotes that go on"}}}
			for line := int64(3); line < 22; line++ {
				want.Bad = append(want.Bad, rows.Bad{Row: line, Column: "x_0", Code: "invalid", Reason: whatFP32 + `"w"`})
			}
			want.Bad = append(want.Bad, rows.Bad{Row: 22, Column: "x_0", Code: "invalid", Reason: "want a closing quote, got none"})
			return want
		}()},
		{"a header alone", "x_0,x_1,word,n,id\n", nil, reading{}},
	}
	for _, tt := range tests {
		for _, partBytes := range []int64{1 << 20, 1, 40} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, partBytes), func(t *testing.T) {
				f := csvOf(tt.text)
				p := plan(t, f, &rows.PlanOptions{Pass: []string{"id"}}, x...)
				got, _ := readAll(t, f, p, partBytes, 3, tt.opts)
				offsets(tt.text, &tt.want)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// Numbers that end a line, or lack there.
func TestCSVLastFields(t *testing.T) {
	f := csvOf("id,x_0,x_1,x_2\nk,1,2,\nk,,,\nk,1,,3\nk,1,2\nk,1\nk\nk,1,2,3,\nk,1,2,3")
	p := plan(t, f, nil, in("x", tensor.FP32, -1, 3))
	got, _ := readAll(t, f, p, 1<<20, 100, nil)
	want := reading{Rows: []string{"1 2 NaN", "NaN NaN NaN", "1 NaN 3", "1 2 3"}, At: []int64{2, 3, 4, 9}}
	for i, n := range []string{"3", "2", "1", "5"} {
		want.Bad = append(want.Bad, rows.Bad{Row: int64(5 + i), Code: "invalid", Reason: "want 4 fields, got " + n})
	}
	offsets(string(f.Source.(memory)), &want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
