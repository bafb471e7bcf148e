package wire_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
)

// told is an Upload that notes what it is told, and takes as long as it is
// told to for each part.
type told struct {
	takes time.Duration
	fails map[string]error
	drop  time.Duration // that Drop had

	mu  sync.Mutex
	all []string
}

// notes are what it was told.
func (u *told) notes() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.all)
}

// note keeps a text, and fails if what it is of is to fail.
func (u *told) note(what, format string, args ...any) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = append(u.all, fmt.Sprintf(format, args...))
	return u.fails[what]
}

func (u *told) Put(_ context.Context, data []byte) error {
	return u.note("put", "put %d", len(data))
}

func (u *told) Begin(context.Context) error { return u.note("begin", "begin") }

func (u *told) Part(ctx context.Context, index int, from int64, data []byte) error {
	if err := u.note("part", "part %d from %d: %d", index, from, len(data)); err != nil {
		return err
	}
	select {
	case <-time.After(u.takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *told) Finish(_ context.Context, index int, from int64, last []byte) error {
	return u.note("finish", "finish %d from %d: %d", index, from, len(last))
}

func (u *told) Drop(ctx context.Context) {
	_ = u.note("drop", "drop")
	if until, ok := ctx.Deadline(); ok {
		u.drop = time.Until(until)
	}
}

// An object of one part is put as it is, and a larger one in parts, each as
// large as it says and the last as large as what is left.
func TestWhatIsUploaded(t *testing.T) {
	const mib = 1 << 20
	for name, tt := range map[string]struct {
		parts wire.Parts
		n     int
		want  []string
	}{
		"nothing":           {wire.Parts{}, 0, []string{"put 0"}},
		"one part":          {wire.Parts{}, 8 * mib, []string{"put 8388608"}},
		"a byte more":       {wire.Parts{}, 8*mib + 1, []string{"begin", "part 0 from 0: 8388608", "finish 1 from 8388608: 1"}},
		"of another size":   {wire.Parts{Size: 10}, 25, []string{"begin", "part 0 from 0: 10", "part 1 from 10: 10", "finish 2 from 20: 5"}},
		"to its edge":       {wire.Parts{Size: 10}, 20, []string{"begin", "part 0 from 0: 10", "finish 1 from 10: 10"}},
		"as many as it may": {wire.Parts{Size: 10, Most: 2}, 20, []string{"begin", "part 0 from 0: 10", "finish 1 from 10: 10"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := &told{takes: time.Second}
				w := wire.NewWriter(t.Context(), "op", "key", u, tt.parts)
				if n, err := w.Write(make([]byte, tt.n)); n != tt.n || err != nil {
					t.Fatalf("wrote %d, %v", n, err)
				}
				synctest.Wait()
				if err := w.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				got := u.notes()
				if tt.n == 25 { // the parts go beside each other
					slices.Sort(got)
					slices.Sort(tt.want)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if n, err := w.Write([]byte("more")); n != 0 || fault.CodeOf(err) != fault.Internal {
					t.Errorf("more: %d, %v", n, err)
				}
				if err := w.Commit(t.Context()); fault.CodeOf(err) != fault.Internal {
					t.Errorf("again: %v", err)
				}
				if w.Abort(); len(u.notes()) != len(tt.want) {
					t.Errorf("afterwards: %q", u.notes()[len(tt.want):])
				}
			})
		})
	}
}

// So many parts are on their way at once, and no more: who writes waits.
func TestPartsAtOnce(t *testing.T) {
	for atOnce, want := range map[int]time.Duration{0: 2 * time.Second, 1: 4 * time.Second, 2: 2 * time.Second, 4: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			u := &told{takes: time.Second}
			w := wire.NewWriter(t.Context(), "op", "key", u, wire.Parts{Size: 10, AtOnce: atOnce})
			begun := time.Now()
			if _, err := w.Write(make([]byte, 45)); err != nil {
				t.Fatal(err)
			}
			if err := w.Commit(t.Context()); err != nil || time.Since(begun) != want {
				t.Errorf("%d at once: %v after %v, want %v", atOnce, err, time.Since(begun), want)
			}
		})
	}
}

// What goes wrong ends the writer, is said again and again, and what was begun
// is dropped once, with some time for it.
func TestWritersThatEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		fails map[string]error
		n     int
		want  []string
	}{
		"it cannot begin":  {map[string]error{"begin": errTold}, 30, []string{"begin"}},
		"a part is lost":   {map[string]error{"part": errTold}, 15, []string{"begin", "part 0 from 0: 10", "drop"}},
		"it cannot finish": {map[string]error{"finish": errTold}, 15, []string{"begin", "part 0 from 0: 10", "finish 1 from 10: 5", "drop"}},
		"it cannot be put": {map[string]error{"put": errTold}, 5, []string{"put 5"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			u := &told{fails: tt.fails}
			w := wire.NewWriter(t.Context(), "op", "key", u, wire.Parts{Size: 10})
			_, _ = w.Write(make([]byte, tt.n))
			synctest.Wait()
			for range 2 {
				if err := w.Commit(t.Context()); !errors.Is(err, errTold) || fault.CodeOf(err) != fault.Unavailable || fault.Of(err).Op != "op" || fault.Of(err).Subject != "key" {
					t.Errorf("%s: %v", name, err)
				}
			}
			if n, err := w.Write([]byte("more")); n != 0 || !errors.Is(err, errTold) {
				t.Errorf("%s, more: %d, %v", name, n, err)
			}
			if diff := cmp.Diff(tt.want, u.notes()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if begun := len(tt.want) > 2; begun && u.drop != 10*time.Second {
				t.Errorf("%s: %v to drop what was begun, want 10s", name, u.drop)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // a part that is lost while others are written ends those
		u := &told{takes: time.Hour, fails: map[string]error{}}
		w := wire.NewWriter(t.Context(), "op", "key", u, wire.Parts{Size: 10, AtOnce: 1})
		u.fails["part"] = errTold
		n, err := w.Write(make([]byte, 100))
		if n > 30 || !errors.Is(err, errTold) {
			t.Errorf("wrote %d, %v", n, err)
		}
		w.Abort()
	})
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]func(w *wire.Writer, cancel context.CancelFunc) error{
			"before Commit": func(w *wire.Writer, cancel context.CancelFunc) error { cancel(); return w.Commit(t.Context()) },
			"Commit's own, before": func(w *wire.Writer, _ context.CancelFunc) error {
				ctx, c := context.WithCancel(t.Context())
				c()
				return w.Commit(ctx)
			},
			"Commit's own, during": func(w *wire.Writer, _ context.CancelFunc) error {
				ctx, c := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, c)
				return w.Commit(ctx)
			},
			"while it is written": func(w *wire.Writer, cancel context.CancelFunc) error {
				time.AfterFunc(time.Second, cancel)
				_, err := w.Write(make([]byte, 100))
				w.Abort()
				return err
			},
		} {
			u := &told{takes: time.Hour}
			ctx, cancel := context.WithCancel(t.Context())
			w := wire.NewWriter(ctx, "op", "key", u, wire.Parts{Size: 10})
			if _, err := w.Write(make([]byte, 15)); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if err := end(w, cancel); fault.CodeOf(err) != fault.Canceled || time.Since(begun) > time.Second || !strings.HasSuffix(strings.Join(u.notes(), " "), " drop") || u.drop != 10*time.Second {
				t.Errorf("%s: %v after %v, %q", name, err, time.Since(begun), u.notes())
			}
			if _, err := w.Write([]byte("x")); fault.CodeOf(err) != fault.Canceled {
				t.Errorf("%s, more: %v", name, err)
			}
			cancel()
		}
		u := &told{} // of which nothing was begun
		w := wire.NewWriter(t.Context(), "op", "key", u, wire.Parts{Size: 10})
		_, _ = w.Write(make([]byte, 5))
		w.Abort()
		if len(u.notes()) != 0 {
			t.Errorf("aborted: %q", u.notes())
		}
		if _, err := w.Write(nil); fault.CodeOf(err) != fault.Canceled {
			t.Errorf("aborted, more: %v", err)
		}
	})
}

// Too many parts are refused as soon as they are too many, in bytes.
func TestTooManyParts(t *testing.T) {
	u := &told{}
	w := wire.NewWriter(t.Context(), "op", "key", u, wire.Parts{Size: 10, Most: 3})
	n, err := w.Write(make([]byte, 31))
	if n != 30 || fault.CodeOf(err) != fault.TooLarge || err.Error() != "op key: want an object of at most 30 bytes, got more" {
		t.Errorf("wrote %d, %v", n, err)
	}
	w.Abort()
}
