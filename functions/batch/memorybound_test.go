package batch_test

import (
	"context"
	"io"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/store"
)

// endless is a bucket with one object that repeats a line, and that forgets
// what is written but for marks and such.
type endless struct {
	*memory
	line string
	size int64
}

func (e *endless) Stat(ctx context.Context, key string) (*store.Object, error) {
	if !strings.HasPrefix(key, "in/") {
		return e.memory.Stat(ctx, key)
	}
	return &store.Object{Key: key, Version: "1", Size: e.size}, nil
}

func (e *endless) Open(ctx context.Context, key, version string, offset, length int64) (io.ReadCloser, error) {
	if !strings.HasPrefix(key, "in/") {
		return e.memory.Open(ctx, key, version, offset, length)
	}
	return io.NopCloser(io.LimitReader(&repeated{e.line, int(offset % int64(len(e.line)))}, min(length, e.size-offset))), nil
}

type repeated struct {
	line string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := copy(p[n:], r.line[r.at:])
		n += k
		r.at = (r.at + k) % len(r.line)
	}
	return n, nil
}

func (e *endless) Create(ctx context.Context, key string) (store.Writer, error) {
	w, err := e.memory.Create(ctx, key)
	if strings.HasSuffix(key, ".jsonl") {
		return forgetful{w}, err
	}
	return w, err
}

type forgetful struct{ store.Writer }

func (forgetful) Write(p []byte) (int, error) { return len(p), nil }

// mapped is the memory that Go has from the system, in bytes.
func mapped() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}

// An object takes no more memory the larger it is: GODWIT_OBJECT_MB says how
// large, 5000 in `make soak`.
func TestMemoryIsBounded(t *testing.T) {
	size, part, most := int64(48), int64(4<<20), int64(48<<20)
	if text := os.Getenv("GODWIT_OBJECT_MB"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		size, part, most = n, 0, 300<<20
	}
	line := `{"id":1234567,"x":[1.25,3.5]}` + "\n"
	e := &endless{memory: newMemory(), line: line, size: size << 20 / int64(len(line)) * int64(len(line))}
	r := registry(t, true, doubles)
	var peak atomic.Int64
	begun := mapped()
	h := batch.New(infer.HandlerFunc(twice), &batch.Options{Objects: &batch.Objects{Models: r, Stores: inEndless{e}, Pass: []string{"id"}, PartBytes: part}})
	res, err := h.Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl", Output: "s3://bucket/out/", Progress: func(batch.Progress) {
		peak.Store(max(peak.Load(), mapped()-begun))
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := e.size / int64(len(line)); res.Rows != want {
		t.Errorf("want %d rows, got %d", want, res.Rows)
	}
	t.Logf("%d MB in %d parts, %.1f s: at most %.1f MB", size, len(res.Manifest.Parts), res.Manifest.Timings.Seconds, float64(peak.Load())/(1<<20))
	if peak.Load() > most {
		t.Errorf("want at most %d MB, got %d", most>>20, peak.Load()>>20)
	}
}

type inEndless struct{ e *endless }

func (s inEndless) Open(_ context.Context, url string) (store.Bucket, string, error) {
	at, err := store.Parse(url)
	return s.e, at.Key, err
}
