package cli

import (
	"context"
	"log/slog"

	"godwit.dev/internal/app"
	"godwit.dev/internal/fetch"
	"godwit.dev/internal/pack"
)

// fetch brings the models that are behind URLs into this machine's cache, where
// the package is made from. done lets the cache have them back.
func (w *work) fetch(ctx context.Context) (done func(), err error) {
	var held []*fetch.File
	done = func() {
		for _, f := range held {
			_ = f.Close() // a lock's end
		}
	}
	w.fetched = map[string]string{}
	var f *fetch.Fetcher
	for i := range w.spec.Models {
		m := &w.spec.Models[i]
		if !app.Remote(m) {
			continue
		}
		if f == nil {
			o := w.p.FetchOptions(w.p.logger(slog.LevelWarn))
			o.OCI = pack.Blob
			f = fetch.New(o)
		}
		stop := w.p.working("fetching " + m.Name)
		file, err := f.Get(ctx, m.Path, m.SHA256)
		stop()
		if err != nil {
			return done, err
		}
		held = append(held, file)
		w.fetched[m.Name+"/"+m.Version] = file.Path
	}
	return done, nil
}
