package rows_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// Files of pyarrow, which testdata/parquet/make.py wrote, have the rows that
// pyarrow says.
func TestParquetArrow(t *testing.T) {
	text, err := os.ReadFile("testdata/parquet/rows.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var want []map[string]any
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		d.UseNumber()
		var row map[string]any
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		want = append(want, row)
	}
	files, err := filepath.Glob("testdata/parquet/*.parquet")
	if err != nil || len(files) != 4 {
		t.Fatalf("want 4 files, got %v, %v", files, err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f := parquetOf(file)
			s, err := rows.ReadSchema(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			p := &rows.Plan{}
			for _, c := range s.Columns {
				if c.List {
					p.Inputs = append(p.Inputs, rows.Input{Name: c.Name, Type: tensor.FP64, Shape: []int64{int64(c.Length)}, Columns: []string{c.Name}})
				} else {
					p.Pass = append(p.Pass, c.Name)
				}
			}
			n := 0
			parts, err := rows.Split(t.Context(), f, &rows.SplitOptions{PartBytes: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range parts {
				r, err := rows.Open(t.Context(), f, part, p, nil)
				if err != nil {
					t.Fatal(err)
				}
				var b rows.Block
				for err = r.Next(t.Context(), &b, 17); err == nil; err = r.Next(t.Context(), &b, 17) {
					for i := range b.Rows {
						compareRow(t, n, want[n], &b, i)
						n++
					}
				}
				if len(b.Bad) > 0 || err.Error() != "EOF" {
					t.Fatal(err, b.Bad)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
			if n != len(want) {
				t.Errorf("want %d rows, got %d", len(want), n)
			}
		})
	}
}

func compareRow(t *testing.T, n int, want map[string]any, b *rows.Block, i int) {
	t.Helper()
	for k := range b.Pass {
		v := &b.Pass[k]
		got := pqShow(v, i)
		w, ok := want[v.Name]
		said := fmt.Sprint(w)
		if w == nil {
			said = "null"
		} else if v.Kind == rows.Float || v.Kind == rows.Double {
			f, _ := strconv.ParseFloat(said, 64)
			said = fmt.Sprint(f)
		}
		if !ok || got != said {
			t.Fatalf("row %d column %q: want %q, got %q", n+1, v.Name, said, got)
		}
	}
	for k := range b.Inputs {
		x, _ := tensor.View[float64](&b.Inputs[k])
		width := len(x) / b.Rows
		var list []float64
		for _, v := range want[b.Inputs[k].Name].([]any) {
			f, _ := v.(json.Number).Float64()
			list = append(list, f)
		}
		if d := cmp.Diff(list, x[i*width:(i+1)*width]); d != "" {
			t.Fatalf("row %d list %q: (-want +got)\n%s", n+1, b.Inputs[k].Name, d)
		}
	}
}
