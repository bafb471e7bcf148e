package rows_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// What encoding/csv writes is read as it was, in parts and blocks of any size.
func TestCSVReadsWhatEncodingCSVWrites(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		field := rapid.OneOf(
			rapid.StringMatching(`[a-c",\n ]{0,6}`),
			rapid.StringMatching(`-?[1-9][0-9]{0,5}(\.[0-9]{1,8})?(e-?[0-9])?`),
			rapid.String().Filter(func(s string) bool { return !strings.ContainsAny(s, "\r\x00") }))
		n := rapid.IntRange(1, 30).Draw(rt, "rows")
		columns := rapid.IntRange(2, 5).Draw(rt, "columns")
		var buf bytes.Buffer
		w := csv.NewWriter(&buf)
		w.UseCRLF = rapid.Bool().Draw(rt, "CRLF")
		header := []string{"x"}
		for i := 1; i < columns; i++ {
			header = append(header, fmt.Sprint("c", i))
		}
		w.Write(header)
		var want []string
		for range n {
			v := rapid.Float32().Draw(rt, "x")
			rec := []string{strconv.FormatFloat(float64(v), 'g', -1, 32)}
			row := fmt.Sprint(v)
			for i := 1; i < columns; i++ {
				s := field.Draw(rt, "field")
				rec = append(rec, s)
				if w.UseCRLF { // the writer does so within quotes, too
					s = strings.ReplaceAll(s, "\n", "\r\n")
				}
				row += " " + header[i] + "=" + s
			}
			w.Write(rec)
			want = append(want, row)
		}
		w.Flush()
		f := csvOf(buf.String())
		p, err := rows.NewPlan(&driver.Signature{Inputs: []driver.TensorInfo{in("x", tensor.FP32, -1)}, Outputs: []driver.TensorInfo{in("y", tensor.FP32, -1)}},
			columnsOf(header), &rows.PlanOptions{Pass: header[1:]})
		if err != nil {
			rt.Fatal(err)
		}
		got, _ := readAll(t, f, p, rapid.Int64Range(1, 500).Draw(rt, "part"), rapid.IntRange(1, 40).Draw(rt, "block"), nil)
		if diff := cmp.Diff(want, got.Rows); diff != "" || len(got.Bad) > 0 {
			rt.Errorf("(-want +got):\n%s\nbad: %v\nfile: %q", diff, got.Bad, buf.String())
		}
	})
}

func columnsOf(names []string) *rows.Schema { return columns(names...) }

// A number of text is what strconv makes of it, to the bit, in every type.
func TestNumbersAreStrconvs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[+-]?[0-9]{0,25}\.?[0-9]{0,25}([eE][+-]?[0-9]{1,3})?`),
			rapid.SampledFrom([]string{"nan", "NaN", "-NAN", "inf", "+Inf", "-infinity", "Infinity", "1e", ".", "-", "+", "--1", "0x1p3", "1_000", "00", "-00.50", "1e+05"}),
			rapid.Map(rapid.Uint64(), func(u uint64) string { return fmt.Sprint(math.Float64frombits(u)) }),
			rapid.Map(rapid.Int64(), func(i int64) string { return fmt.Sprint(i) }),
		).Draw(rt, "text")
		if strings.TrimSpace(text) == "" {
			return
		}
		quoted := rapid.Bool().Draw(rt, "quoted")
		field := text
		if quoted {
			field = `"` + text + `"`
		}
		f := csvOf("a,f,d,n,b,z\n0," + field + "," + field + ",0,,z\n0,0,0," + field + ",,z\n")
		p := plan(t, f, nil, in("f", tensor.FP32, -1), in("d", tensor.FP64, -1), in("n", tensor.Int64, -1))
		r, err := rows.Open(t.Context(), f, rows.Part{To: f.Source.Size()}, p, nil)
		if err != nil {
			rt.Fatal(err)
		}
		defer r.Close()
		var b rows.Block
		next := func() bool {
			if err := r.Next(t.Context(), &b, 1); err != nil {
				rt.Fatal(err)
			}
			return b.Rows == 1
		}
		_, err64 := strconv.ParseFloat(text, 64)
		v32, err32 := strconv.ParseFloat(text, 32)
		v64, _ := strconv.ParseFloat(text, 64)
		wantFloat := err32 == nil && err64 == nil && !strings.ContainsAny(text, "xX_")
		if strings.EqualFold(strings.TrimLeft(text, "+-"), "nan") { // strconv takes it without a sign
			wantFloat, v32, v64 = true, math.NaN(), math.NaN()
		}
		if got := next(); got != wantFloat {
			rt.Fatalf("%q as a float: taken %v, want %v: %v", text, got, wantFloat, b.Bad)
		}
		if wantFloat {
			f32, _ := tensor.View[float32](&b.Inputs[0])
			f64, _ := tensor.View[float64](&b.Inputs[1])
			if same := func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b }; !same(float64(f32[0]), v32) || !same(f64[0], v64) {
				rt.Fatalf("%q: got %v and %v, want %v and %v", text, f32[0], f64[0], v32, v64)
			}
		}
		whole, errInt := strconv.ParseInt(text, 10, 64)
		if got := next(); got != (errInt == nil) {
			rt.Fatalf("%q as an integer: taken %v, want %v: %v", text, got, errInt == nil, b.Bad)
		}
		if errInt == nil {
			if n, _ := tensor.View[int64](&b.Inputs[2]); n[0] != whole {
				rt.Fatalf("%q: got %v, want %v", text, n[0], whole)
			}
		}
	})
}

// read gives a file's rows in parts and blocks of the given sizes; ok is false
// where the file cannot be read.
func read(t *testing.T, f *rows.File, inputs []driver.TensorInfo, pass []string, partBytes int64, size int, o *rows.ReadOptions) (got reading, ok bool) {
	s, err := rows.ReadSchema(t.Context(), f)
	if err != nil {
		return got, false
	}
	p, err := rows.NewPlan(&driver.Signature{Inputs: inputs, Outputs: []driver.TensorInfo{in("y", tensor.FP32, -1)}}, s, &rows.PlanOptions{Pass: pass})
	if err != nil {
		return got, false
	}
	got, _ = readAll(t, f, p, partBytes, size, o)
	return got, true
}

// Whatever the bytes are: nothing panics, parts and blocks do not show, and what
// encoding/csv takes is read as it reads it.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "a,b\r\n1,\"2\"\r\n\r\n3,4", "\ufeff\"a\",b\n\"1\n,\"\"\",2\n3,4\n", "a,b\n1,\"2\n3,4\n\"5\",6\n", "a,b\n1\n1,2,3\nx,y\n,\n", "a,b\n1,\"2\"3\n4,5\"\n6,\"", "\n\na,b\n\n1,2", "a,b\r\n1,2\r"} {
		f.Add([]byte(s), uint8(7), uint8(2), uint8(20))
	}
	f.Fuzz(func(t *testing.T, data []byte, part, size, row uint8) {
		file := csvOf(string(data))
		inputs, pass := []driver.TensorInfo{in("a", tensor.FP32, -1)}, []string{"a", "b"}
		o := &rows.ReadOptions{MaxRow: max(int(row), 1)}
		for _, o := range []*rows.ReadOptions{nil, o} {
			whole, ok := read(t, file, inputs, pass, 1<<40, 1<<10, o)
			if !ok {
				return
			}
			parts, ok := read(t, file, inputs, pass, int64(max(part, 1)), int(max(size, 1)), o)
			if diff := cmp.Diff(whole, parts); !ok || diff != "" {
				t.Errorf("in parts of %d and blocks of %d (-whole +parts):\n%s", part, size, diff)
			}
		}
		texts, ok := read(t, file, []driver.TensorInfo{in("a", tensor.Bytes, -1)}, pass, 1<<40, 1<<10, nil)
		all, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff")))).ReadAll()
		if err != nil || !ok {
			return
		}
		var want []string
		at := map[string]int{}
		for i, name := range all[0] {
			at[name] = i
		}
		for _, rec := range all[1:] {
			want = append(want, rec[at["a"]]+" a="+rec[at["a"]]+" b="+rec[at["b"]])
		}
		for i := range texts.Rows { // encoding/csv takes carriage returns out of quotes
			texts.Rows[i] = strings.ReplaceAll(texts.Rows[i], "\r\n", "\n")
		}
		if diff := cmp.Diff(want, texts.Rows); diff != "" || len(texts.Bad) > 0 {
			t.Errorf("(-encoding/csv +got):\n%s\nbad: %v", diff, texts.Bad)
		}
	})
}

// Whatever the bytes are: nothing panics, parts and blocks do not show, and
// rows are good just where encoding/json takes the line and it has what is wanted.
func FuzzJSONL(f *testing.F) {
	for _, s := range []string{`{"x":[1,2],"id":7}`, `{"x":[1,2],"id":7}` + "\n" + `{"id":{"a":[null,"\u00e9\ud83d\ude00"]},"x":[1.5e3,-2]}` + "\r\n", `{"x":[1,` + "\n" + `2],"id":1}`, `{"x":[1,2],"x":[1,2],"id":1}`, `{"x":[1,null],"id":1}` + "\n\n[]\n{}\n", `{"x":[[1],[2]],"id":"` + "\xff" + `"}`, `{"x":[1e39,2],"id":01}`} {
		f.Add([]byte(s+"\n"+`{"x":[1,2],"id":7}`), uint8(7), uint8(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, part, size uint8) {
		file := jsonlOf(string(data))
		inputs, pass := []driver.TensorInfo{in("x", tensor.FP32, -1, 2)}, []string{"id"}
		o := &rows.ReadOptions{NoMissing: true}
		whole, ok := read(t, file, inputs, pass, 1<<40, 1<<10, o)
		if !ok {
			return
		}
		parts, ok := read(t, file, inputs, pass, int64(max(part, 1)), int(max(size, 1)), o)
		if diff := cmp.Diff(whole, parts); !ok || diff != "" {
			t.Errorf("in parts of %d and blocks of %d (-whole +parts):\n%s", part, size, diff)
		}
		var want []string
		lines := 0
		for line := range bytes.SplitSeq(bytes.TrimPrefix(data, []byte("\ufeff")), []byte("\n")) {
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			lines++
			if row, ok := decoded(line); ok {
				want = append(want, row)
			}
		}
		if diff := cmp.Diff(want, whole.Rows); diff != "" && !unusual(data) {
			t.Errorf("(-encoding/json +got):\n%s\nbad: %v", diff, whole.Bad)
		}
		if len(whole.Rows)+len(whole.Bad) != lines {
			t.Errorf("got %d rows and %d bad ones of %d lines", len(whole.Rows), len(whole.Bad), lines)
		}
	})
}

// decoded is a line as encoding/json reads it; ok is false where it is no row.
func decoded(line []byte) (row string, ok bool) {
	d := json.NewDecoder(bytes.NewReader(line))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return "", false
	}
	values := map[string]json.RawMessage{}
	for d.More() {
		key, err := d.Token()
		name, isKey := key.(string)
		var v json.RawMessage
		if err != nil || !isKey || d.Decode(&v) != nil || values[name] != nil && (name == "x" || name == "id") {
			return "", false
		}
		values[name] = v
	}
	if _, err := d.Token(); err != nil {
		return "", false
	}
	if _, err := d.Token(); err != io.EOF {
		return "", false
	}
	var x []json.Number
	if raw := values["x"]; json.Unmarshal(raw, &x) != nil || len(x) != 2 || bytes.ContainsAny(raw, `"n`) { // json.Number takes strings and null
		return "", false
	}
	for _, n := range x {
		v, err := strconv.ParseFloat(string(n), 32)
		if err != nil {
			return "", false
		}
		row += fmt.Sprint(float32(v)) + " "
	}
	id := string(values["id"])
	if id == "" {
		id = "null"
	}
	return row + "id=" + id, true
}

// unusual tells whether data has what we refuse and encoding/json does not:
// strings that are not UTF-8 or with half a surrogate, keys that occur twice or
// differ in case within a value, and what nests deeply.
func unusual(data []byte) bool {
	return !utf8.Valid(data) || bytes.Contains(data, []byte(`\u`)) || bytes.Count(data, []byte("[")) > 40 || bytes.Count(data, []byte("{")) > bytes.Count(data, []byte("\n"))+1
}
