package edge_test

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/edge"
	"godwit.dev/runtime/fault"
)

// blocked makes a folder that cannot be removed as a file can.
func blocked(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// rest are the names in a folder.
func rest(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range all {
		names = append(names, f.Name())
	}
	return names
}

// smallDisk is the process of TestFullDisk: its files may be no larger than a
// few bytes, which looks to it as a full disk does.
func smallDisk() {
	signal.Ignore(syscall.SIGXFSZ)
	dir := os.Getenv("EDGE_TEST_SMALL")
	q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir})
	if err != nil {
		panic(err)
	}
	limit := syscall.Rlimit{}
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		panic(err)
	}
	full := limit
	for _, full.Cur = range []uint64{8, 48} { // within the digest, within the answer
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
			panic(err)
		}
		err := q.Put(context.Background(), "a", make([]byte, 100))
		os.Stdout.WriteString(fault.CodeOf(err).String() + "\n")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		panic(err)
	}
	if err := q.Put(context.Background(), "a", make([]byte, 100)); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// What a full disk did not take is refused and leaves nothing behind, and is
// taken as soon as there is room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EDGE_TEST_SMALL="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil || string(out) != "unavailable\nunavailable\n" {
		t.Fatalf("%q, %v; want it refused twice, then taken", out, err)
	}
	if diff := cmp.Diff([]string{"0000000000000000-a", "lock", "refused"}, rest(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Disks fail in more ways: nothing is said to be kept that is not, and what
// waits stays.
func TestDisksThatFail(t *testing.T) {
	dir := t.TempDir()
	q := open(t, &edge.QueueOptions{Dir: dir, MaxItems: 2})
	blocked(t, filepath.Join(dir, "0000000000000000-a")) // where the answer would go
	if err := q.Put(t.Context(), "a", nil); fault.CodeOf(err) != fault.Unavailable || q.Len() != 0 || q.Stats().Bytes != 0 {
		t.Errorf("a name that is taken: %v, %+v", err, q.Stats())
	}
	if diff := cmp.Diff([]string{"0000000000000000-a", "lock", "refused"}, rest(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	put(t, q, "b", "c")
	oldest := filepath.Join(dir, "0000000000000000-b")
	if err := os.Remove(oldest); err != nil {
		t.Fatal(err)
	}
	blocked(t, oldest)
	before := q.Stats()
	if err := q.Put(t.Context(), "d", nil); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("no room, and the oldest cannot go: %v", err)
	}
	if diff := cmp.Diff(before, q.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := os.RemoveAll(oldest); err != nil { // somebody tidied up
		t.Fatal(err)
	}
	put(t, q, "d")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := q.Put(t.Context(), "e", nil); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("no folder any more: %v", err)
	}
}

// A folder that cannot be used is given up, for the next who tries.
func TestFoldersThatCannotBeUsed(t *testing.T) {
	for name, spoil := range map[string]string{
		"what was being written": ".writing-1", "what was refused": "refused/.writing-1", "what is too old": "0000000000000007-a", "the lock": "lock",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, filepath.FromSlash(spoil))
		blocked(t, path)
		past := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
		o := &edge.QueueOptions{Dir: dir, MaxAge: time.Minute}
		if _, err := edge.OpenQueue(o); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		q, err := edge.OpenQueue(o)
		if err != nil {
			t.Errorf("%s, then mended: %v", name, err)
			continue
		}
		q.Close()
	}
	// A queue of one of these does not begin at the place of the other.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "0000000000000007-a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	q := open(t, &edge.QueueOptions{Dir: dir})
	put(t, q, "b")
	if diff := cmp.Diff([]string{"0000000000000007-a", "0000000000000008-b", "lock", "refused"}, rest(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for path, want := range map[string]os.FileMode{dir + "/x/y": 0o700, dir + "/x/y/refused": 0o700, dir + "/x/y/lock": 0o600, dir + "/x/y/0000000000000000-a": 0o600} {
		if _, err := os.Stat(dir + "/x"); err != nil {
			put(t, open(t, &edge.QueueOptions{Dir: dir + "/x/y"}), "a")
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v: answers are nobody else's", path, info.Mode(), err, want)
		}
	}
}

// run runs the queue in a bubble for so long, and says how it ended.
func run(t *testing.T, q *edge.Queue, d time.Duration) edge.Stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	q.Run(ctx)
	return q.Stats()
}

// What cannot be read now is not lost, and what never can does not hold the
// others up.
func TestDisksThatFailWhileAnswersAreSent(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(file string) error
		want  edge.Stats
	}{
		{"a folder in its place", func(file string) error { return os.Mkdir(file, 0o700) }, edge.Stats{Waiting: 2, Bytes: 8192}},
		{"a bad block", func(file string) error { return os.Symlink("/proc/self/mem", file) }, edge.Stats{Sent: 1, Lost: 1}},
		{"gone", func(string) error { return nil }, edge.Stats{Sent: 1, Lost: 1}},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir, Forward: (&receiver{}).forward})
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			put(t, q, "a", "b")
			file := filepath.Join(dir, "0000000000000000-a")
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(file); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, run(t, q, time.Minute)); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", c.name, diff)
			}
		})
	}

	// There is no place to set an answer aside: it comes again until there is.
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{fails: map[string]error{"a": fault.New(fault.Invalid, "test", "", "never")}}
		q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir, Forward: r.forward})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		put(t, q, "a")
		aside := filepath.Join(dir, "refused")
		blocked(t, filepath.Join(aside, "0000000000000000-a"))
		if diff := cmp.Diff(edge.Stats{Waiting: 1, Bytes: 4096}, run(t, q, time.Minute)); diff != "" || len(r.got) < 2 {
			t.Errorf("sent %d times, want again and again (-want +got)\n%s", len(r.got), diff)
		}
		if err := os.RemoveAll(filepath.Join(aside, "0000000000000000-a")); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(edge.Stats{Refused: 1, Bytes: 4096}, run(t, q, time.Minute)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})

	// One that is too old and cannot be removed is tried again, at its time.
	dir = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir, MaxAge: time.Minute, Forward: func(context.Context, string, []byte) error {
			n++
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		put(t, q, "a", "b")
		file := filepath.Join(dir, "0000000000000000-a")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		blocked(t, file)
		<-time.After(time.Hour) // of the bubble's clock
		if s := run(t, q, time.Minute); s.Waiting != 2 || n != 0 {
			t.Errorf("%+v, sent %d times; want nothing sent that is too old", s, n)
		}
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(edge.Stats{Aged: 2}, run(t, q, time.Minute)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})

	// An answer that was taken but cannot be removed is sent again.
	dir = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		file, n := filepath.Join(dir, "0000000000000000-a"), 0
		q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir, Forward: func(context.Context, string, []byte) error {
			if n++; n == 1 {
				os.Remove(file)
				blocked(t, file)
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		put(t, q, "a")
		if diff := cmp.Diff(edge.Stats{Waiting: 1, Bytes: 4096}, run(t, q, time.Minute)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// Sending one answer takes 30 s at the most, and the next try is one as after
// any failure.
func TestSendingIsBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []time.Duration
		q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir, Wait: time.Second, Forward: func(ctx context.Context, _ string, _ []byte) error {
			at = append(at, time.Since(begun))
			<-ctx.Done()
			at = append(at, time.Since(begun))
			return ctx.Err()
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		put(t, q, "a")
		if s := run(t, q, 40*time.Second); s.Waiting != 1 {
			t.Errorf("%+v, want it to wait", s)
		}
		if len(at) != 4 || at[1] != 30*time.Second || at[2] < at[1]+750*time.Millisecond || at[2] > at[1]+time.Second || at[3] != 40*time.Second {
			t.Errorf("tried from and to %v, want 0 s to 30 s, and from 31 s until it ended", at)
		}
	})
}

// Who waits longer at first waits no longer than the most.
func TestWaitsAreBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		last, least, most := time.Now(), time.Hour, time.Duration(0)
		q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir, Wait: 2 * time.Hour, MaxWait: time.Hour, MaxAge: 1000 * time.Hour, Forward: func(context.Context, string, []byte) error {
			if wait := time.Since(last); wait > 0 {
				last, least, most = time.Now(), min(least, wait), max(most, wait)
			}
			return fault.New(fault.Unavailable, "test", "", "no network")
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		put(t, q, strings.Repeat("x", 200))
		run(t, q, 300*time.Hour)
		if least < 45*time.Minute || least > 47*time.Minute || most > time.Hour || most < 58*time.Minute {
			t.Errorf("tries after %v to %v, want 45 min to an hour, by chance", least, most)
		}
	})
}
