package fetch

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"godwit.dev/runtime/fault"
)

// state is what a part belongs to.
type state struct {
	URL      string `json:"url"`  // the SHA-256 of the URL, which may hold a secret
	ETag     string `json:"etag"` // strong, or ""
	Modified string `json:"modified"`
	Size     int64  `json:"size"` // of the whole; -1 when nobody said
}

// download is one model on its way. Its lock is held.
type download struct {
	c     *cache
	at    *location
	sum   string
	store store

	part    *os.File
	have    int64     // bytes in part
	hash    hash.Hash // of them
	state   state
	resumed bool // part is of more than one answer
}

// An again is an error after which another attempt may help.
type again struct {
	error
	after time.Duration // what was asked for; 0 for nothing
}

func (a *again) Unwrap() error { return a.error }

// progress is what starts the count of failed attempts anew.
const progress = 1 << 20

// download brings the model into the cache.
func (c *cache) download(ctx context.Context, at *location, sum string) (err error) {
	d := &download{c: c, at: at, sum: sum}
	if d.store, err = c.f.store(at, sum); err != nil {
		return err
	}
	if err := d.open(ctx); err != nil {
		return c.fault(err)
	}
	defer func() {
		if fault.CodeOf(err) == fault.BadModel { // nobody will go on with it
			err = errors.Join(err, d.reset(), os.Remove(d.part.Name()))
		}
		err = errors.Join(err, d.part.Close())
		c.f.base.CloseIdleConnections()
	}()
	c.f.o.Logger.InfoContext(ctx, "fetching a model", "url", at.shown, "sha256", sum, "bytes_there", d.have)
	begun, fresh := time.Now(), false
	for failed := 0; ; {
		before := d.have
		err := d.attempt(ctx)
		if err == nil {
			got := hex.EncodeToString(d.hash.Sum(nil))
			if got == sum {
				break
			}
			resumed := d.resumed
			if err := d.reset(); err != nil {
				return c.fault(err)
			}
			if resumed && !fresh { // the parts may be of two versions that were told apart by nothing
				fresh = true
				continue
			}
			return fault.New(fault.BadModel, "fetch.Get", at.shown, "want sha256:%s, got sha256:%s", sum, got).
				WithHint("The file there is not the one that godwit.yaml names. Write the new digest there if that is the one you want.")
		}
		var a *again
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.As(err, &a) {
			return c.fault(err)
		}
		if d.have-before >= progress {
			failed = 0
		}
		if failed++; failed == c.f.o.Attempts {
			return fault.New(fault.Unavailable, "fetch.Get", at.shown, "want the model, got %d failures, the last: %w", failed, a.error).
				WithHint("Try again: what has come is kept, and the rest is asked for.")
		}
		c.f.o.Logger.WarnContext(ctx, "fetching a model is tried again", "url", at.shown, "bytes_there", d.have, "error", a.error)
		pause := min(500*time.Millisecond<<(failed-1), 8*time.Second)
		pause = max(pause/2+rand.N(pause/2), min(a.after, 30*time.Second))
		if err := c.f.wait(ctx, pause); err != nil {
			return err
		}
	}
	if err := c.room(d.have, sum); err != nil {
		return err
	}
	if err := d.finish(); err != nil {
		return c.fault(err)
	}
	c.f.o.Logger.InfoContext(ctx, "model fetched", "url", at.shown, "bytes", d.have, "took", time.Since(begun))
	return nil
}

// open takes what an earlier process has left, if it is of the same object.
func (d *download) open(ctx context.Context) (err error) {
	d.part, err = os.OpenFile(d.c.path(d.sum, ".part"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	d.hash = sha256.New()
	id := sha256.Sum256([]byte(d.at.String()))
	text, err := os.ReadFile(d.c.path(d.sum, ".state"))
	if err == nil && json.Unmarshal(text, &d.state) == nil && d.state.URL == hex.EncodeToString(id[:]) {
		d.have, err = io.CopyBuffer(struct{ io.Writer }{d.hash}, &reader{ctx, d.part}, make([]byte, 256<<10))
		if err == nil && d.have <= d.c.f.o.MaxBytes && (d.state.Size < 0 || d.have <= d.state.Size) {
			d.resumed = d.have > 0
			return nil
		}
	}
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), d.part.Close())
	}
	d.state = state{URL: hex.EncodeToString(id[:])}
	return d.reset()
}

// reset begins anew.
func (d *download) reset() error {
	if err := os.Remove(d.c.path(d.sum, ".state")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.have, d.resumed, d.hash = 0, false, sha256.New()
	d.state = state{URL: d.state.URL}
	if err := d.part.Truncate(0); err != nil {
		return err
	}
	_, err := d.part.Seek(0, io.SeekStart)
	return err
}

// finish shows the model.
func (d *download) finish() error {
	if err := d.part.Sync(); err != nil {
		return err
	}
	if err := os.Rename(d.part.Name(), d.c.path(d.sum, ".onnx")); err != nil {
		return err
	}
	if err := os.Remove(d.c.path(d.sum, ".state")); err != nil {
		return err
	}
	dir, err := os.Open(d.c.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// attempt asks once for what is missing. Nil: all of it has come.
func (d *download) attempt(ctx context.Context) error {
	if d.have > 0 && d.have == d.state.Size {
		return nil // killed between the last byte and the rename
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := d.ask(ctx)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := d.accept(resp); err != nil {
		return err
	}
	if d.state.Size >= 0 {
		if err := d.c.room(d.state.Size, d.sum); err != nil {
			return err
		}
	}
	return d.copy(ctx, cancel, resp.Body)
}

// ask sends the request, once more where the store then wants credentials or
// knows a better place.
func (d *download) ask(ctx context.Context) (*http.Response, error) {
	for range 3 {
		req, err := d.store.request(ctx)
		if err != nil {
			return nil, d.failure(ctx, err)
		}
		req.Header.Set("Accept-Encoding", "identity") // the digest is of the bytes as they are
		req.Header.Set("User-Agent", "godwit")
		if d.have > 0 {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.have))
			if d.state.ETag != "" {
				req.Header.Set("If-Range", d.state.ETag)
			}
		}
		resp, err := d.store.client().Do(req)
		if err != nil {
			return nil, d.failure(ctx, err)
		}
		switch resp.StatusCode {
		case http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
			return resp, nil
		}
		more, err := d.store.refused(ctx, resp)
		resp.Body.Close()
		if err == nil && !more {
			err = d.status(resp)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fault.New(fault.BadConfig, "fetch.Get", d.at.shown, "want an answer, got the third demand for other credentials or another place")
}

// failure says whether a request that got no answer may be sent again.
func (d *download) failure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if f := fault.Of(err); f != nil && f.Code != fault.Unavailable {
		return f // the guard's, or a redirect's
	}
	var u *url.Error
	if errors.As(err, &u) { // whose text has the whole URL
		err = u.Err
	}
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) && dns.IsNotFound {
		return fault.New(fault.BadConfig, "fetch.Get", d.at.shown, "want a host that there is, got %q", quoted(dns.Name))
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return fault.New(fault.BadConfig, "fetch.Get", d.at.shown, "want a certificate that is trusted here: %w", err).
			WithHint("SSL_CERT_FILE names a file with authorities of your own.")
	}
	return &again{error: err}
}

func (d *download) status(resp *http.Response) error {
	err := fault.New(fault.BadConfig, "fetch.Get", d.at.shown, "want status 200, got %s", quoted(resp.Status))
	switch c := resp.StatusCode; {
	case c == http.StatusRequestTimeout, c == http.StatusTooEarly, c == http.StatusTooManyRequests, c >= 500 && c != http.StatusNotImplemented:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &again{err, min(max(time.Duration(seconds), 0), 3600) * time.Second}
	case c == http.StatusUnauthorized, c == http.StatusForbidden:
		return err.WithHint("%s", d.store.hint())
	case c == http.StatusNotFound:
		return err.WithHint("Correct path in godwit.yaml; some stores also say so of what may not be read.")
	}
	return err
}

// accept compares an answer with what is there already, and begins anew where
// it is of something else.
func (d *download) accept(resp *http.Response) error {
	h := resp.Header
	if e := h.Get("Content-Encoding"); e != "" && e != "identity" {
		return fault.New(fault.BadConfig, "fetch.Get", d.at.shown, "want the file's bytes as they are, got Content-Encoding %q", quoted(e))
	}
	now := state{URL: d.state.URL, ETag: h.Get("ETag"), Modified: h.Get("Last-Modified"), Size: resp.ContentLength}
	if strings.HasPrefix(now.ETag, "W/") || len(now.ETag) > 1024 {
		now.ETag = ""
	}
	anew := func(why string) error {
		if err := d.reset(); err != nil {
			return err
		}
		return &again{error: errors.New(why)}
	}
	switch {
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		if d.have == 0 {
			return fault.New(fault.BadConfig, "fetch.Get", d.at.shown, "want status 200, got %s", quoted(resp.Status))
		}
		return anew("the object has become shorter")
	case resp.StatusCode == http.StatusPartialContent && d.have == 0:
		return &again{error: errors.New("want status 200 for the whole, got 206 for a part of it")}
	case resp.StatusCode == http.StatusPartialContent:
		from, size, ok := contentRange(h.Get("Content-Range"), resp.ContentLength)
		if !ok || from != d.have {
			return anew(fmt.Sprintf("want the bytes from %d on, got Content-Range %q", d.have, quoted(h.Get("Content-Range"))))
		}
		now.Size = size
		if now.ETag != d.state.ETag || now.Modified != d.state.Modified || d.state.Size >= 0 && size >= 0 && size != d.state.Size {
			return anew("the object has changed")
		}
		d.resumed = true
		return nil
	}
	if err := d.reset(); err != nil {
		return err
	}
	if most := d.c.f.o.MaxBytes; now.Size > most {
		return d.large(now.Size)
	}
	d.state = now
	text, err := json.Marshal(&now)
	if err != nil {
		return fault.New(fault.Internal, "fetch.Get", d.at.shown, "%w", err)
	}
	return os.WriteFile(d.c.path(d.sum, ".state"), text, 0o600)
}

func (d *download) large(size int64) error {
	return fault.New(fault.BadModel, "fetch.Get", d.at.shown, "want a model of at most %d bytes, got %d", d.c.f.o.MaxBytes, size)
}

// contentRange reads "bytes FROM-TO/SIZE", SIZE -1 for "*", and wants as many
// bytes as the answer has, up to the end.
func contentRange(text string, length int64) (from, size int64, ok bool) {
	text, ok = strings.CutPrefix(text, "bytes ")
	span, whole, found := strings.Cut(text, "/")
	first, last, dash := strings.Cut(span, "-")
	if !ok || !found || !dash {
		return 0, 0, false
	}
	from, err := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	size = -1
	var err3 error
	if whole != "*" {
		size, err3 = strconv.ParseInt(whole, 10, 64)
	}
	ok = errors.Join(err, err2, err3) == nil && from >= 0 && to >= from && (length < 0 || length == to-from+1) && (size == -1 || size == to+1)
	return from, size, ok
}

var errSlow = errors.New("the bytes come too slowly")

// copy takes the body, and gives up where it does not come fast enough.
func (d *download) copy(ctx context.Context, cancel context.CancelCauseFunc, body io.Reader) error {
	var came atomic.Int64
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		watch(ended, &came, d.c.f.o.Stall, d.c.f.o.Rate, func() { cancel(errSlow) })
	}()
	err := d.take(body, &came)
	close(ended)
	<-watched
	if err == nil {
		return nil
	}
	var w *fs.PathError
	if fault.Of(err) != nil || errors.As(err, &w) {
		return err
	}
	return d.failure(ctx, err)
}

// watch calls slow once less than rate bytes a second have come for a while.
func watch(ended <-chan struct{}, came *atomic.Int64, every time.Duration, rate int64, slow func()) {
	t := time.NewTicker(every)
	defer t.Stop()
	least := max(int64(float64(rate)*every.Seconds()), 1)
	for before := int64(0); ; {
		select {
		case <-ended:
			return
		case <-t.C:
			now := came.Load()
			if now-before < least {
				slow()
				return
			}
			before = now
		}
	}
}

func (d *download) take(body io.Reader, came *atomic.Int64) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		came.Add(int64(n))
		if n > 0 {
			if d.have+int64(n) > d.c.f.o.MaxBytes {
				return d.large(d.have + int64(n))
			}
			written, err := d.part.Write(buf[:n])
			d.hash.Write(buf[:written])
			d.have += int64(written)
			if err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if d.state.Size >= 0 && d.have != d.state.Size {
		return fmt.Errorf("want %d bytes, got %d: %w", d.state.Size, d.have, io.ErrUnexpectedEOF)
	}
	return nil
}
