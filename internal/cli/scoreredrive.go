package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// manifestMost is how long a manifest may be, in bytes.
const manifestMost = 64 << 20

// redrive scores again the rows that failed when src was written.
func (p *program) redrive(ctx context.Context, f *app.Function, stores *store.Set, src, dst string, o *scoreOptions) error {
	m, at, err := earlier(ctx, stores, src)
	if err != nil {
		return err
	}
	bad, err := badRowsOf(ctx, stores, m, at)
	if err != nil {
		return err
	}
	if len(bad) == 0 {
		p.say("No row of %s failed.\n", src)
		return p.printScored(&batch.Result{Manifest: m, Output: src, Already: true}, &batch.Job{Input: m.Input.URL}, 0)
	}
	if err := unchanged(ctx, stores, m); err != nil {
		return err
	}
	// What neither flags nor the spec say is as it was.
	if b := f.Spec.Batch; o.app.Columns == nil && (b == nil || b.Columns == nil) {
		o.app.Columns = m.Settings.Columns
	}
	if b := f.Spec.Batch; o.app.Pass == nil && (b == nil || b.PassThrough == nil) {
		o.app.Pass = m.Settings.Pass
	}
	if o.job.Model == "" {
		o.job.Model = m.Model.Name
	}
	if m.Settings.PartBytes > 0 { // parts of the same size are found without reading
		o.app.PartBytes = m.Settings.PartBytes
	}
	o.job.Input, o.job.Output, o.job.Rows = m.Input.URL, dst, bad
	return p.runJob(ctx, f, o)
}

// earlier reads the manifest of what an earlier run has written, and says which
// URL the names in it are below.
func earlier(ctx context.Context, stores *store.Set, src string) (m *batch.Manifest, at string, err error) {
	url := src
	switch {
	case strings.HasSuffix(src, "manifest.json"):
	case strings.HasSuffix(src, "/"):
		url += "manifest.json"
	default:
		url += ".manifest.json"
	}
	text, err := readObject(ctx, stores, url, manifestMost)
	if fault.CodeOf(err) == fault.NotFound && err != nil {
		return nil, "", fault.New(fault.NotFound, "", src, "want what godwit score has written, with its manifest, got no %s", url).
			WithHint("Name the file that was written, or the folder with manifest.json, which ends with a slash.")
	}
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Godwit != 1 || m.Input.URL == "" {
		return nil, "", fault.New(fault.Invalid, "", url, "want a manifest of godwit score, got something else")
	}
	l, err := store.Parse(url)
	if err != nil {
		return nil, "", err
	}
	l.Key = strings.TrimSuffix(l.Key, path.Base(l.Key))
	return m, l.String(), nil
}

// unchanged wants the rows to be where they were.
func unchanged(ctx context.Context, stores *store.Set, m *batch.Manifest) error {
	bucket, key, err := stores.Open(ctx, m.Input.URL)
	if err != nil {
		return err
	}
	now, err := bucket.Stat(ctx, key)
	if err != nil {
		return err
	}
	if now.Version != m.Input.Version {
		return fault.New(fault.Mismatch, "", m.Input.URL, "want version %q, of which rows failed, got %q: it has been written since", m.Input.Version, now.Version).
			WithHint("Score all of it again; of which rows failed in the other one, its lines tell nothing any more.")
	}
	return nil
}

// badRowsOf are the numbers of the rows that failed, ascending.
func badRowsOf(ctx context.Context, stores *store.Set, m *batch.Manifest, at string) ([]int64, error) {
	var all []int64
	for _, file := range badFiles(m) {
		text, err := readObject(ctx, stores, at+file.Name, file.Bytes)
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(text) {
			var bad batch.BadRow
			if err := json.Unmarshal(line, &bad); err != nil || bad.Row < 1 {
				return nil, fault.New(fault.Invalid, "", at+file.Name, "want a bad row in each line, got %q", string(line[:min(len(line), 100)]))
			}
			all = append(all, bad.Row)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// readObject reads an object of at most most bytes.
func readObject(ctx context.Context, stores *store.Set, url string, most int64) ([]byte, error) {
	bucket, key, err := stores.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	return readAll(ctx, bucket, key, most)
}

func readAll(ctx context.Context, bucket store.Bucket, key string, most int64) ([]byte, error) {
	r, err := bucket.Open(ctx, key, "", 0, -1)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, store.Fault("", key, err)
	}
	if int64(len(text)) > most {
		return nil, fault.New(fault.TooLarge, "", key, "want at most %d bytes, got more", most)
	}
	return text, nil
}
