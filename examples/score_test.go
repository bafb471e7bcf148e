package examples_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/quota"
	"godwit.dev/runtime/tensor"
)

// loaded is an example that scores.
func loaded(t *testing.T, dir string) *app.Function {
	t.Helper()
	f, err := app.Open(dir, drivertest.ONNXRuntime(t), &app.Options{Quota: quota.Quota{CPUs: float64(runtime.NumCPU())}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(t.Context()) })
	return f
}

// score scores a file as the example's spec says, but for what o says, and gives
// the rows as JSON.
func score(t *testing.T, f *app.Function, src string, o *app.ScoreOptions) []map[string]any {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "scores.jsonl")
	r, err := f.Score(t.Context(), &batch.Job{Input: src, Output: dst}, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Bad != 0 {
		bad, _ := os.ReadFile(dst + ".bad.jsonl")
		t.Fatalf("%s: bad rows:\n%s", src, bad)
	}
	text, err := os.ReadFile(dst)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range bytes.Lines(text) {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	return all
}

func heldOut(t *testing.T, name string) (head map[string]int, rows [][]string) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	all, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	head = map[string]int{}
	for i, column := range all[0] {
		head[column] = i
	}
	return head, all[1:]
}

// Rows of JSON Lines with a list and an id, and of CSV with a column for each
// pixel, have the answers that requests have, one by one.
func TestDigitsAreScored(t *testing.T) {
	f := loaded(t, "digits")
	head, rows := heldOut(t, "digits/heldout.csv")
	var text bytes.Buffer
	var want []map[string]any
	for i, row := range rows {
		pixels := make([]float32, 64)
		for k := range pixels {
			v, err := strconv.ParseFloat(row[head[fmt.Sprint("p", k)]], 32)
			if err != nil {
				t.Fatal(err)
			}
			pixels[k] = float32(v)
		}
		line, _ := json.Marshal(map[string]any{"id": i, "pixels": pixels, "note": "not used"})
		text.Write(append(line, '\n'))
		resp, err := f.Handler.Infer(t.Context(), &infer.Request{Model: "digits", Inputs: []tensor.Tensor{tensor.Of("pixels", []int64{1, 64}, pixels)}})
		if err != nil {
			t.Fatal(err)
		}
		answer := map[string]any{"id": float64(i)}
		for k := range resp.Outputs {
			switch o := &resp.Outputs[k]; o.Name {
			case "label":
				v, _ := tensor.View[int64](o)
				answer["label"] = v[0]
			case "probabilities":
				v, _ := tensor.View[float32](o)
				answer["probabilities"] = append([]float32{}, v...)
			}
		}
		want = append(want, answer)
		resp.Release()
	}
	src := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(src, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	lists := score(t, f, src, nil)
	columns := score(t, f, "digits/heldout.csv", &app.ScoreOptions{Columns: map[string]string{"p0..p63": "pixels"}, Pass: []string{"index"}, MaxBad: -1})
	if len(lists) != len(want) || len(columns) != len(want) {
		t.Fatalf("want %d rows, got %d and %d", len(want), len(lists), len(columns))
	}
	for i := range want {
		if got, want := lists[i]["id"], want[i]["id"]; got != want {
			t.Errorf("row %d: id %v, want %v", i, got, want)
		}
		if got, want := columns[i]["index"], rows[i][head["index"]]; got != want {
			t.Errorf("row %d: index %v, want %v", i, got, want)
		}
		for _, got := range []map[string]any{lists[i], columns[i]} {
			if int64(got["label"].(float64)) != want[i]["label"] {
				t.Errorf("row %d: label %v, want %v", i, got["label"], want[i]["label"])
			}
			for k, p := range got["probabilities"].([]any) {
				if got, want := float32(p.(float64)), want[i]["probabilities"].([]float32)[k]; got != want {
					t.Errorf("row %d: probability %d is %v, want %v", i, k, got, want)
				}
			}
		}
	}
}

// penguin is a row of a Parquet file.
type penguin struct {
	Index   int64    `parquet:"index"`
	Island  string   `parquet:"island,dict"`
	Sex     *string  `parquet:"sex,optional"`
	Length  *float64 `parquet:"bill_length_mm,optional"`
	Depth   *float64 `parquet:"bill_depth_mm,optional"`
	Flipper *float64 `parquet:"flipper_length_mm,optional"`
	Mass    *int32   `parquet:"body_mass_g,optional"`
}

// A table with words and missing values is scored by the names of its columns,
// from CSV and from Parquet, with the same answers.
func TestPenguinsAreScored(t *testing.T) {
	f := loaded(t, "penguins")
	head, rows := heldOut(t, "penguins/heldout.csv")
	var table []penguin
	for _, row := range rows {
		cell := func(column string) string { return row[head[column]] }
		number := func(column string) *float64 {
			v, err := strconv.ParseFloat(cell(column), 64)
			if err != nil {
				return nil
			}
			return &v
		}
		p := penguin{Island: cell("island"), Length: number("bill_length_mm"), Depth: number("bill_depth_mm"), Flipper: number("flipper_length_mm")}
		p.Index, _ = strconv.ParseInt(cell("index"), 10, 64)
		if sex := cell("sex"); sex != "" {
			p.Sex = &sex
		}
		if mass := number("body_mass_g"); mass != nil {
			grams := int32(*mass)
			p.Mass = &grams
		}
		table = append(table, p)
	}
	file := filepath.Join(t.TempDir(), "rows.parquet")
	if err := parquet.WriteFile(file, table); err != nil {
		t.Fatal(err)
	}
	fromCSV, fromParquet := score(t, f, "penguins/heldout.csv", nil), score(t, f, file, nil)
	right := 0
	for i, row := range rows {
		if fromCSV[i]["index"] != row[head["index"]] {
			t.Errorf("row %d: index %v, want %v", i, fromCSV[i]["index"], row[head["index"]])
		}
		if fromCSV[i]["output_label"] == row[head["species"]] {
			right++
		}
		fromCSV[i]["index"] = float64(table[i].Index) // Parquet tells numbers from text
	}
	if len(fromCSV) != 86 || right != 85 {
		t.Errorf("%d of %d are right, want 85 of 86", right, len(fromCSV))
	}
	if diff := cmp.Diff(fromCSV, fromParquet); diff != "" {
		t.Errorf("Parquet's answers differ (-csv +parquet):\n%s", diff)
	}
}
