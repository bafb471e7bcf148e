// Package azblob is a container of Azure Blob Storage as a store.Bucket. A
// version is a blob's ETag without quotes, as Azure's events have it. Where an
// account has a hierarchical namespace, its own order of names is that of lists.
package azblob

import (
	"context"
	"encoding/xml"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/adapters/stores/azauth"
	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// Options of an Opener.
type Options struct {
	// Getenv reads the environment's variables: AZURE_STORAGE_CONNECTION_STRING
	// and AZURE_STORAGE_KEY (for the account that the former or
	// AZURE_STORAGE_ACCOUNT names), AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_DOMAIN
	// (blob.core.windows.net), and those of identities. nil means that there are none.
	Getenv func(string) string
	// PartSize is that of the blocks of blobs, 0 means 8 MiB. At most three of a
	// blob are in memory, and 50,000 make one.
	PartSize int
	// Pause is the first of the times between attempts; 0 means 100 ms.
	Pause time.Duration
}

// Opener opens containers, by ACCOUNT/CONTAINER.
func Opener(o *Options) store.Opener {
	if o == nil {
		o = &Options{}
	}
	getenv := o.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	tokens := azauth.New(&azauth.Options{Getenv: getenv, Resource: "https://storage.azure.com/"})
	return func(_ context.Context, name string) (store.Bucket, error) {
		account, name, ok := strings.Cut(name, "/")
		if !ok || account == "" || name == "" {
			return nil, fault.New(fault.BadConfig, "azblob.Open", name, "want ACCOUNT/CONTAINER")
		}
		a, err := accountOf(account, getenv)
		if err != nil {
			return nil, err
		}
		b := &bucket{account: a, name: name, tokens: tokens, parts: wire.Parts{Size: o.PartSize, Most: 50_000}}
		b.client = &wire.Client{HTTP: wire.NewHTTP(), Sign: b.sign, Read: read, Hint: b.hint, Pause: o.Pause}
		return b, nil
	}
}

type bucket struct {
	*account
	name   string
	tokens *azauth.Source
	client *wire.Client
	parts  wire.Parts
}

func (b *bucket) Close() error {
	b.client.HTTP.CloseIdleConnections()
	return nil
}

// call is a request for a blob, or for the container if key is "": pairs are
// the query's, in the order of names.
func (b *bucket) call(op, method, key string, pairs ...string) *wire.Call {
	path := b.name
	if key != "" {
		path += "/" + key
	}
	u := wire.At(b.root, path, wire.Query(pairs...))
	return &wire.Call{Op: op, Key: b.url(key), Method: method, URL: func() *url.URL { c := *u; return &c }, Header: http.Header{}}
}

func (b *bucket) url(key string) string {
	return "azblob://" + b.account.name + "/" + b.name + "/" + key
}

func (b *bucket) sign(ctx context.Context, req *http.Request, body []byte) error {
	req.Header.Set("X-Ms-Version", "2021-12-02")
	switch {
	case b.key != nil:
		b.shared(req, len(body), time.Now())
	case b.sas != "":
		if req.URL.RawQuery != "" {
			req.URL.RawQuery += "&"
		}
		req.URL.RawQuery += b.sas
	default:
		token, err := b.tokens.Token(ctx)
		if err != nil {
			return err
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	return nil
}

// read reads the name of an error, and its document.
func read(resp *http.Response, body []byte) (name, text string) {
	var doc struct{ Code, Message string }
	_ = xml.Unmarshal(body, &doc)
	if name = resp.Header.Get("X-Ms-Error-Code"); name == "" {
		name = doc.Code
	}
	text, _, _ = strings.Cut(doc.Message, "\n") // the rest is a request's number and the time
	return name, text
}

func (b *bucket) hint(code fault.Code, name string) string {
	switch {
	case name == "ContainerNotFound":
		return "There is no container " + strconv.Quote(b.name) + " in the account " + strconv.Quote(b.account.name) + ": make it, or mend its name."
	case code == fault.Denied:
		return "The identity needs the role Storage Blob Data Contributor on the container."
	case code == fault.Unauthenticated:
		return "Log in with az login, or set AZURE_STORAGE_CONNECTION_STRING. Without credentials only public blobs can be read."
	}
	return ""
}

// checkKey wants a key that Azure keeps as it is.
func checkKey(op, key string) error {
	if strings.Contains(key, `\`) {
		return fault.New(fault.Invalid, op, key, "want a key without backslashes, which Azure takes for slashes")
	}
	return store.CheckKey(op, key)
}

// version is an ETag without quotes.
func version(tag string) string { return strings.Trim(tag, `"`) }

func (b *bucket) Stat(ctx context.Context, key string) (*store.Object, error) {
	const op = "azblob.Stat"
	if err := checkKey(op, key); err != nil {
		return nil, err
	}
	a, err := b.head(ctx, op, key)
	if err != nil {
		return nil, err
	}
	if a.Header.Get("X-Ms-Meta-Hdi_isfolder") == "true" {
		return nil, fault.New(fault.NotFound, op, b.url(key), "want a blob, got a folder")
	}
	modified, _ := http.ParseTime(a.Header.Get("Last-Modified"))
	o := &store.Object{Key: key, Version: version(a.Header.Get("ETag")), Size: a.ContentLength, Modified: modified}
	if o.Version == "" || o.Size < 0 {
		return nil, fault.New(fault.Unavailable, op, b.url(key), "want an ETag and a length of the blob, got an answer without")
	}
	return o, nil
}

func (b *bucket) head(ctx context.Context, op, key string) (*wire.Answer, error) {
	a, _, err := b.client.Text(ctx, b.call(op, http.MethodHead, key))
	return a, err
}

func (b *bucket) Open(ctx context.Context, key, of string, offset, length int64) (io.ReadCloser, error) {
	const op = "azblob.Open"
	if err := checkKey(op, key); err != nil {
		return nil, err
	}
	return b.client.Open(ctx, &wire.Range{
		Op: op, Key: b.url(key), Version: of, Offset: offset, Length: length,
		Call: func(of string, header http.Header) *wire.Call {
			c := b.call(op, http.MethodGet, key)
			if c.Header = header; of != "" {
				header.Set("If-Match", `"`+of+`"`)
			}
			return c
		},
		VersionOf: func(h http.Header) string { return version(h.Get("ETag")) },
		Stat:      func(ctx context.Context) (*store.Object, error) { return b.Stat(ctx, key) },
	})
}

func (b *bucket) Delete(ctx context.Context, key string) error {
	const op = "azblob.Delete"
	if err := checkKey(op, key); err != nil {
		return err
	}
	_, _, err := b.client.Text(ctx, b.call(op, http.MethodDelete, key))
	if fault.CodeOf(err) == fault.NotFound && fault.HintOf(err) == "" {
		return nil
	}
	return err
}

func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[*store.Object, error] {
	const op = "azblob.List"
	return func(yield func(*store.Object, error) bool) {
		for next := ""; ; {
			pairs := []string{"comp", "list"}
			if next != "" {
				pairs = append(pairs, "marker", next)
			}
			pairs = append(pairs, "maxresults", "1000", "prefix", prefix, "restype", "container")
			_, body, err := b.client.Text(ctx, b.call(op, http.MethodGet, "", pairs...))
			if err != nil {
				yield(nil, err)
				return
			}
			var page struct {
				NextMarker string
				Blobs      struct {
					Blob []struct {
						Name struct {
							Encoded bool   `xml:",attr"`
							Text    string `xml:",chardata"`
						}
						Properties struct {
							Modified     string `xml:"Last-Modified"`
							Etag         string
							Size         int64 `xml:"Content-Length"`
							ResourceType string
						}
					}
				}
			}
			if err := xml.Unmarshal(body, &page); err != nil {
				yield(nil, fault.New(fault.Unavailable, op, b.url(prefix), "want a list of blobs, got %w", err))
				return
			}
			for _, blob := range page.Blobs.Blob {
				key := blob.Name.Text
				if blob.Name.Encoded {
					if key, err = url.PathUnescape(key); err != nil {
						yield(nil, fault.New(fault.Unavailable, op, b.url(prefix), "want escaped names, got %q", blob.Name.Text))
						return
					}
				}
				if blob.Properties.ResourceType == "directory" || store.CheckKey(op, key) != nil {
					continue
				}
				modified, _ := http.ParseTime(blob.Properties.Modified)
				if !yield(&store.Object{Key: key, Version: version(blob.Properties.Etag), Size: blob.Properties.Size, Modified: modified}, nil) {
					return
				}
			}
			if next = page.NextMarker; next == "" {
				return
			}
		}
	}
}
