package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/claimtest"
)

func TestMemoryTable(t *testing.T) {
	claimtest.Run(t, func(*testing.T) store.Table { return &store.MemoryTable{} })
}

func TestFileTable(t *testing.T) {
	claimtest.Run(t, func(t *testing.T) store.Table { return fileTable(t, t.TempDir()) })
}

// Two tables over one folder are as two processes are.
func TestFileTablesShareAFolder(t *testing.T) {
	claimtest.Run(t, func(t *testing.T) store.Table {
		dir := t.TempDir()
		return &turns{both: [2]store.Table{fileTable(t, dir), fileTable(t, dir)}}
	})
}

func fileTable(t *testing.T, dir string) *store.FileTable {
	t.Helper()
	table, err := store.OpenFileTable(dir)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// turns asks one table after the other.
type turns struct {
	both [2]store.Table
	n    atomic.Int32
}

func (t *turns) next() store.Table { return t.both[t.n.Add(1)%2] }

func (t *turns) Claim(ctx context.Context, c *store.Claim, now time.Time) (*store.Claim, error) {
	return t.next().Claim(ctx, c, now)
}
func (t *turns) Update(ctx context.Context, c *store.Claim) (*store.Claim, error) {
	return t.next().Update(ctx, c)
}
func (t *turns) Release(ctx context.Context, key, owner string) error {
	return t.next().Release(ctx, key, owner)
}
func (t *turns) Close() error {
	if err := t.both[0].Close(); err != nil {
		return err
	}
	return t.both[1].Close()
}

func inProgress(key, owner string, now time.Time) *store.Claim {
	return &store.Claim{Key: key, Status: store.InProgress, Owner: owner, Validation: "v", Until: now.Add(time.Minute), Expires: now.Add(time.Hour)}
}

// What a machine left behind that went down in the middle of a claim is no claim;
// what is there of others stays.
func TestFileTableAfterACrash(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	table := fileTable(t, dir)
	defer table.Close()
	if there, err := table.Claim(t.Context(), inProgress("k", "a", now), now); err != nil || there != nil {
		t.Fatal(there, err)
	}
	file := claimFiles(t, dir)[0]
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) - 1 {
		if err := os.WriteFile(file, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), ".new"), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if there, err := table.Claim(t.Context(), inProgress("k", "b", now), now); err != nil || there != nil {
			t.Fatalf("with the first %d bytes of a claim: %+v, %v", cut, there, err)
		}
	}
}

func claimFiles(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".json") {
			all = append(all, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// Claims that have expired are removed as others are made beside them, and no
// others are, whatever a copy of the folder has made of their files' times.
func TestFileTableIsSwept(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	table := fileTable(t, dir)
	defer table.Close()
	var beside []string // keys whose claims are in one folder
	for i := 0; len(beside) < 4; i++ {
		key := fmt.Sprint("k", i)
		if sha256.Sum256([]byte(key))[0] == 0 {
			beside = append(beside, key)
		}
	}
	for i, lasts := range []time.Duration{time.Minute, time.Hour, time.Hour} {
		c := inProgress(beside[i], "a", now)
		c.Expires = now.Add(lasts)
		if _, err := table.Claim(t.Context(), c, now); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range claimFiles(t, dir) {
		if err := os.Chtimes(file, now, now); err != nil {
			t.Fatal(err)
		}
	}
	later := now.Add(2 * time.Minute)
	c := inProgress(beside[3], "a", later)
	for range 300 {
		if _, err := table.Claim(t.Context(), c, later); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(claimFiles(t, dir)); got != 3 {
		t.Errorf("want the 3 claims that have not expired, got %d", got)
	}
	for _, key := range beside[1:3] {
		if there, err := table.Claim(t.Context(), inProgress(key, "a", later), later); err != nil || there != nil {
			t.Errorf("%+v, %v", there, err)
		}
	}
}

// A process that stands still with the lock holds nobody up for longer than the
// caller waits.
func TestFileTableHeldUp(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	table := fileTable(t, dir)
	defer table.Close()
	if _, err := table.Claim(t.Context(), inProgress("k", "a", now), now); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Open(filepath.Join(filepath.Dir(claimFiles(t, dir)[0]), ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := table.Claim(ctx, inProgress("k", "b", now), now); fault.CodeOf(err) != fault.DeadlineExceeded {
		t.Errorf("want DeadlineExceeded, got %v", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if there, err := table.Claim(t.Context(), inProgress("k", "b", now), now); err != nil || there == nil || there.Owner != "a" {
		t.Errorf("want the claim that is there, got %+v, %v", there, err)
	}
}

func TestFileTableCannotBeOpened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenFileTable(file); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("want Unavailable, got %v", err)
	}
}
