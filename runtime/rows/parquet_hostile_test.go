package rows_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// pqAll reads every column that can be read, and at most 100,000 rows.
func pqAll(ctx context.Context, f *rows.File) error {
	s, err := rows.ReadSchema(ctx, f)
	if err != nil {
		return err
	}
	p := &rows.Plan{}
	seen := map[string]bool{}
	for _, c := range s.Columns {
		if seen[c.Name] {
			continue
		}
		seen[c.Name] = true
		to := tensor.FP64
		if c.Kind == rows.Text || c.Kind == rows.Bytes {
			to = tensor.Bytes
		}
		if c.List {
			p.Inputs = append(p.Inputs, rows.Input{Name: c.Name, Type: to, Shape: []int64{3}, Columns: []string{c.Name}})
		} else {
			p.Pass = append(p.Pass, c.Name)
			p.Inputs = append(p.Inputs, rows.Input{Name: c.Name, Type: to, Columns: []string{c.Name}})
		}
	}
	parts, err := rows.Split(ctx, f, &rows.SplitOptions{PartBytes: 1 << 20})
	if err != nil {
		return err
	}
	left := 100_000
	for _, part := range parts {
		r, err := rows.Open(ctx, f, part, p, nil)
		if err != nil {
			return err
		}
		var b rows.Block
		for err == nil && left > 0 {
			err = r.Next(ctx, &b, 1000)
			left -= 1000
		}
		if cerr := r.Close(); err == nil || errors.Is(err, io.EOF) {
			err = cerr
		}
		if err != nil || left <= 0 {
			return err
		}
	}
	return nil
}

// pqSmall is a file with a bit of everything.
func pqSmall(t testing.TB, opts ...parquet.WriterOption) []byte {
	return pqWrite(t, pqColumns(), 60, append(opts, parquet.PageBufferSize(200), parquet.MaxRowsPerRowGroup(40))...)
}

// Whatever happens to a file's bytes, the error says that they are at fault.
func TestParquetCorrupt(t *testing.T) {
	var files [][]byte
	for _, codec := range []parquet.WriterOption{parquet.Compression(&parquet.Snappy), parquet.Compression(&parquet.Zstd), parquet.Compression(&parquet.Lz4Raw), parquet.DataPageVersion(1)} {
		files = append(files, pqSmall(t, codec))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	fine := 0
	for i := range 1000 {
		file := bytes.Clone(files[i%len(files)])
		for range 1 + rng.IntN(3) {
			file[rng.IntN(len(file))] ^= byte(1 << rng.IntN(8))
		}
		if i%5 == 0 {
			file = file[:rng.IntN(len(file))]
		}
		switch err := pqAll(t.Context(), parquetOf(file)); fault.CodeOf(err) {
		case fault.OK:
			fine++
		case fault.Invalid, fault.TooLarge, fault.Unsupported:
		default:
			t.Errorf("file %d: want an error that says that the file is at fault, got %v", i, err)
		}
	}
	if fine > 500 {
		t.Errorf("%d of 1000 broken files were read as if nothing were wrong", fine)
	}
}

// A page that is broken is named, and the rows before it have been given.
func TestParquetBrokenPage(t *testing.T) {
	columns := []pqColumn{
		{"a", parquet.Leaf(parquet.FloatType), false, func(i int) parquet.Value { return parquet.FloatValue(float32(i)) }},
		{"b", parquet.Int(64), false, func(i int) parquet.Value { return parquet.Int64Value(int64(i)) }},
	}
	file := pqWrite(t, columns, 4000, parquet.PageBufferSize(1000), parquet.MaxRowsPerRowGroup(2000))
	at := bytes.LastIndex(file, binary.LittleEndian.AppendUint64(nil, 3500))
	file[at]++
	f := parquetOf(file)
	p := plan(t, f, nil, in("a", tensor.FP32, -1), in("b", tensor.Int64, -1))
	r, err := rows.Open(t.Context(), f, rows.Part{From: 0, To: 2, Line: 1}, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b rows.Block
	given := int64(0)
	for err == nil {
		err = r.Next(t.Context(), &b, 300)
		for _, row := range b.At {
			if given++; row != given {
				t.Fatalf("want row %d, got %d", given, row)
			}
		}
	}
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), `test.parquet row group 1 column "b": a page has the checksum`) {
		t.Errorf("want what is broken, got %v", err)
	}
	if given < 2000 || given > 3500 || r.Lines() != given {
		t.Errorf("want the rows before the page, got %d (%d lines)", given, r.Lines())
	}
	if again := r.Next(t.Context(), &b, 300); again == nil || again.Error() != err.Error() || b.Rows != 0 {
		t.Errorf("want the same error again, got %v and %d rows", again, b.Rows)
	}
}

// footer ends a file that has only this footer.
func footer(b ...byte) []byte {
	file := append([]byte("PAR1"), b...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(b)))
	return append(file, "PAR1"...)
}

func TestParquetRefuses(t *testing.T) {
	var decimal, timestamp bytes.Buffer
	type price struct {
		P int64 `parquet:"p,decimal(2:18)"`
	}
	w := parquet.NewGenericWriter[price](&decimal)
	if _, err := w.Write([]price{{1}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	old := parquet.NewWriter(&timestamp, parquet.NewSchema("t", parquet.Group{"p": parquet.Leaf(parquet.Int96Type)}))
	if _, err := old.WriteRows([]parquet.Row{{parquet.ValueOf(deprecated.Int96{1, 2, 3}).Level(0, 0, 0)}}); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	good := pqSmall(t)
	brotli := pqWrite(t, []pqColumn{{"p", parquet.Int(64), false, func(int) parquet.Value { return parquet.Int64Value(1) }}}, 3, parquet.Compression(&parquet.Brotli))
	for _, c := range []struct {
		name string
		file []byte
		code fault.Code
		want string
	}{
		{"nothing", nil, fault.Invalid, "want a Parquet file, got 0 bytes"},
		{"text", []byte("a,b,c\n1,2,3\n4,5,6\n"), fault.Invalid, `which ends with "PAR1", got "5,6\n"`},
		{"cut off", good[:len(good)-100], fault.Invalid, "want a Parquet file, which ends with"},
		{"encrypted", []byte("PARE\x00\x00\x00\x00\x00\x00PARE"), fault.Unsupported, "encrypted"},
		{"footer beyond", append([]byte("PAR1\x00\x00"), "\xff\xff\xff\x7fPAR1"...), fault.Invalid, "the footer says that it has 2147483647 bytes"},
		{"empty footer", footer(), fault.Invalid, "the metadata ends early"},
		{"no schema", footer(0), fault.Invalid, "it has no schema"},
		{"two billion elements", footer(0x15, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 7, 0), fault.Invalid, "a list of 2147483647 elements"},
		{"deep", footer(bytes.Repeat([]byte{0x1c}, 100)...), fault.Invalid, "nests deeper"},
		{"deep lists", footer(append([]byte{0x79}, bytes.Repeat([]byte{0x19}, 100)...)...), fault.Invalid, "nests deeper"},
		{"row groups elsewhere", append(append([]byte("PAR1"), good[len(good)/2:]...)[:0:0], append([]byte("PAR1"), good[len(good)*3/5:]...)...), fault.Invalid, "the footer begins at"},
		{"decimal", decimal.Bytes(), fault.Unsupported, `column "p" is a decimal`},
		{"int96", timestamp.Bytes(), fault.Unsupported, `column "p" is an INT96 timestamp`},
		{"brotli", brotli, fault.Unsupported, "got codec BROTLI"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := parquetOf(c.file)
			err := pqAll(t.Context(), f)
			if fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %v: …%s…, got %v: %v", c.code, c.want, fault.CodeOf(err), err)
			}
			if !strings.Contains(fmt.Sprint(err), "test.parquet") {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
}

// What an input wants is said before a row is read.
func TestParquetPlanRefuses(t *testing.T) {
	columns := []pqColumn{
		{"n", parquet.Int(64), false, func(i int) parquet.Value { return parquet.Int64Value(int64(i)) }},
		{"s", parquet.String(), false, func(int) parquet.Value { return parquet.ByteArrayValue([]byte("x")) }},
	}
	f := parquetOf(pqWrite(t, columns, 3))
	for _, c := range []struct {
		name, want string
		in         rows.Input
	}{
		{"text", `want FP32 for input "x", got text in column "s"`, rows.Input{Name: "x", Type: tensor.FP32, Columns: []string{"s"}}},
		{"numbers", `want BYTES for input "x", got INT64 in column "n"`, rows.Input{Name: "x", Type: tensor.Bytes, Columns: []string{"n"}}},
		{"no list", `want lists of 2 for input "x", got INT64 in column "n"`, rows.Input{Name: "x", Type: tensor.FP32, Shape: []int64{2}, Columns: []string{"n"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := rows.Open(t.Context(), f, rows.Part{To: 1}, &rows.Plan{Inputs: []rows.Input{c.in}}, nil)
			if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want …%s…, got %v", c.want, err)
			}
		})
	}
}

// flaky is a source whose ranges end early after some, or wait for their context.
type flaky struct {
	memory
	good int
	hang bool
	seen chan struct{}
}

func (f *flaky) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if f.good--; f.good >= 0 {
		return f.memory.Range(ctx, off, n)
	}
	if f.hang {
		close(f.seen)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return f.memory.Range(ctx, off, n/2)
}

// A store that fails is not the file's fault, and who gives up waits for nothing.
func TestParquetSourceFails(t *testing.T) {
	file := pqWrite(t, []pqColumn{{"n", parquet.Int(64), false, func(i int) parquet.Value { return parquet.Int64Value(int64(i)) }}}, 3000)
	p := &rows.Plan{Pass: []string{"n"}}
	open := func(ctx context.Context, src rows.Source) (rows.Reader, error) {
		return rows.Open(ctx, &rows.File{Source: src, Name: "test.parquet", Format: rows.Parquet}, rows.Part{To: 1}, p, nil)
	}
	for good := range 2 {
		r, err := open(t.Context(), &flaky{memory: file, good: good})
		if err == nil {
			err = r.Next(t.Context(), &rows.Block{}, 10)
			r.Close()
		}
		if fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("%d good ranges: want %v, got %v", good, fault.Unavailable, err)
		}
	}
	src := &flaky{memory: file, good: 1, hang: true, seen: make(chan struct{})}
	r, err := open(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-src.seen
		cancel()
	}()
	if err := r.Next(ctx, &rows.Block{}, 10); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("want %v, got %v", fault.Canceled, err)
	}
	if err := r.Close(); err != nil { // ends what still hangs
		t.Error(err)
	}
}

// pqCounting is a source that knows what was asked of it.
type pqCounting struct {
	memory
	ranges chan [2]int64
}

func (c *pqCounting) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	c.ranges <- [2]int64{off, n}
	return c.memory.Range(ctx, off, n)
}

// Columns that lie together are fetched together, what no input wants is not
// fetched, and of a row group that is larger than memory may hold only windows.
func TestParquetFetches(t *testing.T) {
	const n = 600_000
	schema := &rows.Schema{}
	var outputs []rows.Output
	for i := range 24 {
		name := fmt.Sprintf("c%02d", i)
		outputs = append(outputs, rows.Output{Name: name, Type: tensor.FP32})
		schema.Columns = append(schema.Columns, rows.Column{Name: name, Kind: rows.Float})
	}
	var out bytes.Buffer
	w, err := rows.NewWriter(&out, rows.Parquet, schema, outputs, nil)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, n)
	for i := range values {
		values[i] = rng.Float32()
	}
	var tensors []tensor.Tensor
	for i := range outputs {
		tensors = append(tensors, tensor.Of(outputs[i].Name, []int64{n}, values))
	}
	if err := w.Write(&rows.Block{Rows: n}, tensors); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	read := func(columns ...string) (ranges int, fetched, longest int64) {
		src := &pqCounting{memory: out.Bytes(), ranges: make(chan [2]int64, 10000)}
		f := &rows.File{Source: src, Name: "test.parquet", Format: rows.Parquet}
		p := &rows.Plan{Inputs: []rows.Input{{Name: "x", Type: tensor.FP32, Shape: []int64{int64(len(columns))}, Columns: columns}}}
		got := 0
		parts, err := rows.Split(t.Context(), f, &rows.SplitOptions{PartBytes: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		r, err := rows.Open(t.Context(), f, parts[0], p, nil)
		if err != nil {
			t.Fatal(err)
		}
		var b rows.Block
		for err = r.Next(t.Context(), &b, 50_000); err == nil; err = r.Next(t.Context(), &b, 50_000) {
			x, _ := tensor.View[float32](&b.Inputs[0])
			for i := range b.Rows {
				for k := range columns {
					if x[i*len(columns)+k] != values[got+i] {
						t.Fatalf("row %d column %d: want %v, got %v", got+i, k, values[got+i], x[i*len(columns)+k])
					}
				}
			}
			got += b.Rows
		}
		if !errors.Is(err, io.EOF) || got != n {
			t.Fatalf("%d rows, %v", got, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		close(src.ranges)
		for r := range src.ranges {
			ranges++
			fetched += r[1]
			longest = max(longest, r[1])
		}
		return ranges, fetched, longest
	}
	size := int64(out.Len())
	if ranges, fetched, _ := read("c03", "c04", "c05"); ranges > 10 || fetched > size/6 {
		t.Errorf("three neighbours of 24: %d ranges, %d of %d bytes", ranges, fetched, size)
	}
	if _, fetched, _ := read("c00", "c23"); fetched > size/10 {
		t.Errorf("two of 24, far apart: %d of %d bytes", fetched, size)
	}
	var all []string
	for _, o := range outputs {
		all = append(all, o.Name)
	}
	if ranges, fetched, longest := read(all...); fetched > size+size/50+256<<10 || longest > 8<<20 || ranges > 60 {
		t.Errorf("all columns: %d ranges, %d of %d bytes, the longest %d", ranges, fetched, size, longest)
	}
}

// FuzzParquet reads what may be a Parquet file: no panic, no memory that the
// bytes do not account for, and an error that blames the file.
func FuzzParquet(f *testing.F) {
	f.Add(pqSmall(f))
	f.Add(pqSmall(f, parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(1)))
	f.Add(pqBlocks(f, 0, 20, 20))
	f.Add(footer(0x15, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 7, 0))
	f.Fuzz(func(t *testing.T, file []byte) {
		switch err := pqAll(t.Context(), parquetOf(file)); fault.CodeOf(err) {
		case fault.OK, fault.Invalid, fault.TooLarge, fault.Unsupported:
		default:
			t.Errorf("want an error that says that the file is at fault, got %v", err)
		}
	})
}
