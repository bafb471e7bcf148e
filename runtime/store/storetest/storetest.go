// Package storetest is the suite that says whether a driver is a store.Bucket.
// A driver is done when Run passes, over a server that is real or speaks its
// store's protocol.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// A Subject is a driver under test.
type Subject struct {
	// Open opens the same bucket at every call, in a state of its own each time.
	// It may hold other objects; the suite writes below a prefix of its own.
	Open func(ctx context.Context) (store.Bucket, error)
	// Many is how many objects are listed, 0 means 1,100: two pages and more.
	Many int
	// Large is the size of large objects in bytes, 0 means 20 MiB.
	Large int
	// Wait is how long anything may take, 0 means 2 minutes.
	Wait time.Duration
	// Refuses are keys that are well-formed and that this store does not have.
	Refuses []string
}

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	if s.Many == 0 {
		s.Many = 1100
	}
	if s.Large == 0 {
		s.Large = 20 << 20
	}
	if s.Wait == 0 {
		s.Wait = 2 * time.Minute
	}
	for _, c := range []struct {
		name string
		test func(*bench)
	}{
		{"reads what was written", written},
		{"ranges", ranges},
		{"a large object", large},
		{"nothing before Commit", unseen},
		{"nothing after Abort", aborted},
		{"one object, one Commit", exists},
		{"of many Commits one succeeds", race},
		{"of many large Commits one succeeds", largeRace},
		{"a version that is gone", replaced},
		{"what is not there", missing},
		{"deleted", deleted},
		{"odd keys", oddKeys},
		{"keys that are none", refused},
		{"lists", lists},
		{"long lists", longLists},
		{"canceled", canceled},
		{"canceled in the middle", canceledMidway},
		{"many at once", together},
		{"two processes", handles},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(begin(t, s)) })
	}
}

// bench is one test's place in a bucket.
type bench struct {
	*testing.T
	s      Subject
	ctx    context.Context
	b      store.Bucket
	prefix string
}

func begin(t *testing.T, s Subject) *bench {
	ctx, cancel := context.WithTimeout(t.Context(), s.Wait)
	t.Cleanup(cancel)
	x := &bench{T: t, s: s, ctx: ctx, prefix: "storetest-" + strconv.FormatUint(rand.Uint64(), 36) + "/"}
	x.b = x.open()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Wait)
		defer cancel()
		b, err := s.Open(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		defer b.Close()
		for o, err := range b.List(ctx, x.prefix) {
			if err != nil {
				t.Error(err)
				return
			}
			if err := b.Delete(ctx, o.Key); err != nil {
				t.Error(err)
			}
		}
	})
	return x
}

// open opens the bucket once more.
func (x *bench) open() store.Bucket {
	x.Helper()
	b, err := x.s.Open(x.ctx)
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() {
		if err := b.Close(); err != nil {
			x.Errorf("Close: %v", err)
		}
	})
	return b
}

// create begins an object and writes data in pieces of odd sizes.
func (x *bench) create(key string, data []byte) store.Writer {
	x.Helper()
	w, err := x.b.Create(x.ctx, key)
	if err != nil {
		x.Fatalf("Create(%q): %v", key, err)
	}
	for piece := 1; len(data) > 0; piece = min(piece*3, 1<<20+7) {
		n := min(piece, len(data))
		if got, err := w.Write(data[:n]); err != nil || got != n {
			w.Abort()
			x.Fatalf("Write of %d bytes to %q: %d, %v", n, key, got, err)
		}
		data = data[n:]
	}
	return w
}

// put writes a whole object.
func (x *bench) put(key string, data []byte) {
	x.Helper()
	if err := x.create(key, data).Commit(x.ctx); err != nil {
		x.Fatalf("Commit of %q: %v", key, err)
	}
}

func (x *bench) stat(key string) *store.Object {
	x.Helper()
	o, err := x.b.Stat(x.ctx, key)
	if err != nil {
		x.Fatalf("Stat(%q): %v", key, err)
	}
	return o
}

// read reads a range.
func (x *bench) read(key, version string, offset, length int64) ([]byte, error) {
	r, err := x.b.Open(x.ctx, key, version, offset, length)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// holds wants data and nothing else in key.
func (x *bench) holds(key string, data []byte) {
	x.Helper()
	got, err := x.read(key, "", 0, -1)
	if err != nil {
		x.Fatalf("reading %q: %v", key, err)
	}
	if !bytes.Equal(got, data) {
		x.Fatalf("%q has %d bytes that differ from the %d that were written", key, len(got), len(data))
	}
}

// code wants an error of ours with one of the codes.
func (x *bench) code(what string, err error, want ...fault.Code) {
	x.Helper()
	f := fault.Of(err)
	if f == nil {
		x.Errorf("%s: got %v, want a *fault.Error with one of %v", what, err, want)
		return
	}
	for _, c := range want {
		if f.Code == c {
			return
		}
	}
	x.Errorf("%s: got %v (%v), want one of %v", what, f.Code, err, want)
}

// keys are those below the prefix, less the prefix.
func (x *bench) keys(below string) []string {
	x.Helper()
	keys := []string{}
	for o, err := range x.b.List(x.ctx, x.prefix+below) {
		if err != nil {
			x.Fatalf("List(%q): %v", below, err)
		}
		if len(o.Key) < len(x.prefix) || o.Key[:len(x.prefix)] != x.prefix {
			x.Fatalf("List(%q) gave %q", x.prefix+below, o.Key)
		}
		keys = append(keys, o.Key[len(x.prefix):])
	}
	return keys
}

func (x *bench) list(below string, want ...string) {
	x.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, x.keys(below)); diff != "" {
		x.Errorf("List(%q) (-want +got):\n%s", below, diff)
	}
}

// noise is n bytes that no compression and no shift makes the same.
func noise(seed, n int) []byte {
	data := make([]byte, n)
	rng := rand.New(rand.NewPCG(uint64(seed), uint64(n)))
	for i := 0; i+8 <= n; i += 8 {
		v := rng.Uint64()
		for j := range 8 {
			data[i+j] = byte(v >> (8 * j))
		}
	}
	for i := n &^ 7; i < n; i++ {
		data[i] = byte(rng.Uint32())
	}
	return data
}

// described wants an Object of data.
func (x *bench) described(o *store.Object, key string, data []byte) {
	x.Helper()
	if o.Key != key || o.Size != int64(len(data)) || o.Version == "" || o.Modified.IsZero() {
		x.Errorf("got %+v, want key %q, size %d, a version and a time", *o, key, len(data))
	}
	if d := time.Since(o.Modified); d > time.Hour || d < -time.Hour {
		x.Errorf("%q was modified %v ago", key, d)
	}
}

func label(i int) string { return fmt.Sprintf("%05d", i) }
