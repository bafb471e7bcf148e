package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

// several is a place with models of a MiB, by number.
func several(t *testing.T) (url func(n int) string, sum func(n int) string, get func(f *Fetcher, n int) (*File, error), f func(dir string, change func(*Options)) *Fetcher, asked *atomic.Int32) {
	t.Helper()
	content := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 1<<20) }
	asked = &atomic.Int32{}
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var n int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &n)
		good(w, r, content(n))
	})
	url = func(n int) string { return fmt.Sprintf("%s/%d", s.URL, n) }
	sum = func(n int) string { return sumOfBytes(content(n)) }
	get = func(f *Fetcher, n int) (*File, error) { return f.Get(t.Context(), url(n), sum(n)) }
	return url, sum, get, func(dir string, change func(*Options)) *Fetcher { return newTest(s, dir, change) }, asked
}

// The folder holds no more than it may; what was used longest ago goes first,
// and what is in use or being fetched stays.
func TestEviction(t *testing.T) {
	_, sum, get, with, asked := several(t)
	dir := t.TempDir()
	f := with(dir, func(o *Options) { o.CacheBytes = 3 << 20 })
	there := func() (all []int) {
		for n := range 10 {
			if _, err := os.Stat(filepath.Join(dir, sum(n)+".onnx")); err == nil {
				all = append(all, n)
			}
		}
		return all
	}
	var files []*File
	for n := range 3 {
		file, err := get(f, n)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(1000+n), 0) // as if used one after the other
		if err := os.Chtimes(file.Path, at, at); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if _, err := get(f, 3); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "want room for 1048576 bytes, got 3145728") {
		t.Errorf("all in use: want bad_config with the sizes, got %v", err)
	}
	files[1].Close()
	files[2].Close()
	file, err := get(f, 3)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	if diff := cmp.Diff([]int{0, 2, 3}, there()); diff != "" {
		t.Errorf("1 was used longest ago and 0 is in use (-want +got):\n%s", diff)
	}
	// What a killed process has left goes too, unless its successor is at it.
	left := filepath.Join(dir, strings.Repeat("a", 64)+".part")
	busy := filepath.Join(dir, strings.Repeat("b", 64)+".part")
	for _, p := range []string{left, busy} {
		if err := errors.Join(os.WriteFile(p, make([]byte, 1<<19), 0o600), os.Chtimes(p, time.Unix(1, 0), time.Unix(1, 0))); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := (&cache{f, dir}).lock(t.Context(), strings.Repeat("b", 64))
	if err != nil {
		t.Fatal(err)
	}
	if file, err = get(f, 4); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if err := lock.remove(); err != nil {
		t.Error(err)
	}
	_, err1 := os.Stat(left)
	_, err2 := os.Stat(busy)
	if !errors.Is(err1, fs.ErrNotExist) || err2 != nil || !slices.Contains(there(), 0) {
		t.Errorf("want the part of nobody gone and the other there, got %v, %v, models %v", err1, err2, there())
	}
	before := asked.Load()
	if file, err = get(f, 4); err != nil || asked.Load() != before {
		t.Errorf("want it out of the cache, got %v after %d requests", err, asked.Load()-before)
	}
	file.Close()
	// One that is larger than the whole is refused before a byte of it is taken.
	_, err = with(t.TempDir(), func(o *Options) { o.CacheBytes = 1 << 19 }).Get(t.Context(), "https://127.0.0.1:1/x", sum(0))
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("nobody there: want unavailable, got %v", err)
	}
	if _, err = get(with(t.TempDir(), func(o *Options) { o.CacheBytes = 1 << 19 }), 0); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("larger than the cache: want bad_config, got %v", err)
	}
	files[0].Close()
}

// What was damaged in the cache is fetched again; who has it in use keeps it.
func TestDamagedCache(t *testing.T) {
	_, sum, get, with, asked := several(t)
	f := with(t.TempDir(), nil)
	first, err := get(f, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := os.WriteFile(first.Path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := get(f, 1)
	if err != nil || asked.Load() != 2 {
		t.Fatalf("want it fetched again, got %d requests, %v", asked.Load(), err)
	}
	defer second.Close()
	if b, err := os.ReadFile(second.Path); err != nil || sumOfBytes(b) != sum(1) {
		t.Errorf("want the model, got %d bytes (%v)", len(b), err)
	}
}

// Callers in one process are no different from processes.
func TestManyCallers(t *testing.T) {
	_, _, get, with, asked := several(t)
	dir := t.TempDir()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			file, err := get(with(dir, nil), 1)
			if err != nil {
				t.Error(err)
				return
			}
			file.Close()
		})
	}
	group.Wait()
	if asked.Load() != 1 {
		t.Errorf("want one request, got %d", asked.Load())
	}
}

// A place for the cache is found where there is one, and said to be missing
// where there is none.
func TestPlaces(t *testing.T) {
	_, _, get, with, _ := several(t)
	good := filepath.Join(t.TempDir(), "new", "models")
	shared := filepath.Join(t.TempDir(), "shared")
	if err := errors.Join(os.Mkdir(shared, 0o755), os.Chmod(shared, 0o777)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const never = "/proc/self/godwit" // where nobody makes folders
	for _, c := range []struct {
		name, env, size string
		dirs            []string
		want            string
	}{
		{name: "the first that will do", dirs: []string{"", never, file, shared, good}},
		{name: "named", env: good, dirs: []string{never}},
		{name: "named, and not to be had", env: never, dirs: []string{good}, want: never},
		{name: "anybody's", dirs: []string{shared}, want: "others can write there"},
		{name: "a file", dirs: []string{file}, want: "not a directory"},
		{name: "none", want: "got no folder at all"},
		{name: "a size without a unit", dirs: []string{good}, size: "100", want: "want a size such as"},
		{name: "a size of nothing", dirs: []string{good}, size: "0GiB", want: "want a size such as"},
		{name: "a size that is enough", dirs: []string{good}, size: "1MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := with("", func(o *Options) {
				o.Dirs, o.Getenv = c.dirs, env(PrivateHosts, "127.0.0.1", CacheDir, c.env, CacheSize, c.size)
			})
			got, err := get(f, 1)
			if c.want == "" {
				if err != nil || filepath.Dir(got.Path) != good {
					t.Fatalf("want it in %s, got %v, %v", good, got, err)
				}
				got.Close()
				return
			}
			if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), c.want) || c.size == "" && !strings.Contains(fault.HintOf(err), CacheDir) {
				t.Errorf("want bad_config with %q and a hint, got %v (%s)", c.want, err, fault.HintOf(err))
			}
		})
	}
	for _, c := range []struct {
		err  error
		want string
	}{{syscall.ENOSPC, "a full disk"}, {syscall.EDQUOT, "a full disk"}, {syscall.EROFS, "read-only"}} {
		err := (&cache{dir: "/models"}).fault(&fs.PathError{Op: "write", Path: "/models/x", Err: c.err})
		if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), CacheDir) {
			t.Errorf("%v: want bad_config with %q and a hint, got %v (%s)", c.err, c.want, err, fault.HintOf(err))
		}
	}
}

// A rate that is too low for a while ends it, one that is enough never does.
func TestWatch(t *testing.T) {
	for _, c := range []struct {
		name string
		each int // bytes every second
		want time.Duration
	}{
		{"a drip", 10, 30 * time.Second}, {"nothing", 0, 30 * time.Second}, {"just too slow", 90, 30 * time.Second}, {"just enough", 100, 0}, {"fast", 1 << 20, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var came atomic.Int64
				begun, slow := time.Now(), time.Duration(0)
				ended, done := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(done)
					watch(ended, &came, 30*time.Second, 100, func() { slow = time.Since(begun) })
				}()
				<-time.After(500 * time.Millisecond) // between the looks: at the same moment either could be first
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				came.Add(int64(c.each))
				for range 120 {
					<-tick.C
					came.Add(int64(c.each))
				}
				close(ended)
				<-done
				if slow != c.want {
					t.Errorf("want it ended after %v, got %v", c.want, slow)
				}
			})
		})
	}
}

// Pauses between attempts grow, are not all the same, and are as long as asked for.
func TestPauses(t *testing.T) {
	var after string
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", after)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	for _, c := range []struct {
		after string
		least []time.Duration
	}{
		{"", []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}},
		{"20", []time.Duration{20 * time.Second, 20 * time.Second, 20 * time.Second, 20 * time.Second, 20 * time.Second}},
		{"99999999999999999999", nil}, {"86400", []time.Duration{30 * time.Second}}, {"-5", []time.Duration{250 * time.Millisecond}},
	} {
		after = c.after
		f := newTest(s, t.TempDir(), nil)
		var got []time.Duration
		f.wait = func(_ context.Context, d time.Duration) error { got = append(got, d); return nil }
		if _, err := f.Get(t.Context(), s.URL+"/m", sumOfBytes(nil)); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("want unavailable, got %v", err)
		}
		for i, least := range c.least {
			if got[i] < least || got[i] > max(2*least, 30*time.Second) {
				t.Errorf("Retry-After %q: want a pause of %v or up to twice that, got %v", c.after, least, got[i])
			}
		}
		for _, d := range got {
			if d <= 0 || d > 30*time.Second {
				t.Errorf("Retry-After %q: want a pause of at most 30 s, got %v", c.after, d)
			}
		}
	}
}

// Whoever waits, for a lock or for bytes, stops when told to, and the overall
// bound holds even for one who is never slow enough.
func TestEnds(t *testing.T) {
	endless := server(t, func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			default:
			}
		}
	})
	dir := t.TempDir()
	f := newTest(endless, dir, func(o *Options) { o.Timeout, o.MaxBytes = 300*time.Millisecond, 1<<50 })
	f.o.CacheBytes = 1 << 50
	_, err := f.Get(t.Context(), endless.URL+"/m", sumOfBytes(nil))
	if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "within 300ms") {
		t.Errorf("want unavailable with the time, got %v", err)
	}
	lock, err := (&cache{f, dir}).lock(t.Context(), sumOfBytes(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.remove()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := newTest(endless, dir, nil).Get(ctx, endless.URL+"/m", sumOfBytes(nil))
		done <- err
	}()
	cancel()
	if err := <-done; fault.CodeOf(err) != fault.Canceled {
		t.Errorf("want canceled, got %v", err)
	}
}
