package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"godwit.dev/internal/emulate"
)

// digit is a row of the digits model, and what it answers.
type digit struct {
	ID     int       `json:"id"`
	Pixels []float32 `json:"pixels"`
}

type scored struct {
	ID            *int      `json:"id,omitempty"`
	Label         int       `json:"label"`
	Probabilities []float64 `json:"probabilities"`
}

// digits are n rows; the same seed gives the same ones.
func digits(seed uint64, n int) []digit {
	r := rand.New(rand.NewPCG(seed, 1))
	all := make([]digit, n)
	for i := range all {
		all[i] = digit{ID: int(seed)*1000 + i, Pixels: make([]float32, 64)}
		for j := range all[i].Pixels {
			all[i].Pixels[j] = float32(r.IntN(17))
		}
	}
	return all
}

// lines are rows as JSON Lines, with other lines in front of rows by their index.
func lines(rows []digit, bad map[int]string) []byte {
	var b bytes.Buffer
	for i, row := range rows {
		if line, ok := bad[i]; ok {
			b.WriteString(line + "\n")
		}
		text, err := json.Marshal(row)
		if err != nil {
			panic(err)
		}
		b.Write(append(text, '\n'))
	}
	return b.Bytes()
}

// table is rows as CSV, a column for each pixel.
func table(rows []digit) []byte {
	var b bytes.Buffer
	b.WriteString("id")
	for j := range 64 {
		fmt.Fprintf(&b, ",pixels_%d", j)
	}
	for _, row := range rows {
		fmt.Fprintf(&b, "\r\n%d", row.ID)
		for _, p := range row.Pixels {
			fmt.Fprintf(&b, ",%g", p)
		}
	}
	return b.Bytes()
}

// scores appends those of a part, as JSON Lines or as CSV: id, label and a
// column for each probability.
func scores(all []scored, ext string, text []byte) ([]scored, error) {
	if ext == ".jsonl" {
		for line := range bytes.Lines(text) {
			var s scored
			if err := json.Unmarshal(line, &s); err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		return all, nil
	}
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(records) == 0 || len(records[0]) != 12 || strings.Join(records[0][:3], ",") != "id,label,probabilities_0" {
		return nil, fmt.Errorf("want a header with id, label and probabilities, got %.200q, %v", text, err)
	}
	for _, r := range records[1:] {
		s := scored{ID: new(int), Probabilities: make([]float64, 10)}
		if _, err := fmt.Sscan(strings.Join(r[:2], " "), s.ID, &s.Label); err != nil {
			return nil, err
		}
		for j := range s.Probabilities {
			if s.Probabilities[j], err = strconv.ParseFloat(r[2+j], 64); err != nil {
				return nil, err
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// request is rows as a request of the protocol.
func request(rows []digit) []byte {
	var data []float32
	for _, row := range rows {
		data = append(data, row.Pixels...)
	}
	text, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{"name": "pixels", "shape": []int{len(rows), 64}, "datatype": "FP32", "data": data}}})
	if err != nil {
		panic(err)
	}
	return text
}

// answer is the protocol's.
type answer struct {
	Outputs []struct {
		Name string
		Data []float64
	}
}

func (a *answer) rows() []scored {
	var all []scored
	for _, o := range a.Outputs {
		if o.Name == "label" {
			for len(all) < len(o.Data) {
				all = append(all, scored{Label: int(o.Data[len(all)])})
			}
		}
	}
	for _, o := range a.Outputs {
		if n := len(all); o.Name == "probabilities" && n > 0 {
			for i := range all {
				all[i].Probabilities = o.Data[i*len(o.Data)/n : (i+1)*len(o.Data)/n]
			}
		}
	}
	return all
}

// online asks a function for the rows, as a caller does.
func online(ctx context.Context, by http.RoundTripper, rows []digit) ([]scored, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://function/v2/models/digits/infer", bytes.NewReader(request(rows)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	var a answer
	if err := exchange(by, req, &a); err != nil {
		return nil, err
	}
	return a.rows(), nil
}

// same wants two lists of scores to be equal but for what other batches may do
// to a float.
func same(want, got []scored) error {
	if len(want) != len(got) {
		return fmt.Errorf("want %d rows, got %d", len(want), len(got))
	}
	for i := range want {
		bad := want[i].Label != got[i].Label || len(want[i].Probabilities) != len(got[i].Probabilities)
		for j := 0; !bad && j < len(want[i].Probabilities); j++ {
			w, g := want[i].Probabilities[j], got[i].Probabilities[j]
			bad = math.Abs(w-g) > 1e-5+1e-4*math.Abs(w)
		}
		if bad {
			return fmt.Errorf("row %d: want %v, got %v", i, want[i], got[i])
		}
	}
	return nil
}

// function is a folder with the digits model and a spec.
func function(a *addresses, name, yaml string) (string, error) {
	dir := filepath.Join(a.work, name, "digits")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	model, err := os.ReadFile(a.model)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "digits.onnx"), model, 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "godwit.yaml"), []byte("name: digits\nmodel: digits.onnx\n"+yaml), 0o644)
	}
	return dir, err
}

// start starts a function binary as a platform does; its log goes to a file.
func start(ctx context.Context, a *addresses, target, binary, dir string, opts *emulate.Options, env ...string) (*emulate.Instance, error) {
	log, err := os.OpenFile(filepath.Join(a.work, target+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"), "GODWIT_FUNCTION="+dir)
	if v := os.Getenv("GODWIT_ONNXRUNTIME"); v != "" {
		env = append(env, "GODWIT_ONNXRUNTIME="+v)
	}
	return emulate.Start(ctx, target, emulate.Command(binary, nil, env, log, log), opts)
}

// A bucket is a store as whoever puts rows in and takes scores out sees it.
type bucket interface {
	put(ctx context.Context, key string, data []byte) error
	get(ctx context.Context, key string) ([]byte, error)
	list(ctx context.Context, prefix string) ([]string, error)
	remove(ctx context.Context, key string) error
}

// object is one that goes in, and what is to come of it.
type object struct {
	key  string // below rows/
	data []byte
	rows []digit // that are scored; nil: none is, and it is put aside
	bad  int     // lines that are left out
}

// objects go in: good ones with odd names, one of CSV, one that takes long, one with bad
// lines, and one that is not what its name says.
func objects(n int) []object {
	var all []object
	for i := range n {
		rows := digits(uint64(100+i), 40+i)
		all = append(all, object{key: fmt.Sprintf("day=%d/a b+%%2F é %d.jsonl", i%3, i), data: lines(rows, nil), rows: rows})
	}
	rows, many := digits(99, 50), digits(98, 6000)
	all = append(all,
		object{key: "columns.csv", data: table(digits(97, 60)), rows: digits(97, 60)},
		object{key: "many.jsonl", data: lines(many, nil), rows: many},
		object{key: "some bad.jsonl", data: lines(rows, map[int]string{3: `{"id": 1}`, 17: `{"id": 2, "pixels": "none"}`, 40: `[1,`}), rows: rows, bad: 3},
		object{key: "cut.parquet", data: []byte("PAR1 and then nothing that a reader could use, to the end")},
	)
	return all
}

// check wants each object to be scored that is to be: a manifest, which is
// written last, and rows as the function answers them online.
func check(ctx context.Context, b bucket, by http.RoundTripper, all []object) error {
	keys, err := b.list(ctx, "scores/")
	if err != nil {
		return err
	}
	for _, o := range all {
		var parts []string
		var manifest, bad string
		folders := map[string]bool{}
		for _, key := range keys {
			rest, ok := strings.CutPrefix(key, "scores/"+o.key+".")
			if !ok {
				continue
			}
			folder, file, _ := strings.Cut(rest, "/")
			folders[folder] = true
			switch {
			case file == "manifest.json":
				manifest = key
			case strings.HasSuffix(file, ".bad.jsonl"):
				bad = key
			case strings.HasPrefix(file, "part-") && path.Ext(file) == path.Ext(o.key):
				parts = append(parts, key)
			}
		}
		if o.rows == nil {
			if manifest != "" {
				return fmt.Errorf("%s: want no manifest, got %s", o.key, manifest)
			}
			continue
		}
		if manifest == "" || len(parts) == 0 || len(folders) != 1 || (bad != "") != (o.bad > 0) {
			return fmt.Errorf("%s: want one folder with parts and a manifest, and %d bad rows, got manifest %q, parts %q, bad %q, folders %v", o.key, o.bad, manifest, parts, bad, folders)
		}
		var got []scored
		for _, part := range parts { // in order, as the list is
			text, err := b.get(ctx, part)
			if err != nil {
				return err
			}
			if got, err = scores(got, path.Ext(part), text); err != nil {
				return fmt.Errorf("%s: %w", part, err)
			}
		}
		want, err := online(ctx, by, o.rows)
		if err != nil {
			return err
		}
		if err := same(want, got); err != nil {
			return fmt.Errorf("%s: %w", o.key, err)
		}
		for i := range got {
			if got[i].ID == nil || *got[i].ID != o.rows[i].ID {
				return fmt.Errorf("%s: want id %d in row %d, got %+v", o.key, o.rows[i].ID, i, got[i])
			}
		}
		if o.bad > 0 {
			text, err := b.get(ctx, bad)
			if err != nil {
				return err
			}
			if n := bytes.Count(text, []byte("\n")); n != o.bad {
				return fmt.Errorf("%s: want %d bad rows, got %s", bad, o.bad, text)
			}
		}
	}
	return nil
}

// payloadScores reads the answers to payloads: each is an object of its own.
func payloadScores(ctx context.Context, b bucket) ([][]scored, error) {
	keys, err := b.list(ctx, "scores/")
	if err != nil {
		return nil, err
	}
	var all [][]scored
	for _, key := range keys {
		if strings.Contains(strings.TrimPrefix(key, "scores/"), "/") {
			continue
		}
		text, err := b.get(ctx, key)
		if err != nil {
			return nil, err
		}
		var a answer
		if err := json.Unmarshal(text, &a); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		all = append(all, a.rows())
	}
	return all, nil
}

// checkPayloads wants exactly one answer for each of the payloads.
func checkPayloads(ctx context.Context, b bucket, by http.RoundTripper, all [][]digit) error {
	got, err := payloadScores(ctx, b)
	if err != nil {
		return err
	}
	if len(got) != len(all) {
		return fmt.Errorf("want %d answers to payloads, got %d", len(all), len(got))
	}
	for i, rows := range all {
		want, err := online(ctx, by, rows)
		if err != nil {
			return err
		}
		found := false
		for _, g := range got {
			found = found || same(want, g) == nil
		}
		if !found {
			return fmt.Errorf("payload %d has no answer", i)
		}
	}
	return nil
}
