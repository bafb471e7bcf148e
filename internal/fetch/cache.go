package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"godwit.dev/runtime/fault"
)

// The variables that say where the cache is and how large it may become.
const (
	CacheDir  = "GODWIT_MODEL_CACHE"
	CacheSize = "GODWIT_MODEL_CACHE_SIZE"
)

const defaultCacheBytes = 10 << 30

// cacheBytes reads CacheSize: a number with MiB, GiB, MB or GB.
func cacheBytes(text string) (int64, error) {
	if text == "" {
		return defaultCacheBytes, nil
	}
	for _, unit := range []struct {
		name string
		size int64
	}{{"MiB", 1 << 20}, {"GiB", 1 << 30}, {"MB", 1e6}, {"GB", 1e9}} {
		if number, ok := strings.CutSuffix(text, unit.name); ok {
			if n, err := strconv.ParseInt(number, 10, 32); err == nil && n > 0 {
				return n * unit.size, nil
			}
		}
	}
	return 0, fault.New(fault.BadConfig, "fetch.Get", CacheSize, "want a size such as 512MiB or 10GiB, got %q", text)
}

// cache is a folder of models.
type cache struct {
	f   *Fetcher
	dir string
}

// cache finds the first folder that can be written to.
func (f *Fetcher) cache() (*cache, error) {
	dirs, hint := f.o.Dirs, "Set "+CacheDir+" to a folder that can be written to, as a volume or below /tmp."
	if named := f.o.Getenv(CacheDir); named != "" {
		dirs, hint = []string{named}, "Mount it so that it can be written to, or set "+CacheDir+" to another folder."
	}
	var problems []error
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		dir, err := filepath.Abs(dir)
		if err == nil {
			err = usable(dir)
		}
		if err == nil {
			return &cache{f, dir}, nil
		}
		problems = append(problems, err)
	}
	if len(problems) == 0 {
		problems = append(problems, errors.New("got no folder at all"))
	}
	return nil, fault.New(fault.BadConfig, "fetch.Get", CacheDir, "want a folder of this user's own to put models into: %w", errors.Join(problems...)).WithHint("%s", hint)
}

// usable makes dir if need be, and wants it to be this user's alone: whoever can
// put files there can put others in their place while they are being read.
func usable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || ok && int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return &fs.PathError{Op: "use", Path: dir, Err: errors.New("others can write there")}
	}
	probe, err := os.CreateTemp(dir, "probe-*") // a mode says nothing of a file system that is mounted read-only
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func (c *cache) path(sum, ending string) string { return filepath.Join(c.dir, sum+ending) }

// get is Get for a folder.
func (c *cache) get(ctx context.Context, at *location, sum string) (*File, error) {
	file, err := c.find(ctx, sum, false)
	if file != nil || err != nil {
		return file, err
	}
	for {
		lock, err := c.lock(ctx, sum)
		if err != nil {
			return nil, err
		}
		// Whoever had the lock before may have left it there.
		file, err := c.find(ctx, sum, false)
		if file == nil && err == nil {
			if err = c.download(ctx, at, sum); err == nil {
				file, err = c.find(ctx, sum, true)
			}
		}
		if err = errors.Join(err, lock.remove()); err != nil || file != nil {
			return file, err
		}
	}
}

// find opens the model if it is there and right; nil if not. What is there and
// wrong is replaced by who downloads it again: others may have it in use. known
// spares reading what this call has just written.
func (c *cache) find(ctx context.Context, sum string, known bool) (*File, error) {
	name := c.path(sum, ".onnx")
	for {
		f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, c.fault(err)
		}
		if err := flock(ctx, f, syscall.LOCK_SH); err != nil {
			f.Close()
			return nil, err
		}
		if !same(f, name) { // removed for room, or replaced, before the lock was there
			f.Close()
			continue
		}
		got := sum
		if !known {
			if got, err = sumOf(ctx, f); err != nil {
				f.Close()
				return nil, c.fault(err)
			}
		}
		if got != sum {
			f.Close()
			c.f.o.Logger.WarnContext(ctx, "a model in the cache was damaged", "path", name, "want", sum, "got", got)
			return nil, nil
		}
		now := time.Now()
		_ = os.Chtimes(name, now, now) // what was used last is removed last; not to know it costs a download at most
		return &File{Path: name, held: f}, nil
	}
}

func sumOf(ctx context.Context, f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, &reader{ctx, f}, make([]byte, 256<<10)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// held is a lock file that this process has the lock of.
type held struct{ *os.File }

func (c *cache) lock(ctx context.Context, sum string) (*held, error) {
	name := c.path(sum, ".lock")
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, c.fault(err)
		}
		if err := flock(ctx, f, syscall.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
		if same(f, name) {
			return &held{f}, nil
		}
		f.Close() // its owner has removed it; there may be another one
	}
}

// remove ends the lock and takes its file away, in this order for who waits: a
// lock on a file that is no longer there is none.
func (h *held) remove() error { return errors.Join(os.Remove(h.Name()), h.Close()) }

// flock waits for a lock. A call that blocks could not be ended.
func flock(ctx context.Context, f *os.File, how int) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			return fault.New(fault.BadConfig, "fetch.Get", f.Name(), "want a file system with locks: %w", err).
				WithHint("Set %s to a folder of another file system.", CacheDir)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// same reports whether f is what name names.
func same(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(name)
	return err == nil && os.SameFile(a, b)
}

// room makes sure that need more bytes fit below the bound and on the disk:
// models and parts that nobody uses go, those used longest ago first. keep is
// the sum of the one that room is made for, whose bytes are in need.
func (c *cache) room(need int64, keep string) error {
	type entry struct {
		name string
		size int64
		used time.Time
	}
	list, err := os.ReadDir(c.dir)
	if err != nil {
		return c.fault(err)
	}
	var all []entry
	total := need
	for _, e := range list {
		sum, ending, _ := strings.Cut(e.Name(), ".")
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && digest().MatchString(sum) && (ending == "onnx" || ending == "part") && sum != keep {
			all = append(all, entry{e.Name(), info.Size(), info.ModTime()})
			total += info.Size()
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.name, b.name)) })
	enough := func() bool {
		free, err := free(c.dir)
		return total <= c.f.o.CacheBytes && (err != nil || free >= missing(c, keep, need))
	}
	for _, e := range all {
		if enough() {
			return nil
		}
		if c.evict(e.name) {
			total -= e.size
		}
	}
	switch {
	case enough():
		return nil
	case total > c.f.o.CacheBytes:
		return fault.New(fault.BadConfig, "fetch.Get", c.dir, "want room for %d bytes, got %d as %s, with %d in use", need, c.f.o.CacheBytes, CacheSize, total-need).
			WithHint("Raise %s.", CacheSize)
	}
	return c.fault(&fs.PathError{Op: "write", Path: c.dir, Err: syscall.ENOSPC})
}

// missing is what is yet to be written of need.
func missing(c *cache, sum string, need int64) int64 {
	if info, err := os.Stat(c.path(sum, ".part")); err == nil {
		return need - info.Size()
	}
	return need
}

func free(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// evict removes a model or a part that no process holds.
func (c *cache) evict(name string) bool {
	at := filepath.Join(c.dir, name)
	sum, ending, _ := strings.Cut(name, ".")
	guarded, how := at, os.O_RDWR
	if ending == "part" {
		guarded, how = c.path(sum, ".lock"), os.O_RDWR|os.O_CREATE
	}
	f, err := os.OpenFile(guarded, how|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return false
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil || !same(f, guarded) {
		return false
	}
	if ending == "part" {
		defer os.Remove(guarded)
		_ = os.Remove(c.path(sum, ".state")) // a part without it is begun anew
	}
	return os.Remove(at) == nil
}

// fault says what the file system would not do.
func (c *cache) fault(err error) error {
	if fault.Of(err) != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := fault.New(fault.BadConfig, "fetch.Get", c.dir, "%w", err)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e = fault.New(fault.BadConfig, "fetch.Get", c.dir, "want room for the model, got a full disk: %w", err)
		return e.WithHint("Make room there, or set %s to a folder with room; where that is memory, raise the function's memory too.", CacheDir)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return e.WithHint("Set %s to a folder that can be written to.", CacheDir)
	}
	return e
}
