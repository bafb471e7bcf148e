package cli

import (
	"context"
	"strings"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/trigger"
)

// isDead reports whether SRC of a redrive is a record of what failed for good, or
// a prefix of such.
func isDead(ctx context.Context, stores *store.Set, src string) (bool, error) {
	if !strings.HasSuffix(src, "/") {
		if !strings.HasSuffix(src, ".json") || strings.HasSuffix(src, "manifest.json") {
			return false, nil
		}
		bucket, key, err := stores.Open(ctx, src)
		if err != nil {
			return false, err
		}
		return isRecord(ctx, bucket, key)
	}
	bucket, prefix, err := stores.Open(ctx, src)
	if err != nil {
		return false, err
	}
	if _, err := bucket.Stat(ctx, prefix+"manifest.json"); err == nil || fault.CodeOf(err) != fault.NotFound {
		return false, nil // whoever reads it says what is wrong
	}
	for o, err := range bucket.List(ctx, prefix) {
		if err != nil {
			return false, nil
		}
		if strings.HasSuffix(o.Key, ".json") {
			return isRecord(ctx, bucket, o.Key)
		}
	}
	return false, nil
}

// isRecord looks at an object's first bytes.
func isRecord(ctx context.Context, bucket store.Bucket, key string) (bool, error) {
	r, err := bucket.Open(ctx, key, "", 0, 64)
	if err != nil {
		return false, err
	}
	defer r.Close()
	head := make([]byte, 64)
	n := 0
	for n < len(head) {
		k, err := r.Read(head[n:])
		if n += k; err != nil {
			break // what is shorter is no record
		}
	}
	return batch.IsDead(head[:n]), nil
}

// How many records are scored at a time, and how long one may be.
const (
	deadTogether = 16
	deadMost     = 64 << 20
)

// redriveDead scores again what batch.deadLetter has kept below src, as its
// function would have, and removes the records of what is done.
func (p *program) redriveDead(ctx context.Context, f *app.Function, stores *store.Set, src, dst string, o *scoreOptions) error {
	bucket, prefix, err := stores.Open(ctx, src)
	if err != nil {
		return err
	}
	handler, err := f.Deliveries(dst, &o.app)
	if err != nil {
		return err
	}
	d := &deadRecords{bucket: bucket, prefix: prefix, handler: handler, r: newRedriven(src, dst), show: p.counting("scoring " + src)}
	if !strings.HasSuffix(src, "/") {
		err = d.score(ctx, []string{prefix})
	} else {
		err = d.all(ctx, o.limit)
	}
	d.show.end()
	if err != nil {
		return err
	}
	return p.printRedriven(d.r, "done and removed")
}

// deadRecords are the records below a prefix.
type deadRecords struct {
	bucket  store.Bucket
	prefix  string
	handler trigger.Handler
	r       *redriven
	show    *counting
}

// all scores them, at most limit if that is not 0.
func (d *deadRecords) all(ctx context.Context, limit int64) error {
	var some []string
	n := int64(0)
	for o, err := range d.bucket.List(ctx, d.prefix) {
		if err != nil {
			return err
		}
		if !strings.HasSuffix(o.Key, ".json") {
			continue
		}
		if n++; limit > 0 && n > limit {
			break
		}
		if some = append(some, o.Key); len(some) == deadTogether {
			if err := d.score(ctx, some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	return d.score(ctx, some)
}

// score scores the items of some records, and removes those of what is done. It
// fails where going on makes no sense.
func (d *deadRecords) score(ctx context.Context, keys []string) error {
	ev := &trigger.Event{Kind: "redrive", Source: d.r.Queue}
	var of []string
	for _, key := range keys {
		item, err := d.read(ctx, key)
		if err != nil {
			if fault.CodeOf(err) != fault.Invalid {
				return err
			}
			d.r.fail(strings.TrimPrefix(key, d.prefix), err)
			continue
		}
		item.ID = strings.TrimPrefix(key, d.prefix) // which is one of a kind here
		ev.Items, of = append(ev.Items, *item), append(of, key)
	}
	if len(of) == 0 {
		return nil
	}
	for i, out := range trigger.Run(ctx, d.handler, ev) {
		if out.State != trigger.Done {
			d.r.fail(ev.Items[i].ID, out.Err)
			continue
		}
		if err := d.bucket.Delete(ctx, of[i]); err != nil {
			return err
		}
		d.r.Done++
	}
	d.show.at(d.r.Done, d.r.Left)
	if err := ctx.Err(); err != nil {
		return fault.New(fault.CodeOf(err), "", d.r.Queue, "%w", err)
	}
	return nil
}

// read reads one record.
func (d *deadRecords) read(ctx context.Context, key string) (*trigger.Item, error) {
	text, err := readAll(ctx, d.bucket, key, deadMost)
	if err != nil {
		return nil, err
	}
	record, err := batch.ParseDead(text)
	if err != nil {
		return nil, err
	}
	return record.Item()
}
