// Package s3 is Amazon S3, or a store that speaks its protocol, as a
// store.Bucket. A version is an object's ETag without quotes, as S3's events
// have it: two writes of the same bytes may be one version.
package s3

import (
	"cmp"
	"context"
	"encoding/xml"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// Options of an Opener.
type Options struct {
	// Getenv reads the environment's variables, which are the SDKs': AWS_REGION,
	// AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_USE_FIPS_ENDPOINT,
	// AWS_USE_DUALSTACK_ENDPOINT and those of credentials. nil means that there are none.
	Getenv func(string) string
	// PartSize is that of the parts of objects, 0 means 8 MiB; S3 wants 5 MiB at
	// least. At most three parts of an object are in memory, and 10,000 make one.
	PartSize int
	// Pause is the first of the times between attempts; 0 means 100 ms.
	Pause time.Duration
}

// Opener opens buckets. A region that nothing names is found by asking S3.
func Opener(o *Options) store.Opener {
	if o == nil {
		o = &Options{}
	}
	getenv := o.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	chain := awsauth.NewChain(&awsauth.Options{Getenv: getenv})
	return func(_ context.Context, name string) (store.Bucket, error) {
		b := &bucket{name: name, chain: chain, parts: wire.Parts{Size: o.PartSize}, fips: on(getenv("AWS_USE_FIPS_ENDPOINT")), dual: on(getenv("AWS_USE_DUALSTACK_ENDPOINT"))}
		for _, v := range []string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"} {
			if text := getenv(v); text != "" {
				u, err := url.Parse(text)
				if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
					return nil, fault.New(fault.BadConfig, "s3.Open", v, "want the http:// or https:// URL of a store, got %q", text)
				}
				b.endpoint = u
				break
			}
		}
		region := cmp.Or(chain.Region(), "us-east-1")
		if !validRegion(region) {
			return nil, fault.New(fault.BadConfig, "s3.Open", "AWS_REGION", "want a region such as eu-west-1, got %q", region)
		}
		b.region.Store(&region)
		b.client = &wire.Client{HTTP: wire.NewHTTP(), Sign: b.sign, Read: read, Again: b.again, Hint: b.hint, Pause: o.Pause}
		return b, nil
	}
}

func on(v string) bool { return strings.EqualFold(v, "true") }

func validRegion(r string) bool {
	for i := range len(r) {
		if c := r[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return r != "" && len(r) <= 63
}

type bucket struct {
	name       string
	endpoint   *url.URL // of a store that is not Amazon's; nil
	region     atomic.Pointer[string]
	fips, dual bool
	chain      *awsauth.Chain
	client     *wire.Client
	parts      wire.Parts
	seen       atomic.Bool // the bucket is there
}

func (b *bucket) Close() error {
	b.client.HTTP.CloseIdleConnections()
	return nil
}

// at is the address of a key, or of the bucket if key is "".
func (b *bucket) at(key, query string) *url.URL {
	if b.endpoint != nil {
		return wire.At(b.endpoint, b.name+"/"+key, query)
	}
	region := *b.region.Load()
	host := "s3"
	if b.fips {
		host += "-fips"
	}
	if b.dual {
		host += ".dualstack"
	}
	host += "." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	root := &url.URL{Scheme: "https", Host: host}
	if strings.Contains(b.name, ".") { // which no wildcard of a certificate covers
		return wire.At(root, b.name+"/"+key, query)
	}
	root.Host = b.name + "." + host
	return wire.At(root, key, query)
}

// call is a request for a key: pairs are the query's, in the order of names.
func (b *bucket) call(op, method, key string, pairs ...string) *wire.Call {
	query := wire.Query(pairs...)
	return &wire.Call{Op: op, Key: b.url(key), Method: method, URL: func() *url.URL { return b.at(key, query) }, Header: http.Header{}}
}

// url is a key as errors have it.
func (b *bucket) url(key string) string { return "s3://" + b.name + "/" + key }

func (b *bucket) sign(ctx context.Context, req *http.Request, body []byte) error {
	keys, err := b.chain.Credentials(ctx)
	if err != nil || keys == nil {
		return err
	}
	awsauth.Sign(req, keys, "s3", *b.region.Load(), awsauth.Sum(body), time.Now())
	return nil
}

// again follows a bucket to its region.
func (b *bucket) again(_ context.Context, resp *http.Response) bool {
	was, is := *b.region.Load(), resp.Header.Get("X-Amz-Bucket-Region")
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusForbidden:
	default:
		return false
	}
	if b.endpoint != nil || is == was || !validRegion(is) {
		return false
	}
	b.region.Store(&is)
	return true
}

// read reads the document of an error.
func read(_ *http.Response, body []byte) (name, text string) {
	var doc struct{ Code, Message string }
	if xml.Unmarshal(body, &doc) != nil {
		return "", ""
	}
	return doc.Code, doc.Message
}

func (b *bucket) hint(code fault.Code, name string) string {
	switch {
	case name == "NoSuchBucket":
		return "There is no bucket " + strconv.Quote(b.name) + " for this identity: make it, or mend its name."
	case code == fault.NotFound:
		return ""
	case name == "AuthorizationHeaderMalformed", name == "PermanentRedirect", name == "IllegalLocationConstraintException":
		return "Set AWS_REGION to the bucket's region."
	case code == fault.Denied:
		return "The role needs s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on the objects and s3:ListBucket on the bucket. Without credentials only public objects can be read: set AWS_ACCESS_KEY_ID or AWS_PROFILE."
	case code == fault.Unauthenticated:
		return "The credentials are wrong or have expired: log in again, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."
	}
	return ""
}

// version is an ETag without quotes.
func version(tag string) string { return strings.Trim(strings.TrimPrefix(tag, "W/"), `"`) }

func (b *bucket) Stat(ctx context.Context, key string) (*store.Object, error) {
	const op = "s3.Stat"
	if err := store.CheckKey(op, key); err != nil {
		return nil, err
	}
	a, err := b.head(ctx, op, key)
	if err != nil {
		return nil, err
	}
	modified, _ := http.ParseTime(a.Header.Get("Last-Modified"))
	o := &store.Object{Key: key, Version: version(a.Header.Get("ETag")), Size: a.ContentLength, Modified: modified}
	if o.Version == "" || o.Size < 0 {
		return nil, fault.New(fault.Unavailable, op, b.url(key), "want an ETag and a length of the object, got an answer without")
	}
	return o, nil
}

// head asks for the headers of an object, and of the bucket where that is not
// there: an answer to HEAD does not say which of both is missing.
func (b *bucket) head(ctx context.Context, op, key string) (*wire.Answer, error) {
	a, _, err := b.client.Text(ctx, b.call(op, http.MethodHead, key))
	if fault.CodeOf(err) == fault.NotFound && !b.seen.Load() {
		if _, _, e := b.client.Text(ctx, b.call(op, http.MethodHead, "")); fault.CodeOf(e) == fault.NotFound {
			err = fault.New(fault.NotFound, op, b.url(key), "the bucket is not there").WithHint("%s", b.hint(fault.NotFound, "NoSuchBucket"))
		} else if e == nil {
			b.seen.Store(true)
		}
	}
	return a, err
}

func (b *bucket) Open(ctx context.Context, key, of string, offset, length int64) (io.ReadCloser, error) {
	const op = "s3.Open"
	if err := store.CheckKey(op, key); err != nil {
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
	const op = "s3.Delete"
	if err := store.CheckKey(op, key); err != nil {
		return err
	}
	_, _, err := b.client.Text(ctx, b.call(op, http.MethodDelete, key))
	if fault.CodeOf(err) == fault.NotFound && !strings.Contains(err.Error(), "NoSuchBucket") { // some stores say so of objects
		return nil
	}
	return err
}

func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[*store.Object, error] {
	const op = "s3.List"
	return func(yield func(*store.Object, error) bool) {
		for next := ""; ; {
			pairs := []string{"encoding-type", "url", "list-type", "2", "prefix", prefix}
			if next != "" {
				pairs = append([]string{"continuation-token", next}, pairs...)
			}
			_, body, err := b.client.Text(ctx, b.call(op, http.MethodGet, "", pairs...))
			if err != nil {
				yield(nil, err)
				return
			}
			var page struct {
				EncodingType          string
				IsTruncated           bool
				NextContinuationToken string
				Contents              []struct {
					Key, ETag    string
					Size         int64
					LastModified time.Time
				}
			}
			if err := xml.Unmarshal(body, &page); err != nil {
				yield(nil, fault.New(fault.Unavailable, op, b.url(prefix), "want a list of objects, got %w", err))
				return
			}
			for _, c := range page.Contents {
				key := c.Key
				if page.EncodingType == "url" {
					if key, err = url.QueryUnescape(key); err != nil {
						yield(nil, fault.New(fault.Unavailable, op, b.url(prefix), "want escaped keys, got %q", c.Key))
						return
					}
				}
				if store.CheckKey(op, key) != nil {
					continue // a folder's marker, say: no key of ours
				}
				if !yield(&store.Object{Key: key, Version: version(c.ETag), Size: c.Size, Modified: c.LastModified}, nil) {
					return
				}
			}
			if !page.IsTruncated || page.NextContinuationToken == "" {
				return
			}
			next = page.NextContinuationToken
		}
	}
}
