package auth

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// maxKeyFile bounds the file of keys; maxKeys of them fit.
const maxKeyFile = 8 << 20

// lookEvery is how often the file is looked at.
const lookEvery = 5 * time.Second

// keyFile reads the file of keys again when it has changed, as it does when a
// mounted secret is rotated.
type keyFile struct {
	path  string
	log   *slog.Logger
	into  *keys
	seen  fs.FileInfo // of the version that was read last, good or bad; nil when there was none
	stop  context.CancelFunc
	ended chan struct{}
}

// follow reads the file and keeps reading it until close. Errors: BadConfig.
func (k *keys) follow(path string, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &keyFile{path: path, log: log, into: k, stop: stop, ended: make(chan struct{})}
	if _, err := f.read(); err != nil {
		stop()
		return err
	}
	k.file = f
	go f.run(ctx)
	return nil
}

func (f *keyFile) close() {
	f.stop()
	<-f.ended
}

func (f *keyFile) run(ctx context.Context) {
	defer close(f.ended)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch changed, err := f.read(); {
		case err != nil && err.Error() != said: // a file that is gone is gone at every look
			said = err.Error()
			f.log.Error("the API keys cannot be read again, the ones before stay", "error", err)
		case changed:
			said = ""
			f.log.Info("API keys read again", "file", f.path, "keys", len(f.into.ring.Load().owners))
		}
	}
}

// read takes the keys over if the file is another than the one seen last.
func (f *keyFile) read() (changed bool, err error) {
	info, err := os.Stat(f.path)
	if err != nil {
		f.seen = nil
		return false, f.unreadable(err)
	}
	if f.seen != nil && os.SameFile(info, f.seen) && info.ModTime().Equal(f.seen.ModTime()) && info.Size() == f.seen.Size() {
		return false, nil
	}
	f.seen = info
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return false, badKeys(f.path, "want a regular file of at most %d bytes, got one of mode %v and %d bytes", maxKeyFile, info.Mode(), info.Size())
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return false, f.unreadable(err)
	}
	ring, err := parseKeys(strings.Split(string(data), "\n"), "line")
	if err != nil {
		e := fault.Of(err)
		e.Subject = strings.TrimSuffix(f.path+" "+e.Subject, " ")
		return false, e
	}
	f.into.ring.Store(ring)
	return true, nil
}

func (f *keyFile) unreadable(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err // without the path, which is the subject
	}
	return badKeys(f.path, "%w", err).WithHint("auth.key.file of godwit.yaml names a file with one API key in each line.")
}
