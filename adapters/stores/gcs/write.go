package gcs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// mark is the metadata by which a writer knows its own object, where the answer
// to its making was lost.
const mark = "godwit-write"

func (b *bucket) Create(ctx context.Context, key string) (store.Writer, error) {
	const op = "gcs.Create"
	if err := store.CheckKey(op, key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, store.Fault(op, b.url(key), err)
	}
	return wire.NewWriter(ctx, "gcs.Write", b.url(key), &upload{b: b, key: key, mark: rand.Text()}, b.parts), nil
}

// upload is one object that is being written.
type upload struct {
	b         *bucket
	key, mark string
	session   *url.URL // of a resumable upload
	there     bool     // one was there when the session was to begin
}

// start is a request that begins an upload of a kind.
func (u *upload) start(op, kind string) *wire.Call {
	c := u.b.call(op, http.MethodPost, "", "ifGenerationMatch", "0", "name", u.key, "uploadType", kind)
	at := *c.URL()
	at.Path = "/upload" + at.Path
	at.RawPath = "/upload" + at.RawPath
	c.URL = func() *url.URL { return &at }
	c.Key = u.b.url(u.key)
	c.Fine = []int{http.StatusPreconditionFailed}
	return c
}

// about is the description of the object.
func (u *upload) about() []byte {
	text, _ := json.Marshal(map[string]any{"name": u.key, "contentType": "application/octet-stream", "metadata": map[string]string{mark: u.mark}})
	return text
}

func (u *upload) Put(ctx context.Context, data []byte) error {
	c := u.start("gcs.Commit", "multipart")
	edge := "godwit-" + u.mark
	var body bytes.Buffer
	body.Grow(len(data) + 1024)
	body.WriteString("--" + edge + "\r\nContent-Type: application/json\r\n\r\n")
	body.Write(u.about())
	body.WriteString("\r\n--" + edge + "\r\nContent-Type: application/octet-stream\r\n\r\n")
	body.Write(data)
	body.WriteString("\r\n--" + edge + "--\r\n")
	c.Body = body.Bytes()
	c.Header.Set("Content-Type", "multipart/related; boundary="+edge)
	a, _, err := u.b.client.Text(ctx, c)
	switch {
	case err == nil && a.StatusCode/100 == 2:
		return nil
	case err == nil && a.Tries == 1:
		return store.Exists(c.Op, c.Key)
	}
	return u.look(ctx, c, err)
}

// look finds out whether the object is there, and ours, after an answer was lost
// or said that one is there.
func (u *upload) look(ctx context.Context, c *wire.Call, err error) error {
	// A session that is not there any more may have ended with the object.
	if code := fault.CodeOf(err); err != nil && (code != fault.Unavailable && code != fault.NotFound || ctx.Err() != nil) {
		return err
	}
	is, lost := u.b.resource(ctx, c.Op, u.key)
	switch {
	case lost == nil && is.Metadata[mark] == u.mark:
		return nil
	case lost == nil:
		return store.Exists(c.Op, c.Key)
	case err != nil:
		return err
	case fault.CodeOf(lost) != fault.NotFound || fault.HintOf(lost) != "":
		return lost
	}
	return fault.New(fault.Unavailable, c.Op, c.Key, "want an object that is there or not, got one that went away").
		WithHint("Somebody removed an object of this key at the same time; write it again.")
}

func (u *upload) Begin(ctx context.Context) error {
	c := u.start("gcs.Write", "resumable")
	c.Body = u.about()
	c.Header.Set("Content-Type", "application/json; charset=UTF-8")
	c.Header.Set("X-Upload-Content-Type", "application/octet-stream")
	a, _, err := u.b.client.Text(ctx, c)
	if err != nil {
		return err
	}
	if u.there = a.StatusCode == http.StatusPreconditionFailed; u.there {
		return nil // which Commit says
	}
	u.session, err = url.Parse(a.Header.Get("Location"))
	if err != nil || u.session.Host == "" {
		return fault.New(fault.Unavailable, c.Op, c.Key, "want the address of an upload, got %q", a.Header.Get("Location"))
	}
	return nil
}

func (u *upload) Part(ctx context.Context, _ int, from int64, data []byte) error {
	if u.there {
		return nil
	}
	_, err := u.send(ctx, "gcs.Write", from, data, false)
	return err
}

func (u *upload) Finish(ctx context.Context, _ int, from int64, last []byte) error {
	c := u.call("gcs.Commit")
	if u.there {
		return u.look(ctx, c, nil)
	}
	made, err := u.send(ctx, c.Op, from, last, true)
	if made {
		return nil
	}
	return u.look(ctx, c, err)
}

// call is a request to the session.
func (u *upload) call(op string) *wire.Call {
	return &wire.Call{
		Op: op, Key: u.b.url(u.key), Method: http.MethodPut, URL: func() *url.URL { return u.session }, Header: http.Header{},
		Fine: []int{http.StatusPermanentRedirect, http.StatusPreconditionFailed},
	}
}

// rounds is how often in a row a part is sent without any of it being kept.
const rounds = 5

// send sends bytes from an offset on until the store has them all, as what it
// says it has tells: a request may be lost with some of its bytes kept. It
// reports whether the object is made. It is not, without an error, where one is there.
func (u *upload) send(ctx context.Context, op string, from int64, data []byte, last bool) (made bool, err error) {
	end := from + int64(len(data))
	once := *u.b.client
	once.Attempts = 1
	at := from // of the next byte
	total := "*"
	if last {
		total = strconv.FormatInt(end, 10)
	}
	for round := 1; ; round++ {
		c := u.call(op)
		c.Body = data[at-from:]
		c.Header.Set("Content-Range", "bytes "+strconv.FormatInt(at, 10)+"-"+strconv.FormatInt(end-1, 10)+"/"+total)
		if at == end {
			c.Header.Set("Content-Range", "bytes */"+total)
		}
		a, _, err := once.Text(ctx, c)
		if err != nil {
			if fault.CodeOf(err) != fault.Unavailable || ctx.Err() != nil || round >= rounds {
				return false, err
			}
			// Where is it? This request is tried again by itself.
			c.Body, c.Header = nil, http.Header{"Content-Range": {"bytes */" + total}}
			if a, _, err = u.b.client.Text(ctx, c); err != nil {
				return false, err
			}
		}
		switch {
		case a.StatusCode == http.StatusPreconditionFailed:
			return false, nil
		case a.StatusCode/100 == 2 && last:
			return true, nil
		case a.StatusCode/100 == 2:
			return false, fault.New(fault.Unavailable, op, u.b.url(u.key), "want an upload that goes on, got one that ended")
		}
		kept := int64(0)
		if _, upto, ok := strings.Cut(a.Header.Get("Range"), "-"); ok {
			n, err := strconv.ParseInt(upto, 10, 64)
			if err != nil {
				return false, fault.New(fault.Unavailable, op, u.b.url(u.key), "want the range that is kept, got %q", a.Header.Get("Range"))
			}
			kept = n + 1
		}
		if kept < at || kept > end {
			return false, fault.New(fault.Unavailable, op, u.b.url(u.key), "want an upload that has %d bytes or more, got %d", at, kept)
		}
		if kept > at {
			round = 0
		}
		if at = kept; at == end && !last {
			return false, nil
		}
		if round >= rounds {
			return false, fault.New(fault.Unavailable, op, u.b.url(u.key), "the store kept nothing of bytes %d to %d", at, end)
		}
	}
}

func (u *upload) Drop(ctx context.Context) {
	if u.session == nil {
		return
	}
	// What stays behind is gone after a week; nobody sees it.
	c := u.call("gcs.Abort")
	c.Method, c.Fine = http.MethodDelete, []int{499, http.StatusNotFound}
	_, _, _ = u.b.client.Text(ctx, c)
}
