package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

func canceled(x *bench) {
	key := x.prefix + "canceled"
	x.put(key, []byte("first"))
	gone, cancel := context.WithCancel(x.ctx)
	cancel()
	late, cancel := context.WithDeadline(x.ctx, time.Unix(1, 0))
	defer cancel()
	for _, c := range []struct {
		ctx  context.Context
		code fault.Code
	}{{gone, fault.Canceled}, {late, fault.DeadlineExceeded}} {
		_, err := x.b.Stat(c.ctx, key)
		x.code("Stat", err, c.code)
		r, err := x.b.Open(c.ctx, key, "", 0, -1)
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		x.code("Open or Read", err, c.code)
		w, err := x.b.Create(c.ctx, x.prefix+"never")
		if err == nil {
			err = w.Commit(c.ctx)
		}
		x.code("Create or Commit", err, c.code)
		x.code("Commit", x.create(x.prefix+"never", noise(1, 1000)).Commit(c.ctx), c.code)
		x.code("Commit of a large object", x.create(x.prefix+"never", noise(1, x.s.Large)).Commit(c.ctx), c.code)
		x.code("Delete", x.b.Delete(c.ctx, key), c.code)
		var last error
		for _, err := range x.b.List(c.ctx, x.prefix) {
			last = err
		}
		x.code("List", last, c.code)
	}
	x.list("", "canceled")
	x.holds(key, []byte("first"))
}

func canceledMidway(x *bench) {
	key, data := x.prefix+"midway", noise(11, x.s.Large)
	x.put(key, data)
	ctx, cancel := context.WithCancel(x.ctx)
	defer cancel()
	r, err := x.b.Open(ctx, key, "", 0, -1)
	if err != nil {
		x.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		x.Fatal(err)
	}
	cancel()
	_, err = io.Copy(io.Discard, r)
	x.code("Read after its context ended", err, fault.Canceled)
	r.Close()

	ctx, cancel = context.WithCancel(x.ctx)
	defer cancel()
	w, err := x.b.Create(ctx, x.prefix+"midway-written")
	if err != nil {
		x.Fatal(err)
	}
	if _, err := w.Write(data[:1000]); err != nil {
		x.Fatal(err)
	}
	cancel()
	_, err = io.Copy(w, bytes.NewReader(data))
	x.code("Write after its context ended", err, fault.Canceled)
	x.code("Commit after a Write that failed", w.Commit(x.ctx), fault.Canceled)
	x.list("", "midway")
}

// together has many goroutines use one bucket for different objects.
func together(x *bench) {
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			key, data := x.prefix+"together/"+label(i), noise(i, 10_000*i)
			w, err := x.b.Create(x.ctx, key)
			if err == nil {
				_, err = w.Write(data)
			}
			if err == nil {
				err = w.Commit(x.ctx)
			}
			if err != nil {
				x.Error(err)
				return
			}
			if got, err := x.read(key, "", 0, -1); err != nil || !bytes.Equal(got, data) {
				x.Errorf("%q: %d bytes, %v", key, len(got), err)
			}
			if _, err := x.b.Stat(x.ctx, key); err != nil {
				x.Error(err)
			}
			if err := x.b.Delete(x.ctx, key); err != nil {
				x.Error(err)
			}
		})
	}
	all.Wait()
	x.list("together/")
}

// handles has what one handle of the bucket writes seen by another.
func handles(x *bench) {
	other := x.open()
	key := x.prefix + "handles"
	x.put(key, []byte("first"))
	o, err := other.Stat(x.ctx, key)
	if err != nil {
		x.Fatal(err)
	}
	if mine := x.stat(key); mine.Version != o.Version {
		x.Errorf("versions %q and %q of one object", mine.Version, o.Version)
	}
	w, err := other.Create(x.ctx, key)
	if err != nil {
		x.Fatal(err)
	}
	if err := w.Commit(x.ctx); !errors.Is(err, store.ErrExists) {
		x.Errorf("Commit by another: got %v, want ErrExists", err)
	}
	if err := other.Delete(x.ctx, key); err != nil {
		x.Fatal(err)
	}
	_, err = x.b.Stat(x.ctx, key)
	x.code("Stat of what another deleted", err, fault.NotFound)
}
