package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
)

// The defaults of Objects.
const (
	partBytes  = 64 << 20
	rowsPerRun = 128
	// Rows of few columns are cheap, and what a run takes beside them is not: 256
	// of them take 5% less than 128, and 512 leave the processor's nearer cache.
	narrowRow  = 64 * 16 // as fit counts its bytes
	narrowRows = 256
	runBytes   = 32 << 20 // of the inputs of one run
	blockBytes = 4 << 20  // of those of a block of several runs
	blockRows  = 512      // of such a block
	singles    = 16       // rows of a block where each is a run
	parallel   = 2
)

func (o *Objects) withDefaults() Objects {
	d := *o
	if d.PartBytes <= 0 {
		d.PartBytes = partBytes
	}
	if d.Parallel <= 0 {
		d.Parallel = parallel
	}
	if d.MaxBad == 0 {
		d.MaxBad = 1
	}
	return d
}

// task is a job in progress: all that is known before a row is read.
type task struct {
	h   *Handler
	o   *Objects
	job *Job
	url string // of the input, in full

	src   *source
	gone  error // why there is no object; nil if there is
	out   store.Bucket
	place place

	model  ManifestModel
	runs   int    // of the model at a time
	many   bool   // rows may be asked for together
	rows   int    // at most so many
	block  int    // rows that are read, run and written without another goroutine
	asking asking // as many blocks at a time as the model has runs

	file     *rows.File
	plan     *rows.Plan
	schema   *rows.Schema // of the scores; nil for a file without columns
	format   rows.Format  // likewise
	parts    []rows.Part
	mine     []int // the parts of this run, in order
	there    map[int]bool
	known    sync.Map // part → its mark, a *ManifestPart, as this run has seen it
	progress tracker
	settings ManifestSettings

	worked atomic.Bool  // the model has answered
	took   atomic.Int64 // by the longest part, in ns
}

// open finds the object, the model and the place for scores, and reads no row.
func (h *Handler) open(ctx context.Context, job *Job) (*task, error) {
	o := &h.objects
	if o.Models == nil || o.Stores == nil {
		return nil, fault.New(fault.BadConfig, "batch.Score", job.Input, "want Objects with models and stores, got none")
	}
	if job.Limit < 0 || job.Shards < 0 || job.Shard < 0 || job.Shard >= max(job.Shards, 1) || job.From < 0 || job.To < 0 {
		return nil, fault.New(fault.Usage, "batch.Score", job.Input, "want a shard of 0 to %d, and a limit and parts of at least 0, got shard %d, limit %d and parts %d to %d", max(job.Shards, 1)-1, job.Shard, job.Limit, job.From, job.To)
	}
	at, err := store.Parse(job.Input)
	if err != nil {
		return nil, err
	}
	t := &task{h: h, o: o, job: job, url: at.String()}
	if at.Prefix() {
		return nil, fault.New(fault.BadConfig, "batch.Score", t.url, "want one object, got a prefix")
	}
	in, key, err := o.Stores.Open(ctx, t.url)
	if err != nil {
		return nil, err
	}
	if o.Ready != nil {
		if err := o.Ready(ctx); err != nil {
			return nil, err
		}
	}
	if err := t.ask(); err != nil {
		return nil, err
	}
	if err := t.find(ctx, in, key); err != nil {
		return nil, err
	}
	return t, t.locate(ctx, at)
}

// ask finds the model and what is known of it.
func (t *task) ask() error {
	m, lease, err := t.o.Models.Acquire(t.job.Model, t.job.ModelVersion)
	if err != nil {
		return err
	}
	// Not for the job, which may take hours: a model that is replaced is noticed.
	defer lease.Release()
	t.model = ManifestModel{Name: m.Name(), Version: m.Version(), Digest: m.Digest()}
	_, t.runs = m.Threads()
	t.asking.free = t.runs
	t.many, _ = m.Batching()
	return nil
}

// find asks the store for the object. Where it is gone, scores of the version
// that was meant may be there all the same.
func (t *task) find(ctx context.Context, in store.Bucket, key string) error {
	obj, err := in.Stat(ctx, key)
	if t.job.Version != "" && fault.CodeOf(err) == fault.NotFound {
		t.gone, obj = err, &store.Object{Key: key, Version: t.job.Version}
	} else if err != nil {
		return err
	}
	t.src = &source{bucket: in, object: obj}
	return nil
}

// id tells the scores of one object by one model from all others: 16
// hexadecimal digits.
func (t *task) id() string {
	settings, err := json.Marshal(struct {
		ManifestSettings
		Format string
	}{t.settings, string(t.o.Format)})
	if err != nil { // strings and numbers
		panic(err)
	}
	return Name(t.url+"#"+t.src.object.Version, t.model.Digest+" "+string(settings))[:16]
}

// locate finds the place for scores.
func (t *task) locate(ctx context.Context, in store.Location) error {
	t.settings = ManifestSettings{Columns: t.o.Columns, Pass: t.o.Pass, PartBytes: t.o.PartBytes, Limit: t.job.Limit, Only: onlyID(t.job.Rows), Code: t.o.Code}
	if t.job.Limit > 0 {
		t.settings.PartBytes = 0
	}
	name := path.Base(in.Key)
	output := t.job.Output
	if output == "" {
		var err error
		if output, name, err = t.o.below(in); err != nil {
			return err
		}
	}
	to, err := store.Parse(output)
	if err != nil {
		return err
	}
	if to == in {
		return fault.New(fault.BadConfig, "batch.Score", t.url, "want scores somewhere else than the rows, got both there")
	}
	if t.out, _, err = t.o.Stores.Open(ctx, to.String()); err != nil {
		return err
	}
	if to.Prefix() {
		t.place.dir = to.Key + name + "." + t.id() + "/"
		to.Key = t.place.dir
		t.place.url = to.String()
		return nil
	}
	t.place = place{url: to.String(), single: to.Key, dir: to.Key + "." + t.id() + ".parts/"}
	return nil
}

// read finds the rows' format, columns and parts.
func (t *task) read(ctx context.Context) error {
	var err error
	if t.file, err = rows.Identify(ctx, t.url, t.src); err != nil {
		return err
	}
	t.format = t.file.Format
	if f, _ := rows.Detect(t.place.single, nil); t.place.single != "" && f != "" {
		t.format = f
	} else if t.o.Format != "" {
		t.format = t.o.Format
	}
	s, err := rows.ReadSchema(ctx, t.file)
	if err != nil {
		return err
	}
	if len(s.Columns) == 0 {
		return nil // there is no row
	}
	if err := t.fit(s); err != nil {
		return err
	}
	if t.job.Limit > 0 {
		t.parts, err = rows.Split(ctx, t.file, &rows.SplitOptions{PartBytes: 1 << 62})
		return err
	}
	return t.split(ctx)
}

// fit matches the file's columns with the model's inputs.
func (t *task) fit(s *rows.Schema) error {
	m, lease, err := t.o.Models.Acquire(t.model.Name, t.model.Version)
	if err != nil {
		return err
	}
	defer lease.Release()
	if t.plan, err = rows.NewPlan(m.Signature(), s, &rows.PlanOptions{Columns: t.o.Columns, Pass: t.o.Pass}); err != nil {
		return err
	}
	if t.schema, err = rows.OutputSchema(s, t.plan); err != nil {
		return err
	}
	row := 0
	for i := range t.plan.Inputs {
		in := &t.plan.Inputs[i]
		row += in.Elements() * max(in.Type.Size(), 16)
		t.many = t.many && !in.Whole
	}
	for i := range t.plan.Outputs {
		t.many = t.many && !t.plan.Outputs[i].Whole
	}
	t.rows, t.block = sizes(t.o.Rows, row, t.many)
	return nil
}

// sizes is how many rows a run and a block have at most, of rows of so many
// bytes. asked is Objects.Rows. What decides is the same in every process: a
// run's answers may depend on how many rows it has, and those of an object are
// the same whoever gives them.
func sizes(asked, row int, many bool) (run, block int) {
	row = max(row, 1)
	switch run = asked; {
	case run > 0:
	case row <= narrowRow:
		run = narrowRows
	default:
		run = rowsPerRun
	}
	run = max(min(run, runBytes/row), 1)
	if !many {
		return run, min(run, singles)
	}
	// Handing a block on costs what a small model takes for some rows, so that one
	// is several runs, where they are small.
	return run, run * max(min(blockBytes/(row*run), blockRows/run), 1)
}

// split finds the parts. To find those of text all of it is read, so whoever
// does it first writes down what was found.
func (t *task) split(ctx context.Context) error {
	var err error
	if t.file.Compression == rows.None && (t.file.Format == rows.Parquet || t.src.Size() <= t.o.PartBytes) {
		t.parts, err = rows.Split(ctx, t.file, &rows.SplitOptions{PartBytes: t.o.PartBytes})
		return err
	}
	known, err := readAll(ctx, t.out, t.place.index(), 64<<20)
	switch {
	case err == nil:
		t.parts, err = parseParts(t.place.index(), known)
		return err
	case fault.CodeOf(err) != fault.NotFound:
		return err
	}
	if t.parts, err = rows.Split(ctx, t.file, &rows.SplitOptions{PartBytes: t.o.PartBytes}); err != nil || len(t.parts) < 2 {
		return err
	}
	found, err := json.Marshal(t.parts)
	if err != nil {
		return fault.New(fault.Internal, "batch.Score", t.place.index(), "%w", err)
	}
	_, err = t.put(ctx, t.place.index(), found)
	return err
}

// parseParts reads what an earlier run wrote down, and wants it to be the parts
// of one file.
func parseParts(key string, text []byte) ([]rows.Part, error) {
	var parts []rows.Part
	err := json.Unmarshal(text, &parts)
	for i := 0; err == nil && i < len(parts); i++ {
		p, after := &parts[i], int64(0)
		if i > 0 {
			after = parts[i-1].To
		}
		if p.Index != i || p.Line < 1 || p.From != after || p.To < p.From {
			err = fmt.Errorf("part %d is not behind the one before: %+v", i, *p)
		}
	}
	if err != nil {
		return nil, fault.New(fault.Unprocessable, "batch.Score", key, "want the parts that an earlier run found: %w", err).
			WithHint("Somebody else has written below the place for scores; remove what is there.")
	}
	return parts, nil
}

// choose takes the parts of this run.
func (t *task) choose() error {
	to := t.job.To
	if to == 0 {
		to = len(t.parts)
	}
	if t.job.From > to || to > len(t.parts) {
		return fault.New(fault.Usage, "batch.Score", t.url, "want parts of 0 to %d, got %d to %d", len(t.parts), t.job.From, to)
	}
	for i := t.job.From; i < to; i++ {
		if t.job.Shards < 2 || i%t.job.Shards == t.job.Shard {
			t.mine = append(t.mine, i)
		}
	}
	return nil
}

// marks finds the parts that are there to stay.
func (t *task) marks(ctx context.Context) error {
	t.there = map[int]bool{}
	for o, err := range t.out.List(ctx, t.place.dir) {
		if err != nil {
			return err
		}
		if i, ok := markOf(strings.TrimPrefix(o.Key, t.place.dir)); ok && i < len(t.parts) {
			t.there[i] = true
		}
	}
	return nil
}

// forget removes what an earlier run has left.
func (t *task) forget(ctx context.Context) error {
	var keys []string
	for o, err := range t.out.List(ctx, t.place.dir) {
		if err != nil {
			return err
		}
		keys = append(keys, o.Key)
	}
	// A mark goes before what it vouches for.
	slices.SortStableFunc(keys, func(a, b string) int {
		_, x := markOf(strings.TrimPrefix(a, t.place.dir))
		_, y := markOf(strings.TrimPrefix(b, t.place.dir))
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	for _, key := range keys {
		if err := t.out.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// request is what a block's requests have in common.
func (t *task) request() infer.Request {
	req := infer.Request{Model: t.model.Name, Version: t.model.Version, Priority: infer.Batch, Alone: true}
	for i := range t.plan.Outputs {
		req.Outputs = append(req.Outputs, infer.OutputRequest{Name: t.plan.Outputs[i].Name})
	}
	return req
}

// seconds is d as timings have it.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
