package app

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// newClaims are what the spec's batch.claims says, or nil. Nothing is opened before
// an item is claimed.
func (f *Function) newClaims() (*batch.Claims, error) {
	b := f.Spec.Batch
	if b == nil || b.Claims == "none" || b.Claims == "" {
		return nil, nil
	}
	open, err := f.table(b.Claims)
	if err != nil {
		return nil, err
	}
	code, err := f.code()
	if err != nil {
		return nil, err
	}
	f.claimed = &lazyTable{open: open}
	o := &store.ClaimOptions{Open: b.ClaimsAway == "score"}
	if url := f.below(b.Output); url != "" {
		o.Objects = func(ctx context.Context) (store.Bucket, string, error) {
			return f.opts.Stores.Open(ctx, url+"claims/")
		}
	}
	return &batch.Claims{Store: store.NewClaims(f.claimed, o), Models: f.Models, Scope: f.Spec.Name + " " + code}, nil
}

// newSplit is what the spec's batch.split says, or nil.
func (f *Function) newSplit() (*batch.Split, error) {
	b := f.Spec.Batch
	if b == nil || b.Split == nil || f.opts.Queue == nil {
		return nil, nil
	}
	q, err := f.opts.Queue(b.Split.Queue)
	if err != nil {
		return nil, err
	}
	return &batch.Split{Queue: q, Parts: b.Split.Parts}, nil
}

// table finds what opens the place that batch.claims names.
func (f *Function) table(place string) (func() (store.Table, error), error) {
	scheme, name, _ := strings.Cut(place, ":")
	if scheme != "file" {
		open := f.opts.Tables[scheme]
		if open == nil {
			// A program that gets no deliveries need not know it.
			open = func(string) (store.Table, error) {
				return nil, fault.New(fault.Unsupported, "app.Events", place, "claims cannot be kept there by this program")
			}
		}
		return func() (store.Table, error) { return open(strings.TrimPrefix(name, "//")) }, nil
	}
	dir, absolute := strings.CutPrefix(name, "//")
	dir = filepath.FromSlash(dir)
	if !absolute {
		base := f.opts.Output
		if base == "" && (f.opts.Target == Local || f.opts.Target == "edge") {
			base = f.Dir
		}
		if base == "" || strings.Contains(base, "://") {
			return nil, fault.New(fault.BadConfig, "app.Open", place, "want claims where they last on %s: a folder of the function is gone with the process", f.opts.Target).
				WithHint("Name a mounted folder, as file:///mnt/claims, or use dynamodb://TABLE.")
		}
		dir = filepath.Join(base, dir)
	}
	return func() (store.Table, error) { return store.OpenFileTable(dir) }, nil
}

// lazyTable is a table that is opened when it is first used, and until then
// again when it could not be.
type lazyTable struct {
	open func() (store.Table, error)

	mu    sync.Mutex
	table store.Table
}

func (l *lazyTable) get() (store.Table, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.table == nil {
		t, err := l.open()
		if err != nil {
			return nil, err
		}
		l.table = t
	}
	return l.table, nil
}

// Claim is store.Table's, as are the others.
func (l *lazyTable) Claim(ctx context.Context, c *store.Claim, now time.Time) (*store.Claim, error) {
	t, err := l.get()
	if err != nil {
		return nil, err
	}
	return t.Claim(ctx, c, now)
}

func (l *lazyTable) Update(ctx context.Context, c *store.Claim) (*store.Claim, error) {
	t, err := l.get()
	if err != nil {
		return nil, err
	}
	return t.Update(ctx, c)
}

func (l *lazyTable) Release(ctx context.Context, key, owner string) error {
	t, err := l.get()
	if err != nil {
		return err
	}
	return t.Release(ctx, key, owner)
}

func (l *lazyTable) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table
	if l.table = nil; t == nil {
		return nil
	}
	return t.Close()
}
