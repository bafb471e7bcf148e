// Package gcs is Google Cloud Storage as a store.Bucket, by its JSON API. A
// version is an object's generation, as its events have it.
package gcs

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/adapters/stores/gcpauth"
	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// Options of an Opener.
type Options struct {
	// Getenv reads the environment's variables: STORAGE_EMULATOR_HOST, which is a
	// HOST:PORT or a URL and needs no credentials, and those of credentials. nil
	// means that there are none.
	Getenv func(string) string
	// PartSize is that of the parts of objects, a multiple of 256 KiB; 0 means 8
	// MiB. At most two parts of an object are in memory.
	PartSize int
	// Pause is the first of the times between attempts; 0 means 100 ms.
	Pause time.Duration
}

// Opener opens buckets.
func Opener(o *Options) store.Opener {
	if o == nil {
		o = &Options{}
	}
	getenv := o.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	tokens := gcpauth.New(&gcpauth.Options{Getenv: getenv, Scope: "https://www.googleapis.com/auth/devstorage.read_write"})
	return func(_ context.Context, name string) (store.Bucket, error) {
		b := &bucket{name: name, tokens: tokens, root: &url.URL{Scheme: "https", Host: "storage.googleapis.com"}, parts: wire.Parts{Size: o.PartSize, AtOnce: 1, Most: 1 << 20}}
		if host := getenv("STORAGE_EMULATOR_HOST"); host != "" {
			if !strings.Contains(host, "://") {
				host = "http://" + host
			}
			u, err := url.Parse(host)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return nil, fault.New(fault.BadConfig, "gcs.Open", "STORAGE_EMULATOR_HOST", "want HOST:PORT or a URL, got %q", host)
			}
			b.root, b.tokens = &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
		}
		if o.PartSize%(256<<10) != 0 {
			return nil, fault.New(fault.BadConfig, "gcs.Open", "", "want parts of a multiple of 256 KiB, got %d bytes", o.PartSize)
		}
		b.client = &wire.Client{HTTP: wire.NewHTTP(), Sign: b.sign, Read: read, Hint: b.hint, Pause: o.Pause}
		return b, nil
	}
}

type bucket struct {
	name   string
	root   *url.URL
	tokens *gcpauth.Source // nil asks as anybody
	client *wire.Client
	parts  wire.Parts
}

func (b *bucket) Close() error {
	b.client.HTTP.CloseIdleConnections()
	return nil
}

// call is a request for an object, or for the list of them if key is "": pairs
// are the query's.
func (b *bucket) call(op, method, key string, pairs ...string) *wire.Call {
	u := *b.root
	u.Path = "/storage/v1/b/" + b.name + "/o"
	u.RawPath = u.Path
	if key != "" {
		u.Path += "/" + key
		u.RawPath += "/" + wire.Escape(key, false)
	}
	u.RawQuery = wire.Query(pairs...)
	return &wire.Call{Op: op, Key: b.url(key), Method: method, URL: func() *url.URL { return &u }, Header: http.Header{}}
}

func (b *bucket) url(key string) string { return "gs://" + b.name + "/" + key }

func (b *bucket) sign(ctx context.Context, req *http.Request, _ []byte) error {
	if b.tokens == nil || req.URL.Host != b.root.Host || req.URL.Scheme != b.root.Scheme {
		return nil
	}
	token, err := b.tokens.Token(ctx)
	if err == nil && token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return err
}

// noBucket is the name that read gives the error of a bucket that is not there.
const noBucket = "NoSuchBucket"

// read reads the document of an error.
func read(_ *http.Response, body []byte) (name, text string) {
	var doc struct {
		Error struct {
			Message string
			Errors  []struct{ Reason string }
		}
	}
	if json.Unmarshal(body, &doc) != nil {
		return "", string(body)
	}
	if len(doc.Error.Errors) > 0 {
		name = doc.Error.Errors[0].Reason
	}
	if strings.Contains(doc.Error.Message, "bucket does not exist") {
		name = noBucket
	}
	return name, doc.Error.Message
}

func (b *bucket) hint(code fault.Code, name string) string {
	switch {
	case name == noBucket:
		return "There is no bucket " + strconv.Quote(b.name) + ": make it, or mend its name."
	case code == fault.Denied:
		return "The service account needs the role Storage Object User on the bucket."
	case code == fault.Unauthenticated:
		return "Log in with gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS. Without credentials only public objects can be read."
	}
	return ""
}

// resource is what is asked of an object's description.
type resource struct {
	Name       string
	Generation int64 `json:",string"`
	Size       int64 `json:",string"`
	Updated    time.Time
	Metadata   map[string]string
}

const fields = "name,generation,size,updated"

func (r *resource) object() *store.Object {
	return &store.Object{Key: r.Name, Version: strconv.FormatInt(r.Generation, 10), Size: r.Size, Modified: r.Updated}
}

func (b *bucket) resource(ctx context.Context, op, key string) (*resource, error) {
	_, body, err := b.client.Text(ctx, b.call(op, http.MethodGet, key, "fields", fields+",metadata"))
	if err != nil {
		return nil, err
	}
	r := &resource{}
	if err := json.Unmarshal(body, r); err != nil || r.Generation == 0 {
		return nil, fault.New(fault.Unavailable, op, b.url(key), "want an object's description, got something else")
	}
	return r, nil
}

func (b *bucket) Stat(ctx context.Context, key string) (*store.Object, error) {
	const op = "gcs.Stat"
	if err := store.CheckKey(op, key); err != nil {
		return nil, err
	}
	r, err := b.resource(ctx, op, key)
	if err != nil {
		return nil, err
	}
	o := r.object()
	o.Key = key
	return o, nil
}

func (b *bucket) Open(ctx context.Context, key, of string, offset, length int64) (io.ReadCloser, error) {
	const op = "gcs.Open"
	if err := store.CheckKey(op, key); err != nil {
		return nil, err
	}
	if of != "" {
		if n, err := strconv.ParseInt(of, 10, 64); err != nil || n <= 0 {
			if _, err := b.Stat(ctx, key); err != nil {
				return nil, err
			}
			return nil, store.Gone(op, b.url(key), of)
		}
	}
	return b.client.Open(ctx, &wire.Range{
		Op: op, Key: b.url(key), Version: of, Offset: offset, Length: length,
		Call: func(of string, header http.Header) *wire.Call {
			pairs := []string{"alt", "media"}
			if of != "" {
				pairs = append(pairs, "ifGenerationMatch", of)
			}
			c := b.call(op, http.MethodGet, key, pairs...)
			c.Header = header
			c.Header.Set("Accept-Encoding", "gzip") // else it decompresses what is stored compressed
			return c
		},
		VersionOf: func(h http.Header) string { return h.Get("X-Goog-Generation") },
		Stat:      func(ctx context.Context) (*store.Object, error) { return b.Stat(ctx, key) },
	})
}

func (b *bucket) Delete(ctx context.Context, key string) error {
	const op = "gcs.Delete"
	if err := store.CheckKey(op, key); err != nil {
		return err
	}
	_, _, err := b.client.Text(ctx, b.call(op, http.MethodDelete, key))
	if fault.CodeOf(err) == fault.NotFound && fault.HintOf(err) == "" {
		return nil
	}
	return err
}

func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[*store.Object, error] {
	const op = "gcs.List"
	return func(yield func(*store.Object, error) bool) {
		for next := ""; ; {
			pairs := []string{"fields", "nextPageToken,items(" + fields + ")", "maxResults", "1000", "prefix", prefix}
			if next != "" {
				pairs = append(pairs, "pageToken", next)
			}
			_, body, err := b.client.Text(ctx, b.call(op, http.MethodGet, "", pairs...))
			if err != nil {
				yield(nil, err)
				return
			}
			var page struct {
				NextPageToken string
				Items         []resource
			}
			if err := json.Unmarshal(body, &page); err != nil {
				yield(nil, fault.New(fault.Unavailable, op, b.url(prefix), "want a list of objects, got %w", err))
				return
			}
			for i := range page.Items {
				if store.CheckKey(op, page.Items[i].Name) != nil {
					continue // a folder's marker, say: no key of ours
				}
				if !yield(page.Items[i].object(), nil) {
					return
				}
			}
			if next = page.NextPageToken; next == "" {
				return
			}
		}
	}
}
