package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/xml"
	"net/http"
	"strconv"
	"sync"

	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// mark is the metadata by which a writer knows its own object, where the answer
// to its making was lost.
const mark = "X-Amz-Meta-Godwit-Write"

func (b *bucket) Create(ctx context.Context, key string) (store.Writer, error) {
	const op = "s3.Create"
	if err := store.CheckKey(op, key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, store.Fault(op, b.url(key), err)
	}
	return wire.NewWriter(ctx, "s3.Write", b.url(key), &upload{b: b, key: key, mark: rand.Text()}, b.parts), nil
}

// upload is one object that is being written.
type upload struct {
	b         *bucket
	key, mark string
	id        string // of a multipart upload

	mu   sync.Mutex
	tags []string // of the parts
}

func (u *upload) Put(ctx context.Context, data []byte) error {
	if data == nil {
		data = []byte{}
	}
	c := u.b.call("s3.Commit", http.MethodPut, u.key)
	c.Header.Set("If-None-Match", "*")
	c.Header.Set(mark, u.mark)
	c.Body = data
	c.Fine = []int{http.StatusPreconditionFailed}
	return u.decide(ctx, c)
}

// decide sends the request that makes the object, and finds out whether it did.
func (u *upload) decide(ctx context.Context, c *wire.Call) error {
	a, body, err := u.b.client.Text(ctx, c)
	switch {
	case err != nil && (fault.CodeOf(err) != fault.Unavailable || ctx.Err() != nil):
		return err
	case err == nil && a.StatusCode/100 == 2:
		return nil
	case err == nil && a.StatusCode == http.StatusPreconditionFailed && a.Tries == 1:
		return store.Exists(c.Op, c.Key)
	}
	// An attempt whose answer was lost may have made it; or, 404, the upload ended
	// with it; or, 409, somebody made or removed one meanwhile.
	is, lost := u.b.head(ctx, c.Op, u.key)
	switch {
	case lost == nil && is.Header.Get(mark) == u.mark:
		return nil
	case lost == nil:
		return store.Exists(c.Op, c.Key)
	case err != nil:
		return err
	case fault.CodeOf(lost) != fault.NotFound || fault.HintOf(lost) != "":
		return lost
	}
	name, text := read(nil, body)
	return fault.New(fault.Unavailable, c.Op, c.Key, "the store says %d %s: %s", a.StatusCode, name, text).
		WithHint("Somebody removed an object of this key at the same time; write it again.")
}

func (u *upload) Begin(ctx context.Context) error {
	c := u.b.call("s3.Write", http.MethodPost, u.key, "uploads", "")
	c.Header.Set(mark, u.mark)
	_, body, err := u.b.client.Text(ctx, c)
	if err != nil {
		return err
	}
	var made struct{ UploadId string }
	if err := xml.Unmarshal(body, &made); err != nil || made.UploadId == "" {
		return fault.New(fault.Unavailable, c.Op, c.Key, "want an upload's id, got none")
	}
	u.id = made.UploadId
	return nil
}

func (u *upload) Part(ctx context.Context, index int, _ int64, data []byte) error {
	c := u.b.call("s3.Write", http.MethodPut, u.key, "partNumber", strconv.Itoa(index+1), "uploadId", u.id)
	c.Body = data
	a, _, err := u.b.client.Text(ctx, c)
	if err != nil {
		return err
	}
	tag := a.Header.Get("ETag")
	if tag == "" {
		return fault.New(fault.Unavailable, c.Op, c.Key, "want an ETag of a part, got none")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.tags) <= index {
		u.tags = append(u.tags, "")
	}
	u.tags[index] = tag
	return nil
}

func (u *upload) Finish(ctx context.Context, index int, from int64, last []byte) error {
	if err := u.Part(ctx, index, from, last); err != nil {
		return err
	}
	type part struct {
		PartNumber int
		ETag       string
	}
	var doc struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUpload"`
		Part    []part
	}
	for i, tag := range u.tags {
		doc.Part = append(doc.Part, part{i + 1, tag})
	}
	body, err := xml.Marshal(&doc)
	if err != nil {
		return err
	}
	c := u.b.call("s3.Commit", http.MethodPost, u.key, "uploadId", u.id)
	c.Header.Set("If-None-Match", "*")
	c.Header.Set("Content-Type", "application/xml")
	c.Body = body
	c.Fine = []int{http.StatusPreconditionFailed, http.StatusConflict, http.StatusNotFound}
	// It answers 200 before it begins, and what came of it afterwards.
	c.Failed = func(body []byte) bool { return bytes.Contains(body, []byte("<Error>")) }
	return u.decide(ctx, c)
}

func (u *upload) Drop(ctx context.Context) {
	// What stays behind is a lifecycle rule's to remove: nobody sees it.
	_, _, _ = u.b.client.Text(ctx, u.b.call("s3.Abort", http.MethodDelete, u.key, "uploadId", u.id))
}
