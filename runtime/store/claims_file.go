package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"godwit.dev/runtime/fault"
)

// FileTable keeps claims as files in a folder, for all processes of a machine. The
// folder is on a disk of this machine: locks of network file systems are not
// relied on. A completed claim is on the disk when Update returns.
type FileTable struct {
	root *os.Root
	// turn has one token for each of the folders that claims are spread over: in
	// this process one waits for the other here, and processes at the folder's lock.
	turn [256]chan struct{}
	used [256]int // claims written in each, by whoever has the turn
}

var _ Table = (*FileTable)(nil)

// sweepEvery is how many claims are written in a folder before what has expired
// there is removed.
const sweepEvery = 256

// OpenFileTable opens the table in dir, and makes the folder if it is not there.
// Close it. Errors: Unavailable, Denied.
func OpenFileTable(dir string) (*FileTable, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fileFault(dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fileFault(dir, err)
	}
	t := &FileTable{root: root}
	for i := range t.turn {
		t.turn[i] = make(chan struct{}, 1)
	}
	return t, nil
}

func fileFault(subject string, err error) error {
	code := fault.Unavailable
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		code = fault.Denied
	}
	return fault.New(code, "store.FileTable", subject, "%w", err)
}

// place is where the claim of key is: a folder, and a file in it.
func place(key string) (stripe int, dir, file string) {
	sum := sha256.Sum256([]byte(key))
	text := hex.EncodeToString(sum[:])
	return int(sum[0]), text[:2], path.Join(text[:2], text[2:]+".json")
}

// lock waits until no other process and nobody in this one is in key's folder.
func (t *FileTable) lock(ctx context.Context, key string) (unlock func(), err error) {
	stripe, dir, _ := place(key)
	if err := ended(ctx, key); err != nil {
		return nil, err
	}
	select {
	case t.turn[stripe] <- struct{}{}:
	case <-ctx.Done():
		return nil, ended(ctx, key)
	}
	defer func() {
		if err != nil {
			<-t.turn[stripe]
		}
	}()
	if err := t.root.MkdirAll(dir, 0o700); err != nil {
		return nil, fileFault(key, err)
	}
	f, err := t.root.OpenFile(path.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fileFault(key, err)
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close(); <-t.turn[stripe] }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fileFault(key, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			f.Close()
			return nil, ended(ctx, key)
		}
	}
}

// Claim is Table's.
func (t *FileTable) Claim(ctx context.Context, c *Claim, now time.Time) (*Claim, error) {
	there, err := t.change(ctx, c, func(there *Claim) bool { return mayClaim(there, c, now) }, now)
	return there, err
}

// Update is Table's.
func (t *FileTable) Update(ctx context.Context, c *Claim) (*Claim, error) {
	return t.change(ctx, c, func(there *Claim) bool { return mayUpdate(there, c) }, time.Time{})
}

func (t *FileTable) change(ctx context.Context, c *Claim, may func(there *Claim) bool, now time.Time) (*Claim, error) {
	unlock, err := t.lock(ctx, c.Key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	there, err := t.read(c.Key)
	switch {
	case err != nil:
		return nil, err
	case may(there):
		return nil, t.write(c, now)
	case there == nil:
		return &Claim{}, nil
	}
	return there, nil
}

// filed is a claim as it is in its file.
type filed struct {
	Key        string    `json:"key"`
	Status     Status    `json:"status"`
	Owner      string    `json:"owner"`
	Validation string    `json:"validation"`
	Until      time.Time `json:"until"`
	Expires    time.Time `json:"expires"`
	Answer     []byte    `json:"answer,omitempty"`
	Object     string    `json:"object,omitempty"`
}

// read returns the claim of key, or nil.
func (t *FileTable) read(key string) (*Claim, error) {
	_, _, name := place(key)
	f, err := t.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fileFault(key, err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fileFault(key, err)
	}
	return parseFiled(text, key), nil
}

// parseFiled returns nil for what is no claim of key. Only a claim in progress
// can be cut short, by a machine that went down with whoever worked on it, since
// completed ones are on the disk before they have their name.
func parseFiled(text []byte, key string) *Claim {
	var c filed
	if json.Unmarshal(text, &c) != nil || c.Key != key || c.Owner == "" || c.Status != InProgress && c.Status != Completed {
		return nil
	}
	claim := Claim(c)
	return &claim
}

// write makes c's file there, whole. Its time is when it expires.
func (t *FileTable) write(c *Claim, now time.Time) error {
	stripe, dir, name := place(c.Key)
	if t.used[stripe]++; !now.IsZero() && t.used[stripe]%sweepEvery == 0 {
		t.sweep(dir, now)
	}
	stored := c.stored()
	text, err := json.Marshal(filed(stored))
	if err != nil {
		return fault.New(fault.Internal, "store.FileTable", c.Key, "%w", err)
	}
	fresh := path.Join(dir, ".new")
	f, err := t.root.OpenFile(fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fileFault(c.Key, err)
	}
	_, err = f.Write(text)
	if err == nil && c.Status == Completed {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close(), t.root.Chtimes(fresh, stored.Expires, stored.Expires))
	if err == nil {
		err = t.root.Rename(fresh, name)
	}
	if err == nil && c.Status == Completed {
		err = t.sync(dir)
	}
	if err != nil {
		return fileFault(c.Key, err)
	}
	return nil
}

func (t *FileTable) sync(dir string) error {
	d, err := t.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sweep removes what has expired. What it cannot remove stays for the next one.
func (t *FileTable) sweep(dir string, now time.Time) {
	entries, err := fs.ReadDir(t.root.FS(), dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasSuffix(e.Name(), ".json") || info.ModTime().After(now) {
			continue
		}
		// A copied file has another time, so what it says counts.
		name := path.Join(dir, e.Name())
		text, err := t.root.ReadFile(name)
		var c filed
		if err == nil && (json.Unmarshal(text, &c) != nil || !c.Expires.After(now)) {
			_ = t.root.Remove(name)
		}
	}
}

// Release is Table's.
func (t *FileTable) Release(ctx context.Context, key, owner string) error {
	unlock, err := t.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	there, err := t.read(key)
	if err != nil || there == nil || there.Status != InProgress || there.Owner != owner {
		return err
	}
	_, _, name := place(key)
	if err := t.root.Remove(name); err != nil {
		return fileFault(key, err)
	}
	return nil
}

// Close gives the folder up.
func (t *FileTable) Close() error { return t.root.Close() }
