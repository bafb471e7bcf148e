package cold

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What is evicted is gone, as mincore sees it, and comes back when it is read.
func TestEvict(t *testing.T) {
	dir := t.TempDir()
	big, small := filepath.Join(dir, "lib", "big"), filepath.Join(dir, "small")
	if err := os.Mkdir(filepath.Dir(big), 0o755); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("godwit"), 1<<20)
	for file, b := range map[string][]byte{big: content, small: content[:5000], filepath.Join(dir, "empty"): nil} {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/proc/self/exe", filepath.Join(dir, "link")); err != nil { // not ours to evict
		t.Fatal(err)
	}
	size := int64(len(content) + 5000)
	for range 2 {
		e, err := Evict(dir)
		if err != nil {
			t.Fatal(err)
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			t.Fatal(err)
		}
		if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC { // there is no disk to read from, and it must say so
			if e.Proven() || e.Left != size {
				t.Errorf("want all %d bytes left in a file system in memory, got %+v", size, e)
			}
			return
		}
		if e.Size != size || e.Before != size || e.Left != 0 || !e.Proven() {
			t.Errorf("want %d bytes in memory before and none after, got %+v", size, e)
		}
		got, err := os.ReadFile(big)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("want what was written, got %d bytes, %v", len(got), err)
		}
		if _, err := os.ReadFile(small); err != nil {
			t.Fatal(err)
		}
	}
}

// Pages that a process has mapped stay, and are counted.
func TestEvictMapped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mapped")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	e, err := Evict(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	if e.Proven() || e.Left != 1<<20 {
		t.Errorf("want all of it left, got %+v", e)
	}
}

func TestEvictNothing(t *testing.T) {
	if e, err := Evict(t.TempDir()); err != nil || e.Proven() {
		t.Errorf("want nothing proven of an empty folder, got %+v, %v", e, err)
	}
	if _, err := Evict(filepath.Join(t.TempDir(), "gone")); err == nil {
		t.Error("want an error for a folder that is not there")
	}
}

// The peak is the process's own and its children's, and stays when memory is given back.
func TestPeak(t *testing.T) {
	own, err := Peak(os.Getpid())
	if err != nil || own < 1<<20 {
		t.Fatalf("want more than 1 MiB, got %d, %v", own, err)
	}
	if own > 1<<30 { // an address space of this size is no memory
		t.Errorf("want what is resident, got %d", own)
	}
	const more = 128 << 20
	m, err := unix.Mmap(-1, 0, int(own)+more, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Munmap(m); err != nil {
		t.Fatal(err)
	}
	if peak, err := Peak(os.Getpid()); err != nil || peak < own+more {
		t.Errorf("want at least %d of memory that was given back, got %d, %v", own+more, peak, err)
	} else {
		own = peak
	}
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	alone, err := Peak(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if both, err := Peak(os.Getpid()); err != nil || both < own+alone/2 {
		t.Errorf("want some %d bytes of this process and its child, got %d, %v", own+alone, both, err)
	}
	in.Close()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := Peak(child.Process.Pid); err == nil {
		t.Error("want an error for a process that has ended")
	}
}
