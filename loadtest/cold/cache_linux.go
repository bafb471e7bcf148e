package cold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"godwit.dev/runtime/fault"
)

// Evict takes the pages of all regular files in dir out of memory, and looks
// afterwards which are left. It needs no root: the files must be the caller's
// own, or writable. Nobody may have them mapped, or they stay. Errors: Internal.
func Evict(dir string) (Eviction, error) {
	var all Eviction
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		e, err := evict(path)
		all.Size, all.Before, all.Left = all.Size+e.Size, all.Before+e.Before, all.Left+e.Left
		return err
	})
	if err != nil {
		return all, fault.New(fault.Internal, "cold.Evict", dir, "%w", err)
	}
	return all, nil
}

func evict(path string) (e Eviction, err error) {
	f, err := os.Open(path)
	if err != nil {
		return e, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return e, err
	}
	e.Size = info.Size()
	fd := int(f.Fd())
	if e.Before, err = resident(fd, e.Size); err != nil {
		return e, fmt.Errorf("mincore %s: %w", path, err)
	}
	// Only pages that are on the disk can go.
	if err := unix.Fdatasync(fd); err != nil {
		return e, fmt.Errorf("fdatasync %s: %w", path, err)
	}
	for range 3 { // a page that somebody just looked at may need another time
		if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
			return e, fmt.Errorf("fadvise %s: %w", path, err)
		}
		if e.Left, err = resident(fd, e.Size); err != nil || e.Left == 0 {
			break
		}
	}
	return e, err
}

// resident is how many bytes of a file are in memory. Looking makes none so.
func resident(fd int, size int64) (int64, error) {
	mapped, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(mapped)
	page := int64(os.Getpagesize())
	pages := make([]byte, (size+page-1)/page)
	if err := mincore(mapped, pages); err != nil {
		return 0, err
	}
	var n int64
	for i, p := range pages {
		if p&1 != 0 {
			n += min(page, size-int64(i)*page)
		}
	}
	return n, nil
}

// Peak is the most memory, in bytes, that the process pid and those that it has
// started have had resident: VmHWM of each, added up. Errors: Internal.
func Peak(pid int) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, fault.New(fault.Internal, "cold.Peak", "", "%w", err)
	}
	peak := int64(-1)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fault.New(fault.Internal, "cold.Peak", "", "VmHWM: %w", err)
			}
			peak = kib << 10
		}
	}
	if peak < 0 {
		return 0, fault.New(fault.Internal, "cold.Peak", "", "want VmHWM of process %d, got none: it has ended", pid)
	}
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	if err != nil {
		return 0, fault.New(fault.Internal, "cold.Peak", "", "%w", err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) { // a thread that has ended
			return 0, fault.New(fault.Internal, "cold.Peak", "", "%w", err)
		}
		for _, child := range strings.Fields(string(text)) {
			id, err := strconv.Atoi(child)
			if err != nil {
				return 0, fault.New(fault.Internal, "cold.Peak", list, "%w", err)
			}
			if n, err := Peak(id); err == nil { // else it has ended meanwhile
				peak += n
			}
		}
	}
	return peak, nil
}
