// Package store is the seam between batch scoring and where objects lie: a
// bucket, a container, a folder. What a driver implements is Bucket; storetest
// holds all drivers to it.
package store

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// ErrExists says that an object was not written because one is there: errors.Is
// finds it in what Commit returns.
var ErrExists = errors.New("an object of this name exists")

// A Bucket is one bucket of an object store, one container or one folder. Keys
// are slash-separated UTF-8 without empty, "." and ".." segments. Its methods may be
// called concurrently. Errors are coded: NotFound for what is not there, Denied
// and Unauthenticated for what may not be reached, Unavailable for what may pass,
// Canceled and DeadlineExceeded after ctx.
type Bucket interface {
	// Stat describes the current object.
	Stat(ctx context.Context, key string) (*Object, error)
	// Open reads length bytes from offset on, or to the end if length is
	// negative. version is an Object's, and the bytes are that version's alone:
	// where it is no longer the current one and the store keeps no others, the
	// error is Mismatch. "" is the current object, and what is read is of one
	// version. Beyond the end there is nothing: such a range is shorter, or empty.
	// ctx is for the reader too. The caller closes it.
	Open(ctx context.Context, key, version string, offset, length int64) (io.ReadCloser, error)
	// Create begins an object that nobody sees before Commit. ctx is for the
	// writer's Write too.
	Create(ctx context.Context, key string) (Writer, error)
	// List gives all objects whose keys begin with prefix, in the order of
	// their keys' bytes. An error ends it.
	List(ctx context.Context, prefix string) iter.Seq2[*Object, error]
	// Delete removes an object. One that is not there is no error.
	Delete(ctx context.Context, key string) error
	// Close gives up what the bucket holds. Nothing of it is in use any more.
	Close() error
}

// An Object is one object at one time.
type Object struct {
	Key string
	// Version tells two writes of one key apart: a generation, a version id or an
	// ETag; for files the time and the size. Never "".
	Version  string
	Size     int64 // bytes
	Modified time.Time
}

// A Writer writes one object. It belongs to one goroutine, and exactly one of
// Commit and Abort is called in the end.
type Writer interface {
	io.Writer
	// Commit makes the object there, whole and durably, if none of its key is;
	// else the error is ErrExists and the one that is there stays as it is. Of
	// several at once, one succeeds. After any other error the object may be
	// there nevertheless, where an answer was lost: who cares looks.
	Commit(ctx context.Context) error
	// Abort leaves nothing behind.
	Abort()
}
