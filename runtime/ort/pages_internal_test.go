//go:build cgo && linux

package ort

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// mapped is memory of its own of some huge pages, at a multiple of their size.
func mapped(t *testing.T, blocks int) []byte {
	t.Helper()
	all, err := syscall.Mmap(-1, 0, (blocks+1)*hugeSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(all) })
	skip := -uintptr(unsafe.Pointer(&all[0])) & (hugeSize - 1)
	return all[skip:][: blocks*hugeSize : blocks*hugeSize]
}

func touch(m []byte, pages int) {
	for i := range pages {
		m[i*pageSize] = byte(i%251) + 1
	}
}

func at(m []byte) uintptr { return uintptr(unsafe.Pointer(&m[0])) }

// inUse counts the pages of m that are in memory.
func inUse(t *testing.T, m []byte) int {
	t.Helper()
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries := make([]byte, len(m)/pageSize*8)
	if _, err := f.ReadAt(entries, int64(at(m)/pageSize*8)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := 0; i < len(entries); i += 8 {
		n += int(binary.LittleEndian.Uint64(entries[i:]) >> 63)
	}
	return n
}

func TestOnlyFullBlocksMoveToHugePages(t *testing.T) {
	pages, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	const perBlock = hugeSize / pageSize
	full, sparse := mapped(t, 5), mapped(t, 4)
	touch(full, 5*perBlock)
	for i := range 4 {
		touch(sparse[i*hugeSize:], perBlock-1) // but for one page
	}
	was := bytes.Clone(full)
	for _, m := range [][]byte{full, sparse} {
		if s := (span{at(m), at(m) + uintptr(len(m))}); !s.collapse(t.Context(), pages) {
			t.Error("the kernel has no huge pages for 10 MiB")
		}
	}
	if !bytes.Equal(was, full) {
		t.Error("what lay there has changed")
	}
	if got, want := [2]int{inUse(t, full), inUse(t, sparse)}, [2]int{5 * perBlock, 4 * (perBlock - 1)}; got != want {
		t.Errorf("pages in use are %d, want %d", got, want)
	}
	// Where the kernel does it at once for memory that is like it, it has to be done.
	able := mapped(t, 1)
	touch(able, perBlock)
	if _, _, err := syscall.Syscall(syscall.SYS_MADVISE, at(able), hugeSize, adviseCollapse); err == 0 {
		if got := huge(t, full); got < 5*hugeSize>>10 {
			t.Errorf("%d KiB of 10 MiB are on huge pages", got)
		}
	}
}

func TestSettlingEndsWithItsContext(t *testing.T) {
	pages, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := mapped(t, 20)
	touch(m, 20*hugeSize/pageSize)
	if (span{at(m), at(m) + uintptr(len(m))}).collapse(ctx, pages) {
		t.Error("it goes on")
	}
	if got := huge(t, m); got > mostHuge>>10 {
		t.Errorf("%d KiB were moved all the same", got)
	}
	(&engine{}).Settle(t.Context()) // over all that this process has
}

// huge is how many KiB of the mapping around m are on huge pages.
func huge(t *testing.T, m []byte) uintptr {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	inside, kibs := false, uintptr(0)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		from, rest, ok := strings.Cut(line, "-")
		if to, _, okTo := strings.Cut(rest, " "); ok && okTo && line[0] >= '0' && (line[0] < 'A' || line[0] > 'Z') {
			inside = address(from) <= at(m) && at(m) < address(to)
		} else if inside && key == "AnonHugePages" {
			kibs = kib(strings.TrimSpace(value))
		}
	}
	return kibs
}

func address(hex string) (n uintptr) {
	for _, c := range hex {
		n = n<<4 | uintptr(strings.IndexRune("0123456789abcdef", c))
	}
	return n
}

func TestMovable(t *testing.T) {
	const smaps = `00400000-00c00000 r-xp 00000000 fe:00 12  /usr/bin/godwit
Rss:                8192 kB
AnonHugePages:         0 kB
c000000000-c004000000 rw-p 00000000 00:00 0 
Rss:               65536 kB
AnonHugePages:         0 kB
7f0000000000-7f0008000000 rw-p 00000000 00:00 0 
Size:             131072 kB
Rss:              110000 kB
AnonHugePages:         0 kB
VmFlags: rd wr mr mw me ac sd 
7f1000000000-7f1008000000 rw-p 00000000 00:00 0                [anon: Go: heap]
Rss:              110000 kB
AnonHugePages:         0 kB
7f2000000000-7f2008000000 rw-p 00000000 00:00 0 
Rss:              131072 kB
AnonHugePages:    131072 kB
7f3000000000-7f7000000000 rw-p 00000000 00:00 0 
Rss:             1000000 kB
AnonHugePages:         0 kB
7f8000000000-7f8008000000 rw-p 00000000 fe:00 77 /tmp/weights
Rss:              131072 kB
AnonHugePages:         0 kB
7f9000000000-7f9000c00000 rw-p 00000000 00:00 0 [heap]
Rss:               12000 kB
AnonHugePages:      2048 kB
7ffd00000000-7ffd00800000 rw-p 00000000 00:00 0 [stack]
Rss:                8192 kB
AnonHugePages:         0 kB
`
	want := []span{{0x7f0000000000, 0x7f0008000000}, {0x7f9000000000, 0x7f9000c00000}}
	if diff := cmp.Diff(want, movable(strings.NewReader(smaps)), cmp.AllowUnexported(span{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
