package fnserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/onnx"
)

// A version of a function that ends its process so often within that time is
// given up.
const (
	maxCrashes  = 3
	crashWindow = 10 * time.Minute
)

// history is what is known of a function's versions, each the digest of its
// folder.
type history struct {
	Version string `json:"version"` // that is installed
	// Starts are those of Version that have not ended well since the machine
	// was started: a device that loses its power has not crashed.
	Boot   string      `json:"boot"`
	Starts []time.Time `json:"starts,omitempty"`
	// Refused says that Version is not to be served any more.
	Refused bool `json:"refused,omitempty"`
	// Healthy answered all recorded requests as recorded, also after the time
	// that a version must serve, and Previous was that before it. There is a copy
	// of both.
	Healthy  string `json:"healthy,omitempty"`
	Previous string `json:"previous,omitempty"`
}

// fallback is what can take the installed version's place, or "".
func (h *history) fallback() string {
	if h.Healthy != h.Version {
		return h.Healthy
	}
	return h.Previous
}

// reverter puts the last healthy version of a function in the place of one that
// does not work. What goes wrong with its own files is told and keeps nobody
// from serving.
type reverter struct {
	dir, path string // of the state, of the function
	log       *slog.Logger
	now       func() time.Time
	boot      string        // changes whenever the machine starts
	after     time.Duration // how long a version must serve before it is healthy
	history   history
	began     time.Time // the start that is in the history; zero for a copy
}

func (r *reverter) file() string                { return filepath.Join(r.dir, "versions.json") }
func (r *reverter) copyOf(digest string) string { return filepath.Join(r.dir, "versions", digest) }

// begin returns the folder to serve: the function's, or a copy of an older version.
func (r *reverter) begin(ctx context.Context) string {
	digest, err := version(r.path)
	if err == nil {
		err = r.read(ctx)
	}
	if err != nil {
		r.log.ErrorContext(ctx, "no version can be taken back: what is installed is served", "error", err)
		return r.path
	}
	h := &r.history
	if h.Version != digest {
		*h = history{Version: digest, Healthy: h.Healthy, Previous: h.Previous}
	}
	if h.Boot != r.boot {
		h.Boot, h.Starts = r.boot, nil
	}
	now := r.now()
	h.Starts = slices.DeleteFunc(h.Starts, func(t time.Time) bool { return now.Sub(t).Abs() >= crashWindow })
	h.Refused = h.Refused || len(h.Starts) >= maxCrashes
	if h.Refused && h.Healthy == h.Version && h.Previous != "" { // it was healthy once
		h.Healthy, h.Previous = h.Previous, ""
		r.clean(ctx)
	}
	if old := h.fallback(); h.Refused && old != "" {
		if got, err := version(r.copyOf(old)); err == nil && got == old {
			r.log.ErrorContext(ctx, "the installed version does not work: the last healthy one is served in its place", "installed", digest, "served", old)
			r.write(ctx)
			return r.copyOf(old)
		}
		r.log.ErrorContext(ctx, "the installed version does not work, and the copy of the last healthy one is damaged", "installed", digest, "copy", old)
	}
	r.began = now
	h.Starts = append(h.Starts, now)
	r.write(ctx)
	return r.path
}

// loaded asks the recorded requests. It returns an error for a version that
// answers otherwise, where an older one can take its place with the next start.
func (r *reverter) loaded(ctx context.Context, f *Function) error {
	if r.began.IsZero() {
		return nil
	}
	return r.judge(ctx, check(ctx, f), r.after == 0)
}

// askAgain is the time before recorded requests are asked again that there was
// no room for.
const askAgain = time.Second

// prove waits as long as a new version must serve, asks it the recorded requests
// once more, and keeps a copy of it. Its error is loaded's.
func (r *reverter) prove(ctx context.Context, f *Function) error {
	if r.began.IsZero() || r.history.Healthy == r.history.Version {
		return nil
	}
	for wait := r.after; ; wait = askAgain {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		if err := check(ctx, f); !busy(err) {
			return r.judge(ctx, err, true)
		}
	}
}

// busy reports whether an answer says more of the others that want one.
func busy(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Unavailable, fault.RateLimited, fault.DeadlineExceeded:
		return true
	}
	return false
}

// judge is what a version deserves whose recorded requests ended so; done says
// that it has served long enough.
func (r *reverter) judge(ctx context.Context, err error, done bool) error {
	h := &r.history
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		r.log.ErrorContext(ctx, "the installed version does not answer as recorded", "installed", h.Version, "error", err)
		if h.fallback() == "" {
			return nil
		}
		h.Refused = true
		r.write(ctx)
		return fault.New(fault.Mismatch, "fnserver.Main", h.Version, "want the recorded answers, got others; the next start serves %s: %w", h.fallback(), err)
	}
	if !done || h.Healthy == h.Version {
		return nil
	}
	if err := r.keep(); err != nil {
		r.log.ErrorContext(ctx, "the healthy version was not copied", "version", h.Version, "error", err)
		return nil
	}
	h.Healthy, h.Previous = h.Version, h.Healthy
	r.write(ctx)
	r.clean(ctx)
	r.log.InfoContext(ctx, "the installed version is healthy: others that do not work will give way to it", "version", h.Version)
	return nil
}

// end is told how serving ended. A version is not at fault for an address that
// cannot be listened on, nor for requests that were cut off at the end.
func (r *reverter) end(ctx context.Context, err error) {
	if r.began.IsZero() {
		return
	}
	if err != nil && fault.CodeOf(err) != fault.Usage && fault.CodeOf(err) != fault.Canceled {
		return
	}
	r.history.Starts = slices.DeleteFunc(r.history.Starts, r.began.Equal)
	r.write(ctx)
}

// check asks every recorded request.
func check(ctx context.Context, f *Function) error {
	for i := range f.Requests {
		r := &f.Requests[i]
		req, err := r.Decode()
		if err != nil {
			return err
		}
		resp, err := f.Handler.Infer(ctx, req)
		if err == nil && r.Want != nil {
			err = r.Want.Check(resp)
		}
		if resp != nil {
			resp.Release()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.Path, err)
		}
	}
	return nil
}

func (r *reverter) read(ctx context.Context) error {
	data, err := os.ReadFile(r.file())
	if err == nil {
		if err := json.Unmarshal(data, &r.history); err != nil { // nothing of it is believed
			r.log.ErrorContext(ctx, "what is known of the versions is damaged, and begun anew", "error", err)
			r.history = history{}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.MkdirAll(filepath.Join(r.dir, "versions"), 0o700)
}

// write replaces the file as a whole.
func (r *reverter) write(ctx context.Context) {
	data, err := json.MarshalIndent(&r.history, "", "  ")
	if err == nil {
		err = replace(r.file(), data)
	}
	if err != nil {
		r.log.ErrorContext(ctx, "what is known of the versions was not written", "error", err)
	}
}

func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".writing-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// keep makes a copy of the installed version. It is there whole or not at all.
func (r *reverter) keep() error {
	to := r.copyOf(r.history.Version)
	if got, err := version(to); err == nil && got == r.history.Version {
		return nil
	}
	temp, err := os.MkdirTemp(filepath.Dir(to), ".writing-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	files, err := parts(r.path)
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := copyFile(filepath.Join(temp, name), filepath.Join(r.path, name)); err != nil {
			return err
		}
	}
	if got, err := version(temp); err != nil || got != r.history.Version {
		return errors.Join(err, fmt.Errorf("it changed while it was copied, to %s", got))
	}
	return errors.Join(os.RemoveAll(to), os.Rename(temp, to))
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// clean removes the copies that nothing falls back to.
func (r *reverter) clean(ctx context.Context) {
	all, err := os.ReadDir(filepath.Join(r.dir, "versions"))
	for _, e := range all {
		if e.Name() != r.history.Healthy && e.Name() != r.history.Previous {
			err = errors.Join(err, os.RemoveAll(filepath.Join(r.dir, "versions", e.Name())))
		}
	}
	if err != nil {
		r.log.WarnContext(ctx, "old versions were not removed", "error", err)
	}
}

// version is a digest of the files of a function folder.
func version(dir string) (string, error) {
	files, err := parts(dir)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range files {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) { // a version without it is one as well
				fmt.Fprintf(sum, "%q is missing\n", name)
				continue
			}
			return "", err
		}
		own := sha256.New()
		_, err = io.Copy(own, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%q %x\n", name, own.Sum(nil))
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// parts are the files of a function folder that make a version: godwit.yaml,
// the models with their data, and the recorded requests; of a package its
// manifest, and the models in the forms that it has. Of one that cannot be read
// it is what can be told.
func parts(dir string) ([]string, error) {
	files := []string{spec.FileName}
	packed, err := manifest.Load(dir)
	if packed != nil || err != nil {
		files = append(files, manifest.Name)
	}
	if packed != nil {
		for _, m := range packed.Models {
			for _, form := range m.Baked {
				files = append(files, filepath.FromSlash(form.Path))
				for _, data := range form.Data {
					files = append(files, filepath.FromSlash(data))
				}
			}
		}
	}
	if _, s, err := app.ReadSpec(dir); err == nil {
		for _, m := range s.Models {
			if strings.Contains(m.Path, "://") || packed != nil && packed.File(m.Path) == nil {
				continue
			}
			path := filepath.FromSlash(m.Path)
			files = append(files, path)
			if model, err := onnx.Read(filepath.Join(dir, path), nil); err == nil {
				for _, x := range model.External {
					files = append(files, filepath.Join(filepath.Dir(path), filepath.FromSlash(x.Location)))
				}
			}
		}
	}
	err = fs.WalkDir(os.DirFS(dir), "requests", func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, filepath.FromSlash(name))
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for _, name := range files {
		if !filepath.IsLocal(name) {
			return nil, fault.New(fault.Unsupported, "fnserver.Main", name, "want files within the function's folder, got one outside of it")
		}
	}
	slices.Sort(files)
	return slices.Compact(files), err
}
