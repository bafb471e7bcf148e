package cli

import (
	"context"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/functions/batch"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/fetch"
	"godwit.dev/internal/fnserver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
)

type scoreOptions struct {
	model, version string
	columns        map[string]string
	pass           []string
	format, maxBad string
	partSize       string
	limit          int64
	shard          string
	explain        bool
	resume         bool
	redrive        bool

	app app.ScoreOptions // what the flags say
	job batch.Job
}

func (p *program) newScore() *cobra.Command {
	var o scoreOptions
	cmd := &cobra.Command{
		Use:     "score DIR SRC DST",
		GroupID: "run",
		Short:   "Score a file of rows",
		Long: `score reads the rows of SRC, asks the model of the function in DIR, and writes
DST: the columns that are passed through, then the model's outputs. SRC and DST
are paths, or URLs with s3://, gs:// and azblob://ACCOUNT/CONTAINER/. The files
are CSV, JSON Lines or Parquet, text also in gzip or zstd; what DST is tells its
name, else --format, else batch.format, else it is as SRC.

Which columns fill which inputs is batch.columns of godwit.yaml, or --columns;
what neither names takes the column of its own name. --explain shows how, with
the first rows and their answers, and writes nothing.

A file is scored in parts. Those that have been written stay, whatever ends the
command, and DST appears when all is scored, with DST.manifest.json: what was
scored, by which model, with which digests. A DST that ends with a slash is a
prefix, and parts and manifest are kept below it. --resume goes on where an
earlier run ended. --shard I/N, from 0 on, scores every N-th part, so that N
machines share a file; whoever is last writes the manifest.

A SRC that ends with a slash is a prefix too: all objects below it are scored,
but for those whose names, or a folder's, begin with _ or a dot, each with a
manifest of its own. What is scored already is not again, and --shard shares
objects and the parts of large ones.

A bad row is left out, and why is told beside DST with its line, its column and
the reason. --redrive scores those rows again, once the model, the handler or
the mapping is mended: SRC is then what an earlier run has written, and DST gets
the rows that failed. Of what failed for good as a whole, SRC is where it was put
aside: a prefix or record that batch.deadLetter has written, or the URL of an SQS
dead-letter queue. It is scored into DST as its function would have, and what is
done is removed; --limit does so many at most. With a poison queue of Azure
Storage or a subscription to a dead-letter topic of Pub/Sub as SRC, and the queue
or topic as DST, messages go back there, and are removed once they have.

Exit codes: 0 scored, bad rows within --max-bad included, 3 SRC is no such file,
or does not fit the model, 4 no SRC, 6 too many bad rows, objects or items that
failed for good, or DST is there already or half done, 8 the store does not let one in, 9 the store is away, 12
the settings contradict each other, 130 interrupted.`,
		Example: `  godwit score fraud/ rows.csv scored.csv
  godwit score fraud/ rows.csv --explain
  godwit score fraud/ s3://lake/rows/2026.parquet s3://lake/scores/ --resume
  godwit score fraud/ big.jsonl.gz scored.parquet --pass id --columns p0..p63=pixels
  godwit score fraud/ s3://lake/rows/ s3://lake/scores/
  godwit score fraud/ scored.csv mended.csv --redrive
  godwit score fraud/ s3://lake/scores/dead/ s3://lake/scores/ --redrive
  godwit score fraud/ gs://lake/big.csv gs://lake/scores/ --shard 3/16`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				if !o.explain {
					return usage(cmd, fault.New(fault.Usage, "", "", "want DIR, SRC and DST, got no DST"))
				}
				args = append(args, "")
			}
			if err := o.parse(cmd); err != nil {
				return err
			}
			return p.score(cmd.Context(), args[0], args[1], args[2], &o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.model, "model", "", "the model's name (default: the only model)")
	f.StringVar(&o.version, "model-version", "", "the model's version (default: the newest)")
	f.StringToStringVar(&o.columns, "columns", nil, "which columns fill which inputs, COLUMN=INPUT or p0..p63=INPUT (default: batch.columns)")
	f.StringSliceVar(&o.pass, "pass", nil, "columns that are copied to DST (default: batch.passThrough)")
	f.StringVar(&o.format, "format", "", "of DST: csv, jsonl or parquet (default: by DST's name, batch.format, or as SRC)")
	f.StringVar(&o.maxBad, "max-bad", "", "the share of the rows that may be bad, such as 5% (default: batch.maxBadRows)")
	f.StringVar(&o.partSize, "part-size", "64MiB", "about how much of SRC is scored at a time, and again after a crash")
	f.Int64Var(&o.limit, "limit", 0, "score only so many rows, from the first on, or with --redrive so many items")
	f.StringVar(&o.shard, "shard", "", "score the share of one of several machines: I/N, from 0/N to N-1/N")
	f.BoolVar(&o.explain, "explain", false, "show how columns map to inputs, with the first rows, and write nothing")
	f.BoolVar(&o.resume, "resume", false, "go on from what an earlier run has written")
	f.BoolVar(&o.redrive, "redrive", false, "score again the rows that failed when SRC was written, or what was put aside")
	return cmd
}

// parse checks the flags by themselves and together.
func (o *scoreOptions) parse(cmd *cobra.Command) error {
	o.app.MaxBad = -1
	if cmd.Flags().Changed("columns") {
		o.app.Columns = o.columns
	}
	if cmd.Flags().Changed("pass") {
		o.app.Pass = append([]string{}, o.pass...)
	}
	switch o.app.Format = rows.Format(o.format); o.app.Format {
	case "", rows.CSV, rows.JSONL, rows.Parquet:
	default:
		return usage(cmd, fault.New(fault.Usage, "", "--format", "want csv, jsonl or parquet, got %q", o.format))
	}
	if o.maxBad != "" {
		share, err := spec.ParsePercent(o.maxBad)
		if err != nil || share > 100 {
			return usage(cmd, fault.New(fault.Usage, "", "--max-bad", "want 0%% to 100%%, got %q", o.maxBad))
		}
		o.app.MaxBad = share
	}
	size, err := spec.ParseBytes(o.partSize)
	if err != nil || size < spec.KiB {
		return usage(cmd, fault.New(fault.Usage, "", "--part-size", "want a size of 1KiB or more, such as 64MiB, got %q", o.partSize))
	}
	o.app.PartBytes = int64(size)
	o.job = batch.Job{Model: o.model, ModelVersion: o.version, Limit: o.limit}
	if o.limit < 0 {
		return usage(cmd, fault.New(fault.Usage, "", "--limit", "want a number of rows, got %d", o.limit))
	}
	if o.shard != "" {
		i, n, ok := strings.Cut(o.shard, "/")
		shard, err := strconv.Atoi(i)
		shards, err2 := strconv.Atoi(n)
		if !ok || err != nil || err2 != nil || shards < 1 || shard < 0 || shard >= shards {
			return usage(cmd, fault.New(fault.Usage, "", "--shard", "want I/N with I from 0 to N-1, such as 3/16, got %q", o.shard))
		}
		o.job.Shard, o.job.Shards = shard, shards
	}
	for _, both := range []struct {
		on         bool
		one, other string
	}{
		{o.limit > 0 && o.shard != "", "--limit", "--shard"},
		{o.redrive && o.shard != "", "--redrive", "--shard"},
		{o.redrive && o.explain, "--redrive", "--explain"},
	} {
		if both.on {
			return usage(cmd, fault.New(fault.Usage, "", "", "want %s or %s, got both", both.one, both.other))
		}
	}
	return nil
}

func (p *program) score(ctx context.Context, where, src, dst string, o *scoreOptions) error {
	if o.redrive && isQueue(src) && isQueue(dst) {
		return p.moveBack(ctx, src, dst, o)
	}
	dir, done, err := p.withHandler(ctx, where)
	if done || err != nil {
		return err
	}
	stores := p.stores()
	defer stores.Close()
	if o.app.Format == "" {
		o.app.Format = formatOfName(dst)
	}
	dead := false
	if !o.redrive {
		if err := there(ctx, stores, src); err != nil {
			return err
		}
	} else if !isQueue(src) {
		if dead, err = isDead(ctx, stores, src); err != nil {
			return err
		}
		if o.limit > 0 && !dead {
			return fault.New(fault.Usage, "", "", "want --redrive without --limit for the rows that failed, got both")
		}
	}
	all := !o.redrive && isPrefix(src)
	switch {
	case all && o.limit > 0:
		return fault.New(fault.Usage, "", src, "want one object with --limit, got a prefix")
	case all && o.explain:
		return fault.New(fault.Usage, "", src, "want one object with --explain, got a prefix")
	}
	if !o.explain && !o.redrive && !all {
		// What is there already is said before a model is loaded.
		if err := p.checkPlace(ctx, stores, src, dst, o); err != nil {
			return err
		}
	}
	f, err := p.openScoring(ctx, dir, stores)
	if err != nil {
		return err
	}
	defer f.Close(context.WithoutCancel(ctx))
	switch {
	case o.explain:
		return p.explain(ctx, f, stores, src, dst, o)
	case o.redrive && isQueue(src):
		return p.redriveQueue(ctx, f, src, dst, o)
	case dead:
		return p.redriveDead(ctx, f, stores, src, dst, o)
	case all:
		return p.scorePrefix(ctx, f, src, dst, o)
	case o.redrive:
		return p.redrive(ctx, f, stores, src, dst, o)
	}
	o.job.Input, o.job.Output = src, dst
	return p.runJob(ctx, f, o)
}

// there wants an object at src, before a model is loaded for it.
func there(ctx context.Context, stores *store.Set, src string) error {
	bucket, key, err := stores.Open(ctx, src)
	if err != nil || key == "" || strings.HasSuffix(key, "/") {
		return err // scoring says what it wants instead of a prefix
	}
	if _, err = bucket.Stat(ctx, key); err == nil || fault.CodeOf(err) != fault.NotFound || fault.HintOf(err) != "" {
		return err
	}
	missing := fault.New(fault.NotFound, "", src, "there is no such object")
	for _, err := range bucket.List(ctx, key+"/") {
		if err != nil {
			break
		}
		return missing.WithHint("With a slash at its end all objects below it are scored: %s/", src)
	}
	return missing
}

// openScoring opens and loads the function for scoring.
func (p *program) openScoring(ctx context.Context, dir string, stores *store.Set) (*app.Function, error) {
	log := p.logger(slog.LevelWarn)
	eng := p.engine(log)
	app.Prepare(eng)
	f, err := app.Open(dir, eng, &app.Options{Logger: log, Wrap: p.Wrap, Quota: p.Quota(), Memory: p.Memory(), Fetch: fetch.New(p.FetchOptions(log)), Stores: stores})
	if err != nil {
		return nil, err
	}
	stop := p.working("loading " + f.Spec.Models[0].Name)
	err = f.Load(ctx)
	stop()
	if err != nil {
		return nil, err
	}
	return f, nil
}

// runJob scores, shows how far it is, and says in the end what came of it.
func (p *program) runJob(ctx context.Context, f *app.Function, o *scoreOptions) error {
	begun := time.Now()
	line := p.scoring("scoring " + path.Base(o.job.Input))
	o.job.Progress = line.at
	r, err := f.Score(ctx, &o.job, &o.app)
	line.end()
	sweep(o.job.Output)
	if err != nil {
		if ctx.Err() != nil && !o.resume {
			p.say("What is scored so far stays: the same command with --resume goes on from there.\n")
		}
		return err
	}
	return p.printScored(r, &o.job, time.Since(begun))
}

var (
	partsFolder = lazy.Regexp(`^\.[0-9a-f]{16}\.parts/`)
	idFolder    = lazy.Regexp(`^\.([0-9a-f]{16})/(.*)$`)
	partMark    = lazy.Regexp(`(^|/)part-[0-9]+\.json$`)
)

// checkPlace refuses a DST that an earlier run has begun and not ended, unless
// it is to be gone on with: the rows may have been another file's meanwhile.
func (p *program) checkPlace(ctx context.Context, stores *store.Set, src, dst string, o *scoreOptions) error {
	at, err := store.Parse(dst)
	if err != nil {
		return err
	}
	if o.resume || o.job.Shards > 1 { // other machines' parts are there, too
		return nil
	}
	bucket, key, err := stores.Open(ctx, dst)
	if err != nil {
		return err
	}
	begins := key
	if at.Prefix() {
		from, err := store.Parse(src)
		if err != nil {
			return err
		}
		begins += path.Base(from.Key)
	}
	parts, marks := 0, map[string]bool{} // ids of those with a manifest
	begun := map[string]int{}
	for object, err := range bucket.List(ctx, begins+".") {
		if fault.CodeOf(err) == fault.NotFound && err != nil {
			return nil
		}
		if err != nil {
			return err
		}
		rest := object.Key[len(begins):]
		if !at.Prefix() {
			if partsFolder().MatchString(rest) && partMark().MatchString(rest) {
				parts++
			}
			continue
		}
		if m := idFolder().FindStringSubmatch(rest); m != nil {
			if m[2] == "manifest.json" {
				marks[m[1]] = true
			} else if partMark().MatchString(m[2]) {
				begun[m[1]]++
			}
		}
	}
	for id, n := range begun {
		if !marks[id] {
			parts += n
		}
	}
	if parts > 0 {
		return fault.New(fault.Unprocessable, "", dst, "want a place where nothing was begun, got %s of an earlier run", plural(parts, "part")).
			WithHint("--resume goes on from there; or remove %s.*", dst+strings.TrimPrefix(begins, key))
	}
	return nil
}

// sweep removes the folder that parts waited in, which an object store has no
// trace of. One that is not empty stays.
func sweep(dst string) {
	at, err := store.Parse(dst)
	if err != nil || at.Scheme != "file" || at.Prefix() {
		return
	}
	file := filepath.FromSlash(at.Bucket + at.Key)
	all, _ := os.ReadDir(filepath.Dir(file)) // what cannot be read is not swept
	for _, e := range all {
		if rest, ok := strings.CutPrefix(e.Name(), filepath.Base(file)); ok && e.IsDir() && partsFolder().MatchString(rest+"/") {
			_ = os.Remove(filepath.Join(filepath.Dir(file), e.Name()))
		}
	}
}

// formatOfName is what a name says of a file's format: "" if nothing.
func formatOfName(name string) rows.Format {
	format, _ := rows.Detect(name, nil)
	return format
}

// stores are all that SRC and DST can name.
func (p *program) stores() *store.Set { return fnserver.Stores(&p.Env) }
