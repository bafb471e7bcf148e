package edge

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"godwit.dev/runtime/fault"
)

// QueueOptions are what a Queue needs; Dir and Forward must be set.
type QueueOptions struct {
	// Dir is where what waits lies; it is made where it does not exist. One
	// queue at a time may have it.
	Dir string
	// MaxBytes bounds the disk that it takes, in blocks of 4 KiB; default
	// 256 MiB, and MaxItems how many wait; default 100,000.
	MaxBytes int64
	MaxItems int
	// Forward sends one answer on. It may be called again with the same one. An
	// error that the same bytes will always meet, as trigger.Of has it, puts the
	// answer aside; after any other it comes again.
	Forward func(ctx context.Context, name string, answer []byte) error
	// Wait is the time after the first failure, which doubles with each further
	// one up to MaxWait; defaults 1 s and 5 min.
	Wait, MaxWait time.Duration
	Log           *slog.Logger // nil: no log
}

// Queue keeps answers on disk until they have been sent on: each at least once,
// the oldest first. It is a batch.Sink. Its methods may be called concurrently,
// but Run once at a time.
//
// A file is the digest of the answer and the answer; its name is its place and
// the answer's name. What Forward refuses for good lies in the folder "refused"
// as it is, counts against the bounds, and is for a person to look at.
type Queue struct {
	opts  QueueOptions
	lock  *os.File
	added chan struct{} // has room for one: there may be something to send on

	mu      sync.Mutex
	waiting []entry // the oldest first
	names   map[string]bool
	next    uint64
	bytes   int64 // of disk, with what is set aside
	items   int   // likewise
}

type entry struct {
	seq  uint64
	name string
	size int64
}

func (e *entry) file() string { return fmt.Sprintf("%016x-%s", e.seq, e.name) }

// The names in Dir that are no answers.
const (
	lockFile   = "lock"
	refusedDir = "refused"
	tempPrefix = ".writing-"
)

// block is what files are counted in, as most file systems do.
const block = 4096

func onDisk(n int64) int64 { return (n + block - 1) / block * block }

// OpenQueue opens the queue in a folder, with what an earlier process has left
// there. The caller closes it. Errors: Unavailable when the folder cannot be
// used or another process has it.
func OpenQueue(opts *QueueOptions) (*Queue, error) {
	q := &Queue{opts: *opts, added: make(chan struct{}, 1), names: map[string]bool{}}
	q.opts.MaxBytes = cmp.Or(max(q.opts.MaxBytes, 0), 256<<20)
	q.opts.MaxItems = cmp.Or(max(q.opts.MaxItems, 0), 100_000)
	q.opts.Wait = cmp.Or(max(q.opts.Wait, 0), time.Second)
	q.opts.MaxWait = cmp.Or(max(q.opts.MaxWait, 0), 5*time.Minute)
	if q.opts.Log == nil {
		q.opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(filepath.Join(q.opts.Dir, refusedDir), 0o700); err != nil {
		return nil, q.fail("%w", err)
	}
	var err error
	if q.lock, err = os.OpenFile(filepath.Join(q.opts.Dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, q.fail("%w", err)
	}
	// The lock goes with the process, however that ends.
	if err := syscall.Flock(int(q.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(q.fail("want it for this process alone, another has it: %w", err), q.lock.Close())
	}
	if err := q.recover(); err != nil {
		return nil, errors.Join(err, q.lock.Close())
	}
	return q, nil
}

func (q *Queue) fail(format string, args ...any) *fault.Error {
	return fault.New(fault.Unavailable, "edge.Queue", q.opts.Dir, format, args...)
}

// recover reads what waits. What was being written when a process was killed was
// never said to be kept, and goes.
func (q *Queue) recover() error {
	for _, dir := range []string{"", refusedDir} {
		files, err := os.ReadDir(filepath.Join(q.opts.Dir, dir))
		if err != nil {
			return q.fail("%w", err)
		}
		for _, f := range files {
			if strings.HasPrefix(f.Name(), tempPrefix) {
				if err := os.Remove(filepath.Join(q.opts.Dir, dir, f.Name())); err != nil {
					return q.fail("%w", err)
				}
				continue
			}
			e, ok := parseEntry(f.Name())
			if !ok {
				continue
			}
			info, err := f.Info()
			if err != nil {
				return q.fail("%w", err)
			}
			e.size = onDisk(info.Size())
			q.bytes, q.items, q.next = q.bytes+e.size, q.items+1, max(q.next, e.seq+1)
			if dir == "" {
				q.waiting = append(q.waiting, e)
				q.names[e.name] = true
			}
		}
	}
	slices.SortFunc(q.waiting, func(a, b entry) int { return cmp.Compare(a.seq, b.seq) })
	return nil
}

// parseEntry reads the name of a file.
func parseEntry(file string) (e entry, ok bool) {
	place, name, ok := strings.Cut(file, "-")
	if !ok || len(place) != 16 || !validName(name) {
		return entry{}, false
	}
	seq, err := strconv.ParseUint(place, 16, 63)
	e = entry{seq: seq, name: name}
	return e, err == nil && e.file() == file // capital digits are not ours
}

// validName bounds names to what any file system takes.
func validName(name string) bool {
	return name != "" && len(name) <= 200 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
}

// Put keeps an answer until it has been sent on, and returns when it is on disk
// to stay. Of a name that waits nothing changes, and it is no error. Errors:
// Unavailable when the queue is full or the disk fails, Invalid for names of
// more than 200 letters, digits, ".", "-" and "_".
func (q *Queue) Put(ctx context.Context, name string, answer []byte) error {
	if !validName(name) {
		return fault.New(fault.Invalid, "edge.Queue", "name", "want at most 200 letters, digits, '.', '-' and '_', got %.64q", name)
	}
	if err := ctx.Err(); err != nil {
		return fault.New(fault.CodeOf(err), "edge.Queue", name, "%w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.names[name] {
		return nil
	}
	size := onDisk(int64(sha256.Size + len(answer)))
	if q.items >= q.opts.MaxItems || q.bytes+size > q.opts.MaxBytes {
		return q.fail("want room for one more answer, got %d answers of %d and %d bytes of %d", q.items, q.opts.MaxItems, q.bytes, q.opts.MaxBytes).
			WithHint("They go when they can be sent on; those in the folder %q were refused for good.", refusedDir)
	}
	e := entry{q.next, name, size}
	if err := q.write(&e, answer); err != nil {
		return q.fail("%w", err)
	}
	q.waiting = append(q.waiting, e)
	q.names[name] = true
	q.next, q.bytes, q.items = q.next+1, q.bytes+size, q.items+1
	select {
	case q.added <- struct{}{}:
	default: // it knows
	}
	return nil
}

// write makes a file that is there whole and to stay, or not at all.
func (q *Queue) write(e *entry, answer []byte) error {
	f, err := os.CreateTemp(q.opts.Dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(answer)
	_, err = f.Write(sum[:])
	if err == nil {
		_, err = f.Write(answer)
	}
	to := filepath.Join(q.opts.Dir, e.file())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := syncDir(q.opts.Dir); err != nil {
		return errors.Join(err, os.Remove(to)) // nobody is told that it is there
	}
	return nil
}

// syncDir makes new names in a folder last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Len is how many answers wait, without those that were refused.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// Close gives the folder up. What waits stays there. Run must have returned.
func (q *Queue) Close() error { return q.lock.Close() }

// oldest is what waits longest.
func (q *Queue) oldest() (entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return entry{}, false
	}
	return q.waiting[0], true
}

// done forgets the oldest; freed says whether it takes no disk any more.
func (q *Queue) done(freed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.waiting[0]
	q.waiting = q.waiting[1:]
	delete(q.names, e.name)
	if freed {
		q.bytes, q.items = q.bytes-e.size, q.items-1
	}
}

// read returns an answer, or why the file is not what was written.
func (q *Queue) read(e *entry) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(q.opts.Dir, e.file()))
	if err != nil {
		return nil, err
	}
	if len(data) < sha256.Size {
		return nil, errDamaged
	}
	answer := data[sha256.Size:]
	if sum := sha256.Sum256(answer); !bytes.Equal(sum[:], data[:sha256.Size]) {
		return nil, errDamaged
	}
	return answer, nil
}

// errDamaged is a file that the disk did not keep as it was written.
var errDamaged = errors.New("its digest is another")

// missing reports whether a file is damaged or gone: no answer comes of it.
func missing(err error) bool { return errors.Is(err, errDamaged) || errors.Is(err, fs.ErrNotExist) }
