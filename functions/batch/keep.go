package batch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"path"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// readAll reads an object of at most max bytes.
func readAll(ctx context.Context, b store.Bucket, key string, max int64) ([]byte, error) {
	r, err := b.Open(ctx, key, "", 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, store.Fault("batch.Score", key, err)
	}
	if int64(len(all)) > max {
		return nil, fault.New(fault.TooLarge, "batch.Score", key, "want at most %d bytes", max)
	}
	return all, nil
}

// put keeps a small object once: what is there when it returns, written now or
// before.
func (t *task) put(ctx context.Context, key string, value []byte) ([]byte, error) {
	w, err := t.out.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(value); err != nil {
		w.Abort()
		return nil, store.Fault("batch.Score", key, err)
	}
	switch err := w.Commit(ctx); {
	case err == nil:
		return value, nil
	case errors.Is(err, store.ErrExists):
		return readAll(ctx, t.out, key, 64<<20)
	default:
		return nil, store.Fault("batch.Score", key, err)
	}
}

// kept is what an object that is there has: its length and, if it is wanted, its
// digest.
func (t *task) kept(ctx context.Context, key string, digest bool) (*File, error) {
	if !digest {
		o, err := t.out.Stat(ctx, key)
		if err != nil {
			return nil, err
		}
		return &File{Name: path.Base(key), Bytes: o.Size}, nil
	}
	r, err := t.out.Open(ctx, key, "", 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err != nil {
		return nil, store.Fault("batch.Score", key, err)
	}
	return &File{Name: path.Base(key), Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// once is an object that is written if it is not there.
type once struct {
	t    *task
	key  string
	w    store.Writer
	sum  hash.Hash // nil: no digest is wanted
	size int64
	over bool // committed or aborted
}

func (t *task) once(ctx context.Context, key string, digest bool) (*once, error) {
	w, err := t.out.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	o := &once{t: t, key: key, w: w}
	if digest {
		o.sum = sha256.New()
	}
	return o, nil
}

func (o *once) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if o.sum != nil {
		o.sum.Write(p[:n])
	}
	o.size += int64(n)
	return n, store.Fault("batch.Score", o.key, err)
}

// sha256 is the digest of what was written; "" if none is wanted.
func (o *once) sha256() string {
	if o.sum == nil {
		return ""
	}
	return hex.EncodeToString(o.sum.Sum(nil))
}

// keep makes the object there, or finds what is there already.
func (o *once) keep(ctx context.Context) (f *File, there bool, err error) {
	o.over = true
	switch err := o.w.Commit(ctx); {
	case err == nil:
		return &File{Name: path.Base(o.key), Bytes: o.size, SHA256: o.sha256()}, false, nil
	case errors.Is(err, store.ErrExists):
		f, err := o.t.kept(ctx, o.key, o.sum != nil)
		return f, true, err
	default:
		return nil, false, store.Fault("batch.Score", o.key, err)
	}
}

func (o *once) abort() {
	if !o.over {
		o.over = true
		o.w.Abort()
	}
}
