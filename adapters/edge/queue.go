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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	// 256 MiB, and MaxItems how many wait; default 100,000. To stay within them
	// the oldest go.
	MaxBytes int64
	MaxItems int
	// MaxAge is how long an answer waits before it goes; default 7 days.
	MaxAge time.Duration
	// Forward sends one answer on, within 30 s. It may be called again with the
	// same one. An error that the same bytes will always meet, as trigger.Of has
	// it, puts the answer aside; after any other it comes again.
	Forward func(ctx context.Context, name string, answer []byte) error
	// Wait is the time after the first failure, which doubles with each further
	// one up to MaxWait; defaults 1 s and 5 min.
	Wait, MaxWait time.Duration
	Log           *slog.Logger // nil: no log
}

// Queue keeps answers on disk until they have been sent on: each at least once,
// the oldest first, as long as its bounds have room for them. It is a
// batch.Sink. Its methods may be called concurrently, but Run once at a time.
//
// A file is the digest of the answer and the answer; its name is its place and
// the answer's name. What Forward refuses for good lies in the folder "refused"
// as it is, for a person to look at. It counts against the bounds, and goes
// first.
type Queue struct {
	opts  QueueOptions
	lock  *os.File
	added chan struct{} // has room for one: there may be something to send on
	shown atomic.Pointer[Stats]

	mu      sync.Mutex
	waiting []entry // the oldest first
	refused []entry // likewise
	names   map[string]bool
	next    uint64
	stats   Stats
	told    Stats     // those that the log has
	tell    time.Time // when it may be told of more that went
}

// Stats are counts of a Queue: what it holds now, and what became of the rest
// since it was opened.
type Stats struct {
	Waiting, Refused int   // answers on disk
	Bytes            int64 // of disk that both take
	Sent             int   // answers taken by Forward
	// Aged are those that went because they were older than MaxAge, Crowded
	// those that made room, Lost those that the disk did not keep.
	Aged, Crowded, Lost int
}

type entry struct {
	seq  uint64
	name string
	size int64
	at   time.Time // since when it waits
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
	q.opts.MaxAge = cmp.Or(max(q.opts.MaxAge, 0), 7*24*time.Hour)
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
	err = q.recover()
	if err == nil {
		err = q.trim(0) // the bounds may have been others
	}
	q.show()
	if err != nil {
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
	now := time.Now()
	for _, dir := range []string{"", refusedDir} {
		files, err := os.ReadDir(filepath.Join(q.opts.Dir, dir)) // sorted, so in their order
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
			e.size, e.at = onDisk(info.Size()), since(info.ModTime(), now)
			q.next = max(q.next, e.seq+1)
			q.stats.Bytes += e.size
			if dir == refusedDir {
				q.refused = append(q.refused, e)
				continue
			}
			q.waiting = append(q.waiting, e)
			q.names[e.name] = true
		}
	}
	return nil
}

// clockSet is a time that a clock which was ever set is after.
var clockSet = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// since is the time that a file waits since. A device without a battery starts
// with any clock: a time that cannot be right is now.
func since(written, now time.Time) time.Time {
	if written.After(now) || written.Before(clockSet) {
		return now
	}
	return written
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
// to stay. Of a name that waits nothing changes, and it is no error. Where there
// is no room, what was refused for good goes, then what has waited longest.
// Errors: Unavailable when the disk fails, TooLarge for what is larger than
// MaxBytes, Invalid for names of more than 200 letters, digits, ".", "-" and "_".
func (q *Queue) Put(ctx context.Context, name string, answer []byte) error {
	if !validName(name) {
		return fault.New(fault.Invalid, "edge.Queue", "name", "want at most 200 letters, digits, '.', '-' and '_', got %.64q", name)
	}
	if err := ctx.Err(); err != nil {
		return fault.New(fault.CodeOf(err), "edge.Queue", name, "%w", err)
	}
	size := onDisk(int64(sha256.Size + len(answer)))
	if size > q.opts.MaxBytes {
		return fault.New(fault.TooLarge, "edge.Queue", name, "want an answer of at most %d bytes with its digest, got %d", q.opts.MaxBytes, sha256.Size+len(answer)).
			WithHint("Give the queue more room.")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.names[name] {
		return nil
	}
	if err := q.trim(size); err != nil {
		return err
	}
	e := entry{q.next, name, size, time.Now()}
	if err := q.write(&e, answer); err != nil {
		return q.fail("%w", err)
	}
	q.waiting = append(q.waiting, e)
	q.names[name] = true
	q.next, q.stats.Bytes = q.next+1, q.stats.Bytes+size
	q.show()
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
func (q *Queue) Len() int { return q.Stats().Waiting }

// Stats returns the counts. It waits for no disk: a watchdog may ask.
func (q *Queue) Stats() Stats { return *q.shown.Load() }

// show makes the counts those that Stats returns.
func (q *Queue) show() {
	s := q.stats
	s.Waiting, s.Refused = len(q.waiting), len(q.refused)
	q.shown.Store(&s)
}

// Close gives the folder up. What waits stays there. Run must have returned.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tell = time.Time{}
	q.sayGone()
	return q.lock.Close()
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

// missing reports whether a file is damaged or gone: no answer comes of it, and
// nothing may wait behind it.
func missing(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EIO)
}
