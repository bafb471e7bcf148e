package rows_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

func columns(names ...string) *rows.Schema {
	s := &rows.Schema{}
	for _, n := range names {
		s.Columns = append(s.Columns, rows.Column{Name: n})
	}
	return s
}

func listed(name string, n int) *rows.Schema {
	return &rows.Schema{Columns: []rows.Column{{Name: "id"}, {Name: name, Kind: rows.JSON, List: true, Length: n}}}
}

func TestNewPlan(t *testing.T) {
	y := in("y", tensor.FP32, -1, 3)
	x3 := rows.Input{Name: "x", Type: tensor.FP32, Shape: []int64{3}}
	with := func(i rows.Input, columns ...string) []rows.Input {
		i.Columns = columns
		return []rows.Input{i}
	}
	tests := []struct {
		name   string
		inputs []driver.TensorInfo
		schema *rows.Schema
		opts   *rows.PlanOptions
		want   []rows.Input
		code   fault.Code
		err    string
	}{
		{"a column for each input", []driver.TensorInfo{in("a", tensor.FP32, -1, 1), in("b", tensor.Bytes, -1)}, columns("b", "a"), nil,
			[]rows.Input{{Name: "a", Type: tensor.FP32, Shape: []int64{1}, Columns: []string{"a"}}, {Name: "b", Type: tensor.Bytes, Shape: []int64{}, Columns: []string{"b"}}}, 0, ""},
		{"a list", []driver.TensorInfo{in("x", tensor.FP32, -1, 3)}, listed("x", 3), nil, with(x3, "x"), 0, ""},
		{"a list of unknown length", []driver.TensorInfo{in("x", tensor.FP32, -1, 3)}, listed("x", 0), nil, with(x3, "x"), 0, ""},
		{"a list of another name", []driver.TensorInfo{in("x", tensor.FP32, -1, 3)}, listed("v", 3), &rows.PlanOptions{Columns: map[string]string{"v": "x"}, Pass: []string{"id"}}, with(x3, "v"), 0, ""},
		{"numbered columns", []driver.TensorInfo{in("x", tensor.FP32, -1, 3)}, columns("x_2", "x_0", "x_1", "x_3"), nil, with(x3, "x_0", "x_1", "x_2"), 0, ""},
		{"numbered columns without a line", []driver.TensorInfo{in("x", tensor.FP32, -1, 3)}, columns("x2", "x0", "x1"), nil, with(x3, "x0", "x1", "x2"), 0, ""},
		{"mapped columns in the file's order", []driver.TensorInfo{in("x", tensor.FP32, -1, 3)}, columns("c", "z", "a", "b"), &rows.PlanOptions{Columns: map[string]string{"a": "x", "b": "x", "c": "x"}}, with(x3, "c", "a", "b"), 0, ""},
		{"as long as there are columns", []driver.TensorInfo{in("x", tensor.FP32, -1, -1)}, columns("x_0", "x_1", "x_2"), nil, with(x3, "x_0", "x_1", "x_2"), 0, ""},
		{"as long as lists are", []driver.TensorInfo{in("x", tensor.FP32, -1, -1)}, listed("x", 3), nil, with(x3, "x"), 0, ""},
		{"no rank", []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Unranked: true}}, listed("x", 3), nil, with(x3, "x"), 0, ""},
		{"one row a run", []driver.TensorInfo{in("x", tensor.FP32, 1, 3)}, listed("x", 3), nil, with(x3, "x"), 0, ""},
		{"no dimension for rows", []driver.TensorInfo{in("x", tensor.FP32, 3)}, listed("x", 3), nil, with(rows.Input{Name: "x", Type: tensor.FP32, Shape: []int64{3}, Whole: true}, "x"), 0, ""},

		{"all that is wrong", []driver.TensorInfo{in("petal_length", tensor.FP32, -1), in("b", tensor.FP32, -1, 3)}, columns("petal_lenght", "b_0", "b_1"), &rows.PlanOptions{Columns: map[string]string{"b_0": "c"}, Pass: []string{"id", "b_0", "b_0"}}, nil, fault.Invalid,
			`rows.NewPlan: column "b_0" is for input "c", which the model has not; want a column "petal_length" (for the input of its name), got none (did you mean "petal_lenght"?); want a column "b" (a list of 3 for the input of its name, or as many columns "b_0" …), got none; want a column "id" (pass through), got none; column "b_0" is passed through twice; the file has 3 columns: "petal_lenght", "b_0", "b_1"`},
		{"a column twice", []driver.TensorInfo{in("x", tensor.FP32, -1)}, columns("x", "y", "x"), nil, nil, fault.Invalid,
			`rows.NewPlan: want one column "x" (for the input of its name), got several; the file has 3 columns: "x", "y", "x"`},
		{"too few columns", []driver.TensorInfo{in("x", tensor.FP32, -1, 3)}, columns("a", "b"), &rows.PlanOptions{Columns: map[string]string{"a": "x", "b": "x"}}, nil, fault.Invalid,
			`rows.NewPlan: input "x": want 3 columns, or one with lists of 3, got 2 columns: "a", "b"; the file has 2 columns: "a", "b"`},
		{"a column without lists", []driver.TensorInfo{in("x", tensor.FP32, -1, 3)}, columns("x"), nil, nil, fault.Invalid,
			`rows.NewPlan: input "x": want a list of 3 in column "x", or columns "x_0" to "x_2", got a column without lists; the file has 1 column: "x"`},
		{"lists of another length", []driver.TensorInfo{in("x", tensor.FP32, -1, 3)}, listed("x", 4), nil, nil, fault.Invalid,
			`rows.NewPlan: input "x": want 3 elements in a row, got lists of 4 in column "x"; the file has 2 columns: "id", "x"`},
		{"two dynamic dimensions", []driver.TensorInfo{in("x", tensor.FP32, -1, -1, -1)}, listed("x", 4), nil, nil, fault.Unsupported,
			`rows.NewPlan: input "x": want at most one dynamic dimension in a row, got shape [-1 -1 -1]; the file has 2 columns: "id", "x"`},
		{"too many elements", []driver.TensorInfo{in("x", tensor.FP32, -1, 1<<20, 1<<20)}, listed("x", 4), nil, nil, fault.Unsupported,
			`rows.NewPlan: input "x": want a row of 1 to 2^31 elements, got shape [-1 1048576 1048576]; the file has 2 columns: "id", "x"`},
		{"nothing in the file", []driver.TensorInfo{in("x", tensor.FP32, -1)}, &rows.Schema{}, nil, nil, fault.Invalid,
			`rows.NewPlan: want a column "x" (for the input of its name), got none; the file has no columns`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := rows.NewPlan(&driver.Signature{Inputs: tt.inputs, Outputs: []driver.TensorInfo{y}}, tt.schema, tt.opts)
			if tt.err != "" {
				if fault.CodeOf(err) != tt.code || err.Error() != tt.err {
					t.Fatalf("got %v\n%v\nwant %v\n%s", fault.CodeOf(err), err, tt.code, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, p.Inputs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanOutputs(t *testing.T) {
	any := []driver.TensorInfo{in("x", tensor.FP32, -1)}
	tests := []struct {
		name            string
		inputs, outputs []driver.TensorInfo
		want            []rows.Output
	}{
		{"rows, and names of classes", any, []driver.TensorInfo{in("label", tensor.Int64, -1), in("p", tensor.FP32, -1, 3), in("classes", tensor.Bytes, 3), in("v", tensor.FP32, -1, -1)}, []rows.Output{
			{Name: "label", Type: tensor.Int64, Shape: []int64{}}, {Name: "p", Type: tensor.FP32, Shape: []int64{3}}, {Name: "v", Type: tensor.FP32, Shape: []int64{-1}}}},
		{"keys of maps", any, []driver.TensorInfo{in("p", tensor.FP32, -1, -1), in("p_keys", tensor.Bytes, -1), in("q_keys", tensor.Bytes, -1)}, []rows.Output{
			{Name: "p", Type: tensor.FP32, Shape: []int64{-1}}, {Name: "q_keys", Type: tensor.Bytes, Shape: []int64{}}}},
		{"one row a run", []driver.TensorInfo{in("x", tensor.FP32, 1, 1)}, []driver.TensorInfo{in("p", tensor.FP32, 1, 3), in("q", tensor.FP32, 3)}, []rows.Output{
			{Name: "p", Type: tensor.FP32, Shape: []int64{3}}, {Name: "q", Type: tensor.FP32, Shape: []int64{3}, Whole: true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := rows.NewPlan(&driver.Signature{Inputs: tt.inputs, Outputs: tt.outputs}, columns("x"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, p.Outputs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	_, err := rows.NewPlan(&driver.Signature{Inputs: any, Outputs: []driver.TensorInfo{in("sum", tensor.FP32)}}, columns("x"), nil)
	if fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("without an output of rows: got %v", err)
	}
}

func TestOutputSchema(t *testing.T) {
	s := &rows.Schema{Columns: []rows.Column{{Name: "a", Kind: rows.Int}, {Name: "b", Kind: rows.Text}}}
	p := &rows.Plan{Pass: []string{"b", "a"}, Outputs: []rows.Output{{Name: "y", Type: tensor.FP16}, {Name: "z", Type: tensor.Uint8, Shape: []int64{2, 2}}, {Name: "w", Type: tensor.Bytes, Shape: []int64{-1}}}}
	got, err := rows.OutputSchema(s, p)
	if err != nil {
		t.Fatal(err)
	}
	want := []rows.Column{{Name: "b", Kind: rows.Text}, {Name: "a", Kind: rows.Int}, {Name: "y", Kind: rows.Float},
		{Name: "z", Kind: rows.Uint, List: true, Length: 4}, {Name: "w", Kind: rows.Bytes, List: true}}
	if diff := cmp.Diff(want, got.Columns); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p.Outputs[0].Name = "a"
	if _, err := rows.OutputSchema(s, p); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("two columns of one name: got %v", err)
	}
}

func TestDetect(t *testing.T) {
	gz, zst := "\x1f\x8b\x08", "\x28\xb5\x2f\xfd"
	tests := []struct {
		name, first string
		format      rows.Format
		compression rows.Compression
	}{
		{"a.csv", "a,b\n", rows.CSV, rows.None},
		{"in/A.CSV.GZ", gz, rows.CSV, rows.Gzip},
		{"a.csv.gz", "a,b\n", rows.CSV, rows.None}, // a store that decompressed it
		{"a.csv", gz, rows.CSV, rows.Gzip},
		{"a.jsonl.zst", zst, rows.JSONL, rows.Zstd},
		{"a.ndjson", "", rows.JSONL, rows.None},
		{"a.csv.gz", "", rows.CSV, rows.Gzip},
		{"a.parquet", "PAR1", rows.Parquet, rows.None},
		{"a.csv", "PAR1", rows.Parquet, rows.None},
		{"part-0001", "PAR1", rows.Parquet, rows.None},
		{"part-0001", " \n{\"a\":1}", rows.JSONL, rows.None},
		{"part-0001", "a,b", "", rows.None},
		{"part-0001", gz, "", rows.Gzip},
		{"a.txt", "a,b", "", rows.None},
	}
	for _, tt := range tests {
		if f, c := rows.Detect(tt.name, []byte(tt.first)); f != tt.format || c != tt.compression {
			t.Errorf("Detect(%q, %q) = %q, %q; want %q, %q", tt.name, tt.first, f, c, tt.format, tt.compression)
		}
	}
	f, err := rows.Identify(t.Context(), "s3://b/a.csv", memory("a,b\n1,2\n"))
	if err != nil || f.Format != rows.CSV {
		t.Errorf("Identify: got %v, %v", f, err)
	}
	if _, err := rows.Identify(t.Context(), "a.txt", memory("")); fault.CodeOf(err) != fault.UnsupportedMedia {
		t.Errorf("Identify of an unknown name: got %v", err)
	}
}
