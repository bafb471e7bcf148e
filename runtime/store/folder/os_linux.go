package folder

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// nameless is a file in dir without a name, which is gone when nobody has it
// open; nil where there are none.
func nameless(dir string) *os.File {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), dir)
	if _, err := os.Lstat(descriptor(f)); err != nil { // no /proc to link it through
		f.Close()
		return nil
	}
	return f
}

// linkNameless gives f a name.
func linkNameless(f *os.File, path string) error {
	return unix.Linkat(unix.AT_FDCWD, descriptor(f), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

func descriptor(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// syncFolder makes the names in dir durable. Some file systems cannot be asked.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// beginToWrite has the disk take n bytes of f from offset on, and does not wait
// for it. Where that is not to be had, Commit does it.
func beginToWrite(f *os.File, offset, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}
