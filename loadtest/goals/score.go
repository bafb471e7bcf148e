//go:build linux && cgo

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// scoreColumns is how many columns of floats a file to score has.
const scoreColumns = 32

// scored is a model that a row of such a file fits: those of the other goals,
// with fewer inputs.
type scored struct {
	name           string
	make           func() testmodels.Model
	rows           int // of the file
	ship, moonshot float64
}

var scoredModels = []scored{
	{"small", func() testmodels.Model { return testmodels.MLP(2, scoreColumns, 256, 256, 16) }, 4_000_000, 0.85, 0.95},
	{"medium", func() testmodels.Model { return testmodels.MLP(3, scoreColumns, 1024, 1024, 1024, 10) }, 200_000, 0.93, 0.98},
}

// staticBatch is the largest batch that a C loop or Python is tried with.
const staticBatch = 1024

// scoreGoal is goal 17: rows in a second of `godwit score` from Parquet to
// Parquet, all of the command, over those of the C loop at its best static
// batch: with one run at a time on both sides, so that what is not the run has
// the other processors, and with all processors.
func scoreGoal(ctx context.Context, b *bench) ([]*figure, error) {
	var figures []*figure
	for i := range scoredModels {
		m := &scoredModels[i]
		for _, runs := range []int{1, b.cores} {
			f, err := b.score(ctx, m, runs)
			if err != nil {
				return figures, fmt.Errorf("%s: %w", m.name, err)
			}
			figures = append(figures, f)
			if b.cores == 1 {
				break
			}
		}
	}
	return figures, nil
}

func (b *bench) score(ctx context.Context, m *scored, runs int) (*figure, error) {
	dir, model, err := b.scoredFunction(m, fmt.Sprintf("threads: {intraOp: 1, runs: %d}", runs))
	if err != nil {
		return nil, err
	}
	n := m.rows
	if b.quick {
		n /= 4
	}
	src, err := b.scoredFile(rows.Parquet, n)
	if err != nil {
		return nil, err
	}
	few, err := b.scoredFile(rows.Parquet, 1000)
	if err != nil {
		return nil, err
	}
	l, best, how, err := b.bestStatic(model, runs)
	if err != nil {
		return nil, err
	}
	defer l.close()
	var used, floorUsed []float64
	ours := func() (float64, error) {
		wall, cpu, err := b.scoreOnce(ctx, dir, src, filepath.Join(b.dir, "scored.parquet"))
		used = append(used, cpu.Seconds()/float64(n))
		return float64(n) / wall.Seconds(), err
	}
	if _, err := ours(); err != nil { // into the page cache
		return nil, err
	}
	used = nil
	pairs, err := paired(ctx, b.pairs(10), ours, func() (float64, error) {
		r, err := l.run(best, b.time(2*time.Second))
		floorUsed = append(floorUsed, r.cpu/1e9/(r.runs*float64(best)))
		return r.runs * float64(best) / r.wall * 1e9, err
	})
	if err != nil {
		return nil, err
	}
	start, _, err := b.scoreOnce(ctx, dir, few, filepath.Join(b.dir, "scored.parquet"))
	if err != nil {
		return nil, err
	}
	return &figure{Goal: 17, What: fmt.Sprintf("batch scoring, %s, %s", m.name, map[bool]string{true: "one run at a time", false: "all processors"}[runs == 1]),
		How: fmt.Sprintf("rows in a second of godwit score, exec to exit, from Parquet (snappy, %d columns of floats) to Parquet, over the C loop's at its best static batch", scoreColumns),
		Got: each(pairs, ratio), Ship: least(m.ship), Moonshot: least(m.moonshot),
		Absolute: fmt.Sprintf("%s rows/s, C %s", number(each(pairs, oursOf).Median), number(each(pairs, floorOf).Median)),
		Note: fmt.Sprintf("%d rows; C: %s, batches of %d. By CPU time the ratio is %s: %s a row, C %s. Of the command, %s ms is what a file of 1000 rows takes too.",
			n, how, best, number(spreadOf(floorUsed).Median/spreadOf(used).Median), us(spreadOf(used).Median*1e9), us(spreadOf(floorUsed).Median*1e9), number(float64(start)/1e6))}, nil
}

// bestStatic is the C loop with so many runs at a time in the fastest of its
// settings, and the batch at which it answers the most rows.
func (b *bench) bestStatic(model string, runs int) (l *loop, best int, how string, err error) {
	l, t, err := b.bestLoop(model, 128, runs)
	if err != nil {
		return nil, 0, "", err
	}
	most := 0.0
	for n := 8; n <= staticBatch; n *= 2 {
		var rates []float64
		for range 3 {
			r, err := l.run(n, b.time(200*time.Millisecond))
			if err != nil {
				l.close()
				return nil, 0, "", err
			}
			rates = append(rates, float64(n)*r.runs/r.wall)
		}
		if rate := spreadOf(rates).Median; rate > most {
			best, most = n, rate
		}
	}
	return l, best, t.name, nil
}

// scorePeerGoal is goal 18: godwit score over pyarrow's reader of CSV with
// Python's ONNX Runtime, on the same file, from CSV to CSV.
func scorePeerGoal(ctx context.Context, b *bench) ([]*figure, error) {
	out, err := exec.CommandContext(ctx, "loadtest/peers/score.sh").Output()
	if err != nil {
		var said *exec.ExitError
		if errors.As(err, &said) {
			err = fmt.Errorf("%w: %s", err, said.Stderr)
		}
		return nil, fmt.Errorf("loadtest/peers/score.sh: %w", err)
	}
	python := strings.TrimSpace(string(out))
	m := &scoredModels[0]
	dir, model, err := b.scoredFunction(m, "")
	if err != nil {
		return nil, err
	}
	n := m.rows / 4
	if b.quick {
		n /= 4
	}
	src, err := b.scoredFile(rows.CSV, n)
	if err != nil {
		return nil, err
	}
	dst, theirs := filepath.Join(b.dir, "scored.csv"), filepath.Join(b.dir, "scored-python.csv")
	var used, peerUsed []float64
	ours := func() (float64, error) {
		wall, cpu, err := b.scoreOnce(ctx, dir, src, dst)
		used = append(used, cpu.Seconds()/float64(n))
		return float64(n) / wall.Seconds(), err
	}
	peer := func(batch int) func() (float64, error) {
		return func() (float64, error) {
			cmd := b.command(python, "-I", "loadtest/peers/score.py", model, src, theirs, strconv.Itoa(batch))
			cmd.Stderr = os.Stderr
			text, err := cmd.Output()
			if err != nil {
				return 0, fmt.Errorf("score.py: %w", err)
			}
			var wall, cpu float64
			if _, err := fmt.Sscan(string(text), &wall, &cpu); err != nil {
				return 0, fmt.Errorf("score.py: want its seconds, got %q", text)
			}
			peerUsed = append(peerUsed, cpu/float64(n))
			return float64(n) / wall, nil
		}
	}
	if _, err := ours(); err != nil { // into the page cache
		return nil, err
	}
	best, most := 0, 0.0
	for batch := 128; batch <= 8*staticBatch; batch *= 4 {
		rate, err := peer(batch)()
		if err != nil {
			return nil, err
		}
		if rate > most {
			best, most = batch, rate
		}
	}
	if err := sameScores(dst, theirs, n); err != nil {
		return nil, err
	}
	used, peerUsed = nil, nil
	pairs, err := paired(ctx, b.pairs(10), ours, peer(best))
	if err != nil {
		return nil, err
	}
	return []*figure{{Goal: 18, What: "CSV scoring over Python's, " + m.name, How: fmt.Sprintf("rows in a second of godwit score, exec to exit, from CSV (%d columns of floats) to CSV, over pyarrow.csv with PyPI's onnxruntime", scoreColumns),
		Got: each(pairs, ratio), Ship: least(1), Moonshot: least(1.5),
		Absolute: fmt.Sprintf("%s rows/s, Python %s", number(each(pairs, oursOf).Median), number(each(pairs, floorOf).Median)),
		Note: fmt.Sprintf("%d rows. Python's time begins after its imports and its session, ours with the process; it reads blocks of 4 MB with all processors, and runs batches of %d, the fastest of 128, 512, 2048 and 8192. By CPU time the ratio is %s: %s a row, Python %s.",
			n, best, number(spreadOf(peerUsed).Median/spreadOf(used).Median), us(spreadOf(used).Median*1e9), us(spreadOf(peerUsed).Median*1e9))}}, nil
}

// scoredFunction makes a function of the model as a user does, with a line more
// in its spec.
func (b *bench) scoredFunction(m *scored, extra string) (dir, model string, err error) {
	dir = filepath.Join(b.dir, "score-"+m.name)
	model = filepath.Join(b.dir, "models", fmt.Sprintf("%s-%d.onnx", m.name, scoreColumns))
	if err := os.WriteFile(model, m.make().Bytes(), 0o644); err != nil {
		return "", "", err
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", "", err
	}
	if text, err := b.command(b.subject, "init", model, dir).CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("godwit init: %w: %s", err, text)
	}
	if extra == "" {
		return dir, model, nil
	}
	name := strings.TrimSuffix(filepath.Base(model), ".onnx")
	spec := fmt.Sprintf("apiVersion: godwit.dev/v1\nname: bench\nmodels:\n  - name: %s\n    path: %s.onnx\n    %s\n", name, name, extra)
	return dir, model, os.WriteFile(filepath.Join(dir, "godwit.yaml"), []byte(spec), 0o644)
}

// scoredFile writes n rows of x_0 to x_31, once per folder.
func (b *bench) scoredFile(format rows.Format, n int) (string, error) {
	path := filepath.Join(b.dir, fmt.Sprintf("rows-%d.%s", n, format))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	f, err := os.Create(path + ".part")
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := writeRows(f, format, n); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return path, os.Rename(path+".part", path)
}

func writeRows(f *os.File, format rows.Format, n int) error {
	const block = 4096
	schema := &rows.Schema{}
	var outputs []rows.Output
	values := make([][]float32, scoreColumns)
	for i := range scoreColumns {
		name := fmt.Sprintf("x_%d", i)
		schema.Columns = append(schema.Columns, rows.Column{Name: name, Kind: rows.Float})
		outputs = append(outputs, rows.Output{Name: name, Type: tensor.FP32})
		values[i] = make([]float32, block)
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	w, err := rows.NewWriter(buffered, format, schema, outputs, nil)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, scoreColumns))
	for at := 0; at < n; at += block {
		m := min(block, n-at)
		b := rows.Block{Rows: m}
		tensors := make([]tensor.Tensor, scoreColumns)
		for i := range tensors {
			for k := range m {
				values[i][k] = random.Float32()*2 - 1
			}
			tensors[i] = tensor.Of(outputs[i].Name, []int64{int64(m)}, values[i][:m])
		}
		for k := range m {
			b.At = append(b.At, int64(at+k+1))
		}
		if err := w.Write(&b, tensors); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// scoreOnce scores src into dst and says how long the command took, and how
// much of the processors. What it wrote before is removed.
func (b *bench) scoreOnce(ctx context.Context, dir, src, dst string) (wall, cpu time.Duration, err error) {
	left, err := filepath.Glob(dst + "*")
	if err != nil {
		return 0, 0, err
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return 0, 0, err
		}
	}
	cmd := b.command(b.subject, "score", dir, src, dst, "--quiet")
	var said bytes.Buffer
	cmd.Stderr = &said
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("godwit score: %w: %.400s", err, said.String())
	}
	wall = time.Since(start)
	return wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), ctx.Err()
}

// sameScores compares two files of scores: their names of columns, how many rows
// they have, and all numbers.
func sameScores(ours, theirs string, n int) error {
	a, err := os.Open(ours)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(theirs)
	if err != nil {
		return err
	}
	defer b.Close()
	x, y := bufio.NewScanner(a), bufio.NewScanner(b)
	for line := 0; ; line++ {
		more, also := x.Scan(), y.Scan()
		if more != also || !more && line != n+1 {
			return fmt.Errorf("want %d rows of scores, got others after line %d", n, line)
		}
		if !more {
			return errors.Join(x.Err(), y.Err())
		}
		p, q := strings.Split(x.Text(), ","), strings.Split(y.Text(), ",")
		if len(p) != len(q) {
			return fmt.Errorf("line %d: %d columns, Python has %d", line+1, len(p), len(q))
		}
		for i := range p {
			if line == 0 {
				if p[i] != strings.Trim(q[i], `"`) {
					return fmt.Errorf("column %d is %q, Python has %q", i, p[i], q[i])
				}
				continue
			}
			v, err := strconv.ParseFloat(p[i], 32)
			w, err2 := strconv.ParseFloat(q[i], 32)
			if err != nil || err2 != nil || math.Abs(v-w) > 1e-4+1e-3*math.Abs(w) {
				return fmt.Errorf("line %d: score %q, Python has %q", line+1, p[i], q[i])
			}
		}
	}
}
