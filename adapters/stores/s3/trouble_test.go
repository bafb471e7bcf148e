package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"godwit.dev/adapters/stores/s3"
	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

func open(t *testing.T, env map[string]string, name string) store.Bucket {
	t.Helper()
	b, err := opener(env)(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func put(t *testing.T, b store.Bucket, key string, data []byte) error {
	t.Helper()
	w, err := b.Create(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		w.Abort()
		return err
	}
	return w.Commit(t.Context())
}

func holds(t *testing.T, b store.Bucket, key string, data []byte) {
	t.Helper()
	r, err := b.Open(t.Context(), key, "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%q has %d bytes, %v; want %d others", key, len(got), err, len(data))
	}
}

func pattern(n int) []byte { return bytes.Repeat([]byte("0123456789abcde\n"), n/16) }

func TestRangeGoesOnWhereItBrokeOff(t *testing.T) {
	srv := storefake.S3(t, "rows")
	b := open(t, srv.S3Env(), "rows")
	data := pattern(3 << 20)
	if err := put(t, b, "key", data); err != nil {
		t.Fatal(err)
	}
	var gets atomic.Int32
	srv.Trouble = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet {
			gets.Add(1)
			w = storefake.Break(w, 300_000)
		}
		next.ServeHTTP(w, r)
	}
	holds(t, b, "key", data)
	if n := gets.Load(); n < 10 || n > 13 {
		t.Errorf("%d requests, want one for each 300,000 bytes of %d", n, len(data))
	}
	r, err := b.Open(t.Context(), "key", "", 1_000_000, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[1_000_000:2_000_000]) {
		t.Errorf("a range: %d bytes, %v", len(got), err)
	}
}

func TestRangeThatAlwaysBreaksOffEnds(t *testing.T) {
	srv := storefake.S3(t, "rows")
	b := open(t, srv.S3Env(), "rows")
	if err := put(t, b, "key", pattern(1<<20)); err != nil {
		t.Fatal(err)
	}
	srv.Trouble = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(storefake.Break(w, 1000), r)
	}
	r, err := b.Open(t.Context(), "key", "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("after %d bytes: got %v, want Unavailable", n, err)
	}
}

// What is written again while it is read is not sewn together.
func TestRangeOfAnotherVersionIsNotRead(t *testing.T) {
	srv := storefake.S3(t, "rows")
	b, other := open(t, srv.S3Env(), "rows"), open(t, srv.S3Env(), "rows")
	if err := put(t, b, "key", pattern(1<<20)); err != nil {
		t.Fatal(err)
	}
	var first sync.Once
	srv.Trouble = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet {
			first.Do(func() { w = storefake.Break(w, 300_000) })
		}
		next.ServeHTTP(w, r)
	}
	r, err := b.Open(t.Context(), "key", "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := other.Delete(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	if err := put(t, other, "key", pattern(1<<20-16)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); fault.CodeOf(err) != fault.Mismatch {
		t.Errorf("after %d bytes: got %v, want Mismatch", n, err)
	}
}

// An answer that is lost after the object was made is no object of somebody else's.
func TestCommitWhoseAnswerIsLost(t *testing.T) {
	for name, size := range map[string]int{"small": 1000, "in parts": 17 << 20} {
		t.Run(name, func(t *testing.T) {
			srv := storefake.S3(t, "rows")
			b := open(t, srv.S3Env(), "rows")
			var once sync.Once
			srv.Trouble = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Header.Get("If-None-Match") == "*" {
					once.Do(func() { storefake.Lose(r, next) })
				}
				next.ServeHTTP(w, r)
			}
			data := pattern(size)
			if err := put(t, b, "key", data); err != nil {
				t.Fatal(err)
			}
			holds(t, b, "key", data)
			if err := put(t, b, "key", data); !errors.Is(err, store.ErrExists) {
				t.Errorf("again: got %v, want ErrExists", err)
			}
		})
	}
}

func TestTroubleThatPasses(t *testing.T) {
	srv := storefake.S3(t, "rows")
	b := open(t, srv.S3Env(), "rows")
	var n atomic.Int32
	srv.Trouble = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch n.Add(1) % 4 { // two of four fail
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, "<Error><Code>SlowDown</Code></Error>")
		case 1:
			panic(http.ErrAbortHandler)
		default:
			next.ServeHTTP(w, r)
		}
	}
	data := pattern(20 << 20)
	if err := put(t, b, "key", data); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stat(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	holds(t, b, "key", data)
	keys := 0
	for _, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys++
	}
	if keys != 1 {
		t.Errorf("%d keys, want 1", keys)
	}
	if err := b.Delete(t.Context(), "key"); err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	srv := storefake.S3(t, "rows")
	wrong := srv.S3Env()
	wrong["AWS_SECRET_ACCESS_KEY"] = "another"
	nobody := map[string]string{"AWS_ENDPOINT_URL_S3": srv.URL, "AWS_REGION": storefake.S3Region, "AWS_EC2_METADATA_DISABLED": "true"}
	for _, c := range []struct {
		name, bucket string
		env          map[string]string
		trouble      int
		want         fault.Code
		hint         string
	}{
		{"no bucket", "none", srv.S3Env(), 0, fault.NotFound, "no bucket"},
		{"no object", "rows", srv.S3Env(), 0, fault.NotFound, ""},
		{"wrong secret", "rows", wrong, 0, fault.Unauthenticated, "credentials"},
		{"no credentials", "rows", nobody, 0, fault.Unauthenticated, "AWS_ACCESS_KEY_ID"},
		{"denied", "rows", srv.S3Env(), http.StatusForbidden, fault.Denied, "s3:GetObject"},
		{"always down", "rows", srv.S3Env(), http.StatusInternalServerError, fault.Unavailable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv.Trouble = nil
			if c.trouble != 0 {
				srv.Trouble = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(c.trouble) }
			}
			b := open(t, c.env, c.bucket)
			_, err := b.Open(t.Context(), "key", "", 0, -1)
			if fault.CodeOf(err) != c.want || !strings.Contains(fault.HintOf(err), c.hint) || !strings.Contains(err.Error(), "s3://"+c.bucket+"/key") {
				t.Errorf("Open: got %v (%v), hint %q; want %v and %q", fault.CodeOf(err), err, fault.HintOf(err), c.want, c.hint)
			}
			if c.name == "no object" {
				return
			}
			if err := put(t, b, "key", nil); fault.CodeOf(err) != c.want {
				t.Errorf("Commit: got %v, want %v", err, c.want)
			}
			for _, err := range b.List(t.Context(), "") {
				if fault.CodeOf(err) != c.want {
					t.Errorf("List: got %v, want %v", err, c.want)
				}
			}
			if err := b.Delete(t.Context(), "key"); fault.CodeOf(err) != c.want {
				t.Errorf("Delete: got %v, want %v", err, c.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, env := range []map[string]string{
		{"AWS_ENDPOINT_URL": "not a url"}, {"AWS_ENDPOINT_URL": "ftp://host"}, {"AWS_ENDPOINT_URL_S3": "http://user@host"}, {"AWS_REGION": "eu/west"},
	} {
		if _, err := opener(env)(context.Background(), "rows"); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%v: got %v, want BadConfig", env, err)
		}
	}
	if _, err := s3.Opener(nil)(context.Background(), "rows"); err != nil {
		t.Errorf("no options: %v", err)
	}
}

// S3 answers 200 to the end of a multipart upload before it begins, and may say
// in the body that it failed.
func TestCommitThatFailsAfterItsStatus(t *testing.T) {
	srv := storefake.S3(t, "rows")
	b := open(t, srv.S3Env(), "rows")
	var n atomic.Int32
	srv.Trouble = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("If-None-Match") == "*" && n.Add(1) <= 2 {
			io.WriteString(w, "<?xml version=\"1.0\"?>\n  <Error><Code>InternalError</Code><Message>Please try again.</Message></Error>")
			return
		}
		next.ServeHTTP(w, r)
	}
	data := pattern(12 << 20)
	if err := put(t, b, "key", data); err != nil || n.Load() != 3 {
		t.Fatalf("got %v after %d attempts, want none after 3", err, n.Load())
	}
	holds(t, b, "key", data)
}
