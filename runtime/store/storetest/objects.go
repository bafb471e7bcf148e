package storetest

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

func written(x *bench) {
	for _, n := range []int{0, 1, 1000, 1 << 20} {
		key, data := x.prefix+"of/"+label(n), noise(n, n)
		x.put(key, data)
		o := x.stat(key)
		x.described(o, key, data)
		x.holds(key, data)
		if got, err := x.read(key, o.Version, 0, -1); err != nil || !bytes.Equal(got, data) {
			x.Errorf("version %q: %d bytes, %v; want %d", o.Version, len(got), err, n)
		}
		if again := x.stat(key); again.Version != o.Version {
			x.Errorf("the version changed from %q to %q", o.Version, again.Version)
		}
		for l, err := range x.b.List(x.ctx, key) {
			if err != nil || l.Version != o.Version {
				x.Fatalf("List: %+v, %v; Stat: %+v", l, err, o)
			}
			x.described(l, key, data)
		}
	}
}

func ranges(x *bench) {
	const n = 100_000
	key, data := x.prefix+"ranges", noise(1, n)
	x.put(key, data)
	version := x.stat(key).Version
	for _, r := range []struct{ offset, length, want int64 }{
		{0, -1, n}, {0, n, n}, {0, 0, 0}, {0, 1, 1}, {1, -1, n - 1}, {n - 1, 1, 1}, {n - 1, -1, 1},
		{50_000, 1000, 1000}, {99_000, 5000, 1000}, {n, -1, 0}, {n, 0, 0}, {n, 10, 0}, {n + 10, -1, 0}, {n + 10, 5, 0}, {500, 0, 0},
	} {
		for _, v := range []string{version, ""} {
			got, err := x.read(key, v, r.offset, r.length)
			if err != nil {
				x.Errorf("%+v of version %q: %v", r, v, err)
				continue
			}
			if want := data[min(r.offset, n):min(r.offset+r.want, n)]; !bytes.Equal(got, want) {
				x.Errorf("%+v of version %q: %d bytes that are not the range's", r, v, len(got))
			}
		}
	}
	_, err := x.read(key, "", -1, 5)
	x.code("an offset below 0", err, fault.Invalid)

	empty := x.prefix + "empty"
	x.put(empty, nil)
	for _, length := range []int64{-1, 0, 10} {
		if got, err := x.read(empty, x.stat(empty).Version, 0, length); err != nil || len(got) != 0 {
			x.Errorf("%d bytes of an empty object: %d, %v", length, len(got), err)
		}
	}
}

func large(x *bench) {
	key, data := x.prefix+"large", noise(2, x.s.Large)
	x.put(key, data)
	o := x.stat(key)
	x.described(o, key, data)
	x.holds(key, data)
	var all sync.WaitGroup
	const parts = 8
	for i := range parts {
		all.Go(func() {
			from, to := len(data)*i/parts, len(data)*(i+1)/parts
			got, err := x.read(key, o.Version, int64(from), int64(to-from))
			if err != nil || !bytes.Equal(got, data[from:to]) {
				x.Errorf("bytes %d to %d: %d, %v", from, to, len(got), err)
			}
		})
	}
	all.Wait()

	// A reader that is closed early is no trouble to anybody.
	r, err := x.b.Open(x.ctx, key, o.Version, 0, -1)
	if err != nil {
		x.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		x.Error(err)
	}
	if err := r.Close(); err != nil {
		x.Errorf("closing a reader early: %v", err)
	}
}

func unseen(x *bench) {
	for _, n := range []int{0, 10, x.s.Large} {
		key, data := x.prefix+"unseen/"+label(n), noise(3, n)
		w := x.create(key, data)
		_, err := x.b.Stat(x.ctx, key)
		x.code("Stat before Commit", err, fault.NotFound)
		_, err = x.read(key, "", 0, -1)
		x.code("Open before Commit", err, fault.NotFound)
		x.list("unseen/")
		if err := w.Commit(x.ctx); err != nil {
			x.Fatal(err)
		}
		x.holds(key, data)
		if err := x.b.Delete(x.ctx, key); err != nil {
			x.Fatal(err)
		}
	}
}

func aborted(x *bench) {
	for _, n := range []int{0, 10, x.s.Large} {
		key := x.prefix + "aborted/" + label(n)
		x.create(key, noise(4, n)).Abort()
		_, err := x.b.Stat(x.ctx, key)
		x.code("Stat after Abort", err, fault.NotFound)
		x.list("aborted/")
	}
	key := x.prefix + "aborted/there"
	x.put(key, []byte("first"))
	x.create(key, []byte("second")).Abort()
	x.holds(key, []byte("first"))
}

func exists(x *bench) {
	for _, n := range []int{0, 10, x.s.Large} {
		key, first := x.prefix+"exists/"+label(n), noise(5, 100)
		early := x.create(key, noise(6, n)) // begun before the first is there
		x.put(key, first)
		o := x.stat(key)
		for i, w := range []store.Writer{early, x.create(key, noise(7, n)), x.create(key, first)} {
			err := w.Commit(x.ctx)
			if !errors.Is(err, store.ErrExists) || fault.Of(err) == nil {
				x.Errorf("Commit %d over an object: got %v, want a *fault.Error that is ErrExists", i, err)
			}
		}
		x.holds(key, first)
		if now := x.stat(key); now.Version != o.Version {
			x.Errorf("the version changed from %q to %q", o.Version, now.Version)
		}
		// Once it is gone the key is free.
		if err := x.b.Delete(x.ctx, key); err != nil {
			x.Fatal(err)
		}
		x.put(key, []byte("again"))
		x.holds(key, []byte("again"))
	}
}

func race(x *bench)      { x.race(x.prefix+"race/small", 16, 1000) }
func largeRace(x *bench) { x.race(x.prefix+"race/deep/large", 3, x.s.Large) }

// race has writers commit at once.
func (x *bench) race(key string, writers, size int) {
	data := make([][]byte, writers)
	made := make([]store.Writer, writers)
	for i := range made {
		data[i] = noise(100+i, size+i)
		made[i] = x.create(key, data[i])
	}
	errs := make([]error, writers)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i, w := range made {
		all.Go(func() {
			<-start
			errs[i] = w.Commit(x.ctx)
		})
	}
	close(start)
	all.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			x.Errorf("both %d and %d committed", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, store.ErrExists):
			x.Errorf("writer %d: got %v, want ErrExists", i, err)
		}
	}
	if winner < 0 {
		x.Fatal("nobody committed")
	}
	x.holds(key, data[winner])
	x.list("race/", key[len(x.prefix):])
}

func replaced(x *bench) {
	key := x.prefix + "replaced"
	first, second := noise(8, 300_000), noise(9, 300_001)
	x.put(key, first)
	old := x.stat(key)
	if err := x.b.Delete(x.ctx, key); err != nil {
		x.Fatal(err)
	}
	_, err := x.read(key, old.Version, 0, -1)
	x.code("a version of a deleted object", err, fault.NotFound, fault.Mismatch)
	x.put(key, second)
	if now := x.stat(key); now.Version == old.Version {
		x.Errorf("both versions are %q", now.Version)
	}
	for _, r := range [][2]int64{{0, -1}, {0, 10}, {0, 0}, {200_000, 5}, {300_000, -1}} {
		_, err := x.read(key, old.Version, r[0], r[1])
		x.code("a version that was replaced", err, fault.Mismatch)
	}
	_, err = x.read(key, "no-such-version", 0, -1)
	x.code("a version that never was", err, fault.Mismatch)
	x.holds(key, second)
}

func missing(x *bench) {
	for _, key := range []string{x.prefix + "missing", x.prefix + "no/folder/either"} {
		_, err := x.b.Stat(x.ctx, key)
		x.code("Stat", err, fault.NotFound)
		_, err = x.read(key, "", 0, -1)
		x.code("Open", err, fault.NotFound)
		_, err = x.read(key, "", 10, 10)
		x.code("Open of a range", err, fault.NotFound)
		_, err = x.read(key, "", 0, 0)
		x.code("Open of nothing", err, fault.NotFound)
		if err := x.b.Delete(x.ctx, key); err != nil {
			x.Errorf("Delete of what is not there: %v", err)
		}
	}
	// A prefix of keys is no object.
	x.put(x.prefix+"dir/file", nil)
	_, err := x.b.Stat(x.ctx, x.prefix+"dir")
	x.code("Stat of a prefix", err, fault.NotFound)
	_, err = x.read(x.prefix+"dir", "", 0, -1)
	x.code("Open of a prefix", err, fault.NotFound)
	if err := x.b.Delete(x.ctx, x.prefix+"dir"); err != nil {
		x.Errorf("Delete of a prefix: %v", err)
	}
	x.list("dir", "dir/file")
}

func deleted(x *bench) {
	for _, n := range []int{0, 1000} {
		key := x.prefix + "deleted/" + label(n)
		x.put(key, noise(10, n))
		x.put(key+".neighbour", nil)
		for range 2 {
			if err := x.b.Delete(x.ctx, key); err != nil {
				x.Fatal(err)
			}
		}
		_, err := x.b.Stat(x.ctx, key)
		x.code("Stat", err, fault.NotFound)
	}
	x.list("deleted/", "deleted/"+label(0)+".neighbour", "deleted/"+label(1000)+".neighbour")
}
