package fetch

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

// Options of a Fetcher; nil means defaults.
type Options struct {
	// Dirs are places for the cache, of which the first that can be written to is
	// used. The variable GODWIT_MODEL_CACHE goes before them, and is then the only
	// one: a place that was named on purpose is not silently another one.
	Dirs []string
	// Getenv reads the environment; nil has none. Beside the GODWIT_MODEL_
	// variables it is asked for the credentials of stores, under the names that the
	// stores' own tools use.
	Getenv func(string) string
	Logger *slog.Logger // nil discards
	// MaxBytes is the most that a model may have; default 2 GiB, which is the most
	// that one file of ONNX can have.
	MaxBytes int64
	// CacheBytes is the most that the folder may hold; default what
	// GODWIT_MODEL_CACHE_SIZE says, else 10 GiB.
	CacheBytes int64
	// Timeout bounds one Get, waiting for other processes included; default 30 min.
	Timeout time.Duration
	// Connect bounds a connection's set-up, and once more its TLS; default 10 s.
	Connect time.Duration
	// Stall is how often it is looked whether Rate bytes a second have come, and
	// how long an answer may be waited for; default 30 s.
	Stall time.Duration
	Rate  int64 // default 16 KiB
	// Attempts is how many requests in a row may fail without a MiB of progress; default 6.
	Attempts int
	TLS      *tls.Config   // nil: the system's authorities
	Resolver *net.Resolver // nil: the system's
	// OCI finds the blob with the SHA-256 sum of an artifact, by its reference
	// without the scheme, and the transport that the registry takes, above the one
	// that it is given, over which it has to ask all it asks. nil: oci:// is refused.
	OCI func(ctx context.Context, ref, sum string, over http.RoundTripper) (blob string, t http.RoundTripper, err error)
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Getenv == nil {
		out.Getenv = func(string) string { return "" }
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	def := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	def(&out.Timeout, 30*time.Minute)
	def(&out.Connect, 10*time.Second)
	def(&out.Stall, 30*time.Second)
	if out.MaxBytes == 0 {
		out.MaxBytes = 2 << 30
	}
	if out.Rate == 0 {
		out.Rate = 16 << 10
	}
	if out.Attempts == 0 {
		out.Attempts = 6
	}
	return out
}

// A Fetcher fetches models. Its methods may be called concurrently.
type Fetcher struct {
	o     Options
	guard *guard
	err   error // why nothing can be fetched
	base  *http.Transport

	wait       func(context.Context, time.Duration) error // between attempts
	redirected func(address string) string                // tests: where a host really is; nil for nowhere else
}

// New returns a Fetcher. What is wrong with its environment is said by Get, so
// that who needs no model from elsewhere is not bothered.
func New(o *Options) *Fetcher {
	f := &Fetcher{o: o.withDefaults(), wait: wait}
	f.guard, f.err = newGuard(f.o.Getenv(PrivateHosts))
	if f.o.CacheBytes == 0 && f.err == nil {
		f.o.CacheBytes, f.err = cacheBytes(f.o.Getenv(CacheSize))
	}
	f.base = &http.Transport{
		DialContext: f.dial, TLSClientConfig: f.o.TLS, TLSHandshakeTimeout: f.o.Connect, ResponseHeaderTimeout: f.o.Stall,
		MaxResponseHeaderBytes: 64 << 10, DisableCompression: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Second,
	}
	return f
}

var digest = lazy.Regexp(`^[0-9a-f]{64}$`)

// File is a model in the cache. It stays there until Close.
type File struct {
	Path string // of a file with the digest that was asked for
	held closer
}

type closer interface{ Close() error }

// Close lets the file be removed when room is needed.
func (f *File) Close() error { return f.held.Close() }

// Get returns the model at url with the SHA-256 sum, in 64 lower-case hexadecimal
// digits: out of the cache, whose bytes are compared again, or fetched. Of many
// calls at once, in this process or in others, one fetches and the others wait.
//
// Errors: BadConfig for a URL, an address, credentials or a folder that will not
// do; BadModel for bytes that are not those, or too many; Unavailable when the
// place did not deliver; the context's.
func (f *Fetcher) Get(ctx context.Context, url, sum string) (*File, error) {
	if f.err != nil {
		return nil, f.err
	}
	at, err := parse(url)
	if err != nil {
		return nil, err
	}
	if !digest().MatchString(sum) {
		return nil, fault.New(fault.BadConfig, "fetch.Get", at.shown, "want sha256 in 64 hexadecimal digits, got %q", sum).
			WithHint("A file from elsewhere is not used without its digest: write sha256 beside path in godwit.yaml.")
	}
	c, err := f.cache()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.o.Timeout,
		fault.New(fault.Unavailable, "fetch.Get", at.shown, "want the model within %v, got a part of it", f.o.Timeout))
	defer cancel()
	file, err := c.get(ctx, at, sum)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return file, err
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
