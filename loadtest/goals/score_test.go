//go:build linux && cgo

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// Both formats have the same rows, under the names that the models' input takes
// without a mapping.
func TestRowsToScore(t *testing.T) {
	const n = 5000
	b := &bench{dir: t.TempDir()}
	read := func(format rows.Format) []float32 {
		path, err := b.scoredFile(format, n)
		if err != nil {
			t.Fatal(err)
		}
		again, err := b.scoredFile(format, n)
		if err != nil || again != path {
			t.Fatalf("want %s kept, got %s, %v", path, again, err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f := &rows.File{Source: inMemory(file), Name: path, Format: format}
		plan := &rows.Plan{Inputs: []rows.Input{{Name: "x", Type: tensor.FP32, Shape: []int64{2}, Columns: []string{"x_0", "x_31"}}}}
		parts, err := rows.Split(t.Context(), f, nil)
		if err != nil || len(parts) != 1 {
			t.Fatalf("want a part, got %v, %v", parts, err)
		}
		r, err := rows.Open(t.Context(), f, parts[0], plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var all []float32
		var block rows.Block
		for err = r.Next(t.Context(), &block, 999); err == nil; err = r.Next(t.Context(), &block, 999) {
			x, _ := tensor.View[float32](&block.Inputs[0])
			all = append(all, x...)
		}
		if !errors.Is(err, io.EOF) || len(block.Bad) > 0 {
			t.Fatal(err, block.Bad)
		}
		return all
	}
	parquet, csv := read(rows.Parquet), read(rows.CSV)
	if len(parquet) != 2*n || len(csv) != 2*n {
		t.Fatalf("want %d numbers, got %d and %d", 2*n, len(parquet), len(csv))
	}
	for i := range parquet {
		if parquet[i] != csv[i] {
			t.Fatalf("number %d is %v in Parquet and %v in CSV", i, parquet[i], csv[i])
		}
	}
}

type inMemory []byte

func (m inMemory) Size() int64 { return int64(len(m)) }

func (m inMemory) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(m[off : off+n]))), nil
}

func TestScoresAreCompared(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ours := write("ours", "y_0,y_1\n1,2\n3,4e-9\n")
	for _, c := range []struct {
		name, theirs string
		n            int
		same         bool
	}{
		{"same", "\"y_0\",\"y_1\"\n1.00001,2\n3,0\n", 2, true},
		{"a row less", "\"y_0\",\"y_1\"\n1,2\n", 2, false},
		{"both too few", "\"y_0\",\"y_1\"\n1,2\n3,0\n", 3, false},
		{"a number", "\"y_0\",\"y_1\"\n1,2\n3,1\n", 2, false},
		{"a column", "\"y_0\",\"z\"\n1,2\n3,0\n", 2, false},
		{"columns", "\"y_0\"\n1\n3\n", 2, false},
		{"no number", "\"y_0\",\"y_1\"\n1,2\n3,x\n", 2, false},
	} {
		if err := sameScores(ours, write("theirs", c.theirs), c.n); (err == nil) != c.same {
			t.Errorf("%s: want same %v, got %v", c.name, c.same, err)
		}
	}
}
