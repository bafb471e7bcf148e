package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// A Range is what Open reads of an object.
type Range struct {
	Op, Key, Version string
	Offset, Length   int64 // Length is -1 for all that is left
	// Call makes the request for bytes of a version, "" being the current one.
	// header has Range.
	Call func(version string, header http.Header) *Call
	// VersionOf reads the version from an answer. Where it gives none, a range
	// of no version in particular does not go on after it broke off.
	VersionOf func(http.Header) string
	// Stat describes the current object.
	Stat func(context.Context) (*store.Object, error)
}

// resumed is how often in a row a range may break off with less than goodRead
// bytes read.
const (
	resumed  = 5
	goodRead = 64 << 10
)

// Open reads a range. The first request is sent before it returns; one that
// breaks off later is asked for again from where it was, of the same version.
func (c *Client) Open(ctx context.Context, r *Range) (io.ReadCloser, error) {
	if r.Offset < 0 {
		return nil, fault.New(fault.Invalid, r.Op, r.Key, "want an offset of 0 or more, got %d", r.Offset)
	}
	if r.Length == 0 {
		return c.nothing(ctx, r)
	}
	rd := &reader{c: c, ctx: ctx, r: r, at: r.Offset, version: r.Version}
	if err := rd.open(); err != nil {
		if errors.Is(err, errBeyond) {
			return c.nothing(ctx, r)
		}
		return nil, err
	}
	return rd, nil
}

// nothing is an empty range of an object that has to be there nevertheless.
func (c *Client) nothing(ctx context.Context, r *Range) (io.ReadCloser, error) {
	o, err := r.Stat(ctx)
	if err != nil {
		return nil, err
	}
	if r.Version != "" && r.Version != o.Version {
		return nil, store.Gone(r.Op, r.Key, r.Version)
	}
	return http.NoBody, nil
}

// errBeyond says that a range begins at the end or after it.
var errBeyond = errors.New("the range begins beyond the end")

// reader reads a range in as many requests as it takes. It belongs to one goroutine.
type reader struct {
	c       *Client
	ctx     context.Context
	r       *Range
	version string
	at      int64 // of the next byte
	good    int64 // bytes since it was opened

	body  io.ReadCloser
	stop  context.CancelFunc
	idle  *time.Timer
	fails int
	err   error
}

// open asks for what is left.
func (r *reader) open() error {
	left := int64(-1)
	header := http.Header{"Accept-Encoding": {"identity"}}
	if r.r.Length > 0 {
		left = r.r.Length - (r.at - r.r.Offset)
		header.Set("Range", "bytes="+strconv.FormatInt(r.at, 10)+"-"+strconv.FormatInt(r.at+left-1, 10))
	} else if r.at > 0 {
		header.Set("Range", "bytes="+strconv.FormatInt(r.at, 10)+"-")
	}
	ctx, stop := context.WithCancel(r.ctx)
	call := r.r.Call(r.version, header)
	call.Fine = append(call.Fine, http.StatusRequestedRangeNotSatisfiable)
	a, err := r.c.Stream(ctx, call)
	if err != nil {
		stop()
		if fault.CodeOf(err) == fault.Mismatch && r.version != "" {
			err = store.Gone(r.r.Op, r.r.Key, r.version)
		}
		return err
	}
	if a.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		a.Body.Close()
		stop()
		return errBeyond
	}
	fail := func(format string, args ...any) error {
		a.Body.Close()
		stop()
		return fault.New(fault.Unavailable, r.r.Op, r.r.Key, format, args...)
	}
	if from := a.Header.Get("Content-Range"); r.at > 0 && (a.StatusCode != http.StatusPartialContent || from != "" && !strings.HasPrefix(from, "bytes "+strconv.FormatInt(r.at, 10)+"-")) {
		return fail("want bytes from %d on, got status %d and range %q", r.at, a.StatusCode, from)
	}
	if v := r.r.VersionOf(a.Header); r.version == "" && v != "" {
		r.version = v
	} else if r.version != "" && v != "" && v != r.version {
		a.Body.Close()
		stop()
		return store.Gone(r.r.Op, r.r.Key, r.version)
	}
	r.body, r.stop, r.good = a.Body, stop, 0
	if left >= 0 { // some servers send more
		r.body = limited{io.LimitReader(a.Body, left), a.Body}
	}
	r.idle = time.AfterFunc(time.Hour, stop)
	r.idle.Stop()
	return nil
}

type limited struct {
	io.Reader
	io.Closer
}

func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.err == nil && r.ctx.Err() != nil {
			r.err = store.Fault(r.r.Op, r.r.Key, r.ctx.Err())
		}
		if r.err != nil {
			return 0, r.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if r.body == nil {
			if err := r.open(); err != nil {
				if errors.Is(err, errBeyond) {
					err = store.Gone(r.r.Op, r.r.Key, r.version) // it has become shorter
				}
				r.err = err
				continue
			}
		}
		idle := r.c.Idle
		if idle == 0 {
			idle = 30 * time.Second
		}
		r.idle.Reset(idle)
		n, err := r.body.Read(p)
		r.idle.Stop()
		r.at += int64(n)
		r.good += int64(n)
		if n > 0 {
			if err == io.EOF {
				r.err = io.EOF
			} else if err != nil {
				r.broke(err)
			}
			return n, nil
		}
		switch {
		case err == io.EOF:
			r.err = io.EOF
		case err != nil:
			r.broke(err)
		}
	}
}

// broke drops a body that ended too early.
func (r *reader) broke(err error) {
	if r.good >= goodRead {
		r.fails = 0
	}
	r.drop()
	if r.ctx.Err() != nil {
		return // Read says so
	}
	if r.fails++; r.fails > resumed || r.version == "" {
		r.err = fault.New(fault.Unavailable, r.r.Op, r.r.Key, "the object broke off %d times, now at byte %d: %w", r.fails, r.at, err)
		return
	}
	if r.fails > 1 { // the first may be a connection that was closed
		if err := r.c.pause(r.ctx, r.fails-1, 0); err != nil {
			r.err = store.Fault(r.r.Op, r.r.Key, err)
		}
	}
}

func (r *reader) drop() {
	if r.body != nil {
		r.idle.Stop()
		r.stop()
		r.body.Close()
		r.body = nil
	}
}

func (r *reader) Close() error {
	r.drop()
	if r.err == nil {
		r.err = fault.New(fault.Internal, r.r.Op, r.r.Key, "the reader is closed")
	}
	return nil
}
