package azblob_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

func bucket(t *testing.T, env map[string]string, name string) store.Bucket {
	t.Helper()
	b, err := opener(env)(t.Context(), storefake.AzureAccount+"/"+name)
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

func pattern(n int) []byte { return bytes.Repeat([]byte("0123456789abcde\n"), n/16) }

// Every third answer to a writer is lost, after the store did what was asked or
// before, and the object is there once and whole.
func TestAnswersThatAreLost(t *testing.T) {
	for name, size := range map[string]int{"small": 1000, "in parts": 5<<20 + 16} {
		for _, after := range []bool{true, false} {
			for phase := range int32(3) {
				srv := storefake.Azure(t, "rows")
				b := bucket(t, srv.AzureEnv(), "rows")
				var n atomic.Int32
				srv.Trouble = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					switch {
					case r.Method == http.MethodGet || n.Add(1)%3 != phase:
						next.ServeHTTP(w, r)
					case after:
						storefake.Lose(r, next)
					default:
						panic(http.ErrAbortHandler)
					}
				}
				data := pattern(size)
				if err := put(t, b, "key", data); err != nil {
					t.Fatalf("%s, done first %v, phase %d: %v", name, after, phase, err)
				}
				r, err := b.Open(t.Context(), "key", "", 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				r.Close()
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s, done first %v, phase %d: %d bytes, %v; want %d", name, after, phase, len(got), err, len(data))
				}
				if err := put(t, b, "key", data); !errors.Is(err, store.ErrExists) {
					t.Errorf("%s again: got %v, want ErrExists", name, err)
				}
			}
		}
	}
}

// A small blob is written though another writer's blocks lie under its name, also
// where the store takes those for a blob, as Azurite does.
func TestBlocksOfAnotherWriter(t *testing.T) {
	for _, size := range []int{0, 1600} {
		srv := storefake.Azure(t, "rows")
		srv.Trouble = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Header.Get("X-Ms-Blob-Type") != "" {
				w.Header().Set("X-Ms-Error-Code", "BlobAlreadyExists")
				w.WriteHeader(http.StatusConflict)
				return
			}
			next.ServeHTTP(w, r)
		}
		b := bucket(t, srv.AzureEnv(), "rows")
		w, err := b.Create(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(pattern(3 << 20)); err != nil {
			t.Fatal(err)
		}
		if err := put(t, b, "key", pattern(size)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if err := w.Commit(t.Context()); !errors.Is(err, store.ErrExists) {
			t.Errorf("the other writer: got %v, want ErrExists", err)
		}
		if o, err := b.Stat(t.Context(), "key"); err != nil || o.Size != int64(size) {
			t.Errorf("got %+v, %v; want %d bytes", o, err, size)
		}
	}
}

func TestErrors(t *testing.T) {
	srv := storefake.Azure(t, "rows")
	for _, c := range []struct {
		name, bucket string
		trouble      int
		want         fault.Code
		hint         string
	}{
		{"no bucket", "none", 0, fault.NotFound, "no container"},
		{"no object", "rows", 0, fault.NotFound, ""},
		{"nobody", "rows", http.StatusUnauthorized, fault.Unauthenticated, "az login"},
		{"denied", "rows", http.StatusForbidden, fault.Denied, "Storage Blob Data Contributor"},
		{"always down", "rows", http.StatusServiceUnavailable, fault.Unavailable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv.Trouble = nil
			if c.trouble != 0 {
				srv.Trouble = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(c.trouble) }
			}
			b := bucket(t, srv.AzureEnv(), c.bucket)
			_, err := b.Stat(t.Context(), "key")
			if fault.CodeOf(err) != c.want || !strings.Contains(fault.HintOf(err), c.hint) || !strings.Contains(err.Error(), "azblob://"+storefake.AzureAccount+"/"+c.bucket+"/key") {
				t.Errorf("Stat: got %v (%v), hint %q; want %v and %q", fault.CodeOf(err), err, fault.HintOf(err), c.want, c.hint)
			}
			if c.name == "no object" {
				return
			}
			for name, size := range map[string]int{"a small one": 16, "one in parts": 3 << 20} {
				if err := put(t, b, "key", pattern(size)); fault.CodeOf(err) != c.want {
					t.Errorf("%s: got %v, want %v", name, err, c.want)
				}
			}
			if err := b.Delete(t.Context(), "key"); fault.CodeOf(err) != c.want {
				t.Errorf("Delete: got %v, want %v", err, c.want)
			}
		})
	}
}
