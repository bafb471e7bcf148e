package batch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// memory is a bucket in memory, whose every operation a test may look at, hold
// up and fail.
type memory struct {
	*disk
	// before is asked before an operation, and its error is the operation's.
	before func(ctx context.Context, op, key string) error
	// after is asked after a commit that succeeded: its error is what the caller
	// is told all the same, as when an answer is lost.
	after func(ctx context.Context, op, key string) error
	lost  error // what the next that commits is told; see simulation
}

// disk is what is kept: several memories may share one, as processes do.
type disk struct {
	mu       sync.Mutex
	objects  map[string][]byte
	versions sync.Map // of bytes by their beginning: digests take longer than scoring
	// changed counts how often an object came to be or went.
	changed map[string]int
}

func newMemory() *memory {
	return &memory{disk: &disk{objects: map[string][]byte{}, changed: map[string]int{}}}
}

func (m *memory) ask(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return store.Fault("memory", key, err)
	}
	if m.before != nil {
		return m.before(ctx, op, key)
	}
	return nil
}

// version is that of b, which is kept.
func (d *disk) version(b []byte) string {
	k := struct {
		p *byte
		n int
	}{unsafe.SliceData(b), len(b)}
	v, ok := d.versions.Load(k)
	if !ok {
		v = version(b)
		d.versions.Store(k, v)
	}
	return v.(string)
}

func version(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:4])
}

func (m *memory) Stat(ctx context.Context, key string) (*store.Object, error) {
	if err := m.ask(ctx, "stat", key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[key]
	if !ok {
		return nil, fault.New(fault.NotFound, "memory.Stat", key, "no such object")
	}
	return &store.Object{Key: key, Version: m.version(b), Size: int64(len(b))}, nil
}

func (m *memory) Open(ctx context.Context, key, v string, offset, length int64) (io.ReadCloser, error) {
	if err := m.ask(ctx, "open", key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[key]
	switch {
	case !ok:
		return nil, fault.New(fault.NotFound, "memory.Open", key, "no such object")
	case v != "" && v != m.version(b):
		return nil, store.Gone("memory.Open", key, v)
	}
	b = b[min(offset, int64(len(b))):]
	if length >= 0 {
		b = b[:min(length, int64(len(b)))]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (m *memory) Create(ctx context.Context, key string) (store.Writer, error) {
	if err := m.ask(ctx, "create", key); err != nil {
		return nil, err
	}
	return &writing{m: m, key: key}, nil
}

func (m *memory) List(ctx context.Context, prefix string) iter.Seq2[*store.Object, error] {
	return func(yield func(*store.Object, error) bool) {
		if err := m.ask(ctx, "list", prefix); err != nil {
			yield(nil, err)
			return
		}
		m.mu.Lock()
		keys := slices.Sorted(maps.Keys(m.objects))
		m.mu.Unlock()
		for _, key := range keys {
			m.mu.Lock()
			b, ok := m.objects[key]
			m.mu.Unlock()
			if ok && strings.HasPrefix(key, prefix) && !yield(&store.Object{Key: key, Version: m.version(b), Size: int64(len(b)), Modified: time.Now()}, nil) {
				return
			}
		}
	}
}

func (m *memory) Delete(ctx context.Context, key string) error {
	if err := m.ask(ctx, "delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[key]; ok {
		delete(m.objects, key)
		m.changed[key]++
	}
	return nil
}

func (m *memory) Close() error { return nil }

// all is a copy of what is there.
func (m *memory) all() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := map[string]string{}
	for k, v := range m.objects {
		c[k] = string(v)
	}
	return c
}

func (m *memory) set(key, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = []byte(value)
}

// Open makes a memory a batch.Stores: every URL is in it, by its key.
func (m *memory) open(_ context.Context, url string) (store.Bucket, string, error) {
	at, err := store.Parse(url)
	return m, at.Key, err
}

// inMemory is a memory as the stores of a job.
type inMemory struct{ m *memory }

func (s inMemory) Open(ctx context.Context, url string) (store.Bucket, string, error) {
	return s.m.open(ctx, url)
}

type writing struct {
	m   *memory
	key string
	b   []byte
}

func (w *writing) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

func (w *writing) Commit(ctx context.Context) error {
	if err := w.m.ask(ctx, "commit", w.key); err != nil {
		return err
	}
	w.m.mu.Lock()
	_, there := w.m.objects[w.key]
	if !there {
		w.m.objects[w.key] = w.b
		w.m.changed[w.key]++
	}
	w.m.mu.Unlock()
	if w.m.after != nil {
		if err := w.m.after(ctx, "commit", w.key); err != nil {
			return err
		}
	}
	if there {
		return store.Exists("memory.Commit", w.key)
	}
	return nil
}

func (w *writing) Abort() {}
