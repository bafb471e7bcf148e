package azblob

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// mark is the metadata by which a writer knows its own blob, where the answer to
// its making was lost.
const mark = "X-Ms-Meta-Godwitwrite"

func (b *bucket) Create(ctx context.Context, key string) (store.Writer, error) {
	const op = "azblob.Create"
	if err := checkKey(op, key); err != nil {
		return nil, err
	}
	if strings.HasSuffix(key, ".") || strings.Contains(key, "./") {
		return nil, fault.New(fault.Invalid, op, key, "want a key without segments that end with a dot, which Azure's documents advise against")
	}
	if err := ctx.Err(); err != nil {
		return nil, store.Fault(op, b.url(key), err)
	}
	return wire.NewWriter(ctx, "azblob.Write", b.url(key), &upload{b: b, key: key, mark: rand.Text()}, b.parts), nil
}

// upload is one blob that is being written. Blocks of several writers lie side
// by side until one of them makes the blob, so their ids have the writer's mark.
type upload struct {
	b         *bucket
	key, mark string
}

func (u *upload) Put(ctx context.Context, data []byte) error {
	if data == nil {
		data = []byte{}
	}
	c := u.b.call("azblob.Commit", http.MethodPut, u.key)
	c.Header.Set("X-Ms-Blob-Type", "BlockBlob")
	c.Body = data
	err := u.decide(ctx, c)
	if errors.Is(err, errAway) {
		// Azurite takes another writer's blocks for a blob here, but not there.
		if len(data) == 0 {
			return u.list(ctx, 0)
		}
		return u.Finish(ctx, 0, 0, data)
	}
	return err
}

// errAway says that a blob was there and was not, or that the blocks are gone.
var errAway = errors.New("somebody made and removed a blob of this name at the same time")

// decide sends the request that makes the blob, and finds out whether it did.
func (u *upload) decide(ctx context.Context, c *wire.Call) error {
	c.Header.Set("If-None-Match", "*")
	c.Header.Set("Content-Type", "application/octet-stream")
	c.Header.Set(mark, u.mark)
	c.Fine = []int{http.StatusPreconditionFailed, http.StatusConflict, http.StatusBadRequest}
	a, body, err := u.b.client.Text(ctx, c)
	if err != nil && (fault.CodeOf(err) != fault.Unavailable || ctx.Err() != nil) {
		return err
	}
	if err == nil {
		if a.StatusCode/100 == 2 {
			return nil
		}
		name, text := read(a.Response, body)
		if a.StatusCode == http.StatusBadRequest && name != "InvalidBlockList" && name != "InvalidBlobOrBlock" {
			return fault.New(fault.Invalid, c.Op, c.Key, "the store says %d %s: %s", a.StatusCode, name, text)
		}
	}
	// An attempt whose answer was lost may have made it; or another writer did,
	// whose blob ends the blocks of all. That a blob is there is not taken on
	// trust: there may be only another writer's blocks.
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
	return fault.New(fault.Unavailable, c.Op, c.Key, "%w", errAway).WithHint("Write it again.")
}

func (u *upload) Begin(context.Context) error { return nil }

func (u *upload) block(index int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s-%05d", u.mark, index))
}

func (u *upload) Part(ctx context.Context, index int, _ int64, data []byte) error {
	c := u.b.call("azblob.Write", http.MethodPut, u.key, "blockid", u.block(index), "comp", "block")
	c.Body = data
	_, _, err := u.b.client.Text(ctx, c)
	return err
}

func (u *upload) Finish(ctx context.Context, index int, from int64, last []byte) error {
	if err := u.Part(ctx, index, from, last); err != nil {
		return err
	}
	return u.list(ctx, index+1)
}

// list makes the blob of its blocks.
func (u *upload) list(ctx context.Context, blocks int) error {
	var body bytes.Buffer
	body.WriteString(`<?xml version="1.0" encoding="utf-8"?><BlockList>`)
	for i := range blocks {
		body.WriteString("<Latest>" + u.block(i) + "</Latest>")
	}
	body.WriteString("</BlockList>")
	c := u.b.call("azblob.Commit", http.MethodPut, u.key, "comp", "blocklist")
	c.Body = body.Bytes()
	return u.decide(ctx, c)
}

// Drop does nothing: Azure has no request for it, nobody sees the blocks, and
// they are gone after a week.
func (u *upload) Drop(context.Context) {}
