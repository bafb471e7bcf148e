package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/fetch"
	"godwit.dev/runtime/fault"
)

// Remote reports whether m is behind a URL.
func Remote(m *spec.Model) bool { return strings.Contains(m.Path, "://") }

// FetchOptions are those of a process that models from elsewhere come to: into
// Godwit's cache, or where that cannot be written to, as on most platforms, into
// a folder of this user's own among the temporary ones.
func (p *Process) FetchOptions(log *slog.Logger) *fetch.Options {
	o := &fetch.Options{Getenv: p.Getenv, Logger: log}
	if p.CacheDir != "" {
		o.Dirs = append(o.Dirs, filepath.Join(p.CacheDir, "models"))
	}
	tmp := p.Getenv("TMPDIR")
	if tmp == "" {
		tmp = os.TempDir()
	}
	o.Dirs = append(o.Dirs, filepath.Join(tmp, fmt.Sprintf("godwit-models-%d", os.Geteuid())))
	return o
}

// ModelPath is where a model's file lies on disk. One behind a URL is in the
// package, if this is one, and else fetched now, which ctx bounds; then it stays
// there until it no longer serves, or Close. Errors: Unsupported, and those of
// fetch.Fetcher.Get.
func (f *Function) ModelPath(ctx context.Context, m *spec.Model) (string, error) {
	if !Remote(m) {
		return filepath.Join(f.Dir, filepath.FromSlash(m.Path)), nil
	}
	if f.parcel != nil {
		entry, err := f.parcel.model(m)
		if err != nil {
			return "", err
		}
		return filepath.Join(f.Dir, filepath.FromSlash(entry.Path)), nil
	}
	if f.opts.Fetch == nil {
		return "", fault.New(fault.Unsupported, "app.Load", m.Name, "models behind a URL are not fetched here").
			WithHint("Download the file beside godwit.yaml and name it there.")
	}
	file, err := f.opts.Fetch.Get(ctx, m.Path, m.SHA256)
	if err != nil {
		return "", err
	}
	f.fetched.hold(m.SHA256, file)
	return file.Path, nil
}

// fetched are the models in the cache that this function uses, by digest.
type fetched struct {
	mu    sync.Mutex
	files map[string]*fetch.File
}

func (h *fetched) hold(sum string, file *fetch.File) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files == nil {
		h.files = map[string]*fetch.File{}
	}
	if old := h.files[sum]; old != nil {
		_ = old.Close() // a lock's end; there is nothing to lose
	}
	h.files[sum] = file
}

// keep lets go of all but those of models.
func (h *fetched) keep(models []spec.Model) {
	h.mu.Lock()
	defer h.mu.Unlock()
	used := map[string]bool{}
	for i := range models {
		used[models[i].SHA256] = true
	}
	for sum, file := range h.files {
		if !used[sum] {
			_ = file.Close()
			delete(h.files, sum)
		}
	}
}
