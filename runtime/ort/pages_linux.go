//go:build cgo && linux

package ort

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"godwit.dev/runtime/driver"
)

const (
	pageSize = 4 << 10
	hugeSize = 2 << 20
	// leastHuge is the shortest piece that is moved: less gains nothing.
	leastHuge = 2 * hugeSize
	// mostHuge is moved at once: a run that uses it waits for that, some
	// tenths of a millisecond for each 2 MiB.
	mostHuge = 2 * hugeSize

	adviseHuge     = 14 // MADV_HUGEPAGE
	adviseCollapse = 25 // MADV_COLLAPSE, since Linux 6.1
)

var _ driver.Settler = (*engine)(nil)

// Settle moves the weights of all open sessions onto huge pages, where the
// system lets a process ask for them: a run that reads all of them takes a
// tenth to a sixth less then. The C library never asks by itself. Only memory
// of which every page is in use already is moved, so nothing grows.
func (e *engine) Settle(ctx context.Context) {
	mode, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || bytes.Contains(mode, []byte("[never]")) || os.Getpagesize() != pageSize {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	spans := movable(f)
	f.Close()
	pages, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return
	}
	defer pages.Close()
	for _, s := range spans {
		if !s.collapse(ctx, pages) {
			return
		}
	}
}

// span is a part of the address space.
type span struct{ from, to uintptr }

// movable lists private memory of no file that lies mostly in ordinary pages,
// but for Go's, whose runtime sees to that itself.
func movable(smaps io.Reader) []span {
	var all []span
	var s span
	var size, usual uintptr // KiB
	wanted := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		key, value, _ := strings.Cut(line, ":")
		switch {
		case line == "" || line[0] < 'A' || line[0] > 'Z': // addresses are in small letters
			var perms, offset, device string
			var inode uint64
			n, _ := fmt.Sscanf(line, "%x-%x %s %s %s %d", &s.from, &s.to, &perms, &offset, &device, &inode)
			size, usual = (s.to-s.from)>>10, 0
			wanted = n == 6 && perms == "rw-p" && inode == 0 && s.from>>32 != 0xc0 &&
				!strings.Contains(line, "[stack]") && !strings.Contains(line, "[anon: Go")
		case !wanted:
		case key == "Rss":
			usual = kib(value)
		case key == "AnonHugePages":
			if usual >= size/2 && usual-kib(value) >= leastHuge>>10 {
				all = append(all, s)
			}
		}
	}
	return all
}

// kib reads " 4096 kB".
func kib(value string) uintptr {
	n, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
	return uintptr(n)
}

// collapse moves the blocks of s that are in use in full. It returns false
// when there is no use in going on.
func (s span) collapse(ctx context.Context, pages io.ReaderAt) bool {
	from := (s.from + hugeSize - 1) &^ (hugeSize - 1)
	start, first := from, from // of what is moved next, and of the whole piece
	for at := from; ; at += hugeSize {
		more := at+hugeSize <= s.to && resident(pages, at)
		if more && at+hugeSize-start < mostHuge {
			continue
		}
		end := at
		if more {
			end += hugeSize
		}
		if end > start && end-first >= leastHuge && !move(ctx, start, end-start) || ctx.Err() != nil {
			return false
		}
		if start = end; !more {
			start = at + hugeSize
			first = start
		}
		if at+hugeSize > s.to {
			return true
		}
	}
}

// resident reports whether all pages of the block at from are in memory.
func resident(pages io.ReaderAt, from uintptr) bool {
	var entries [hugeSize / pageSize * 8]byte
	if _, err := pages.ReadAt(entries[:], int64(from/pageSize*8)); err != nil {
		return false
	}
	for i := 0; i < len(entries); i += 8 {
		if binary.LittleEndian.Uint64(entries[i:])>>63 == 0 {
			return false
		}
	}
	return true
}

// move has the kernel copy what lies there into huge pages; older kernels do
// it by themselves, later. Then it leaves the memory to the runs for three
// times as long. It returns false when there are no huge pages left.
func move(ctx context.Context, from, size uintptr) bool {
	began := time.Now()
	_, _, err := syscall.Syscall(syscall.SYS_MADVISE, from, size, adviseCollapse)
	if err == syscall.EINVAL {
		_, _, err = syscall.Syscall(syscall.SYS_MADVISE, from, size, adviseHuge)
	}
	pause := time.NewTimer(3 * time.Since(began))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	return err != syscall.ENOMEM && err != syscall.EPERM
}
