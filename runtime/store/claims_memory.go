package store

import (
	"bytes"
	"context"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
)

// MemoryTable keeps claims in this process alone, and all of them: for tests, and
// as what other tables are compared with. The zero value is empty.
type MemoryTable struct {
	mu  sync.Mutex
	all map[string]Claim
}

var _ Table = (*MemoryTable)(nil)

// Claim is Table's.
func (t *MemoryTable) Claim(ctx context.Context, c *Claim, now time.Time) (*Claim, error) {
	return t.write(ctx, c, func(there *Claim) bool { return mayClaim(there, c, now) })
}

// Update is Table's.
func (t *MemoryTable) Update(ctx context.Context, c *Claim) (*Claim, error) {
	return t.write(ctx, c, func(there *Claim) bool { return mayUpdate(there, c) })
}

// mayClaim is the condition of Table.Claim; there is nil where there is none.
func mayClaim(there, c *Claim, now time.Time) bool {
	return there == nil || there.Free(now) || there.Status == InProgress && there.Owner == c.Owner
}

// mayUpdate is the condition of Table.Update.
func mayUpdate(there, c *Claim) bool {
	return there != nil && there.Owner == c.Owner && (there.Status == InProgress || c.Status == Completed)
}

func (t *MemoryTable) write(ctx context.Context, c *Claim, may func(there *Claim) bool) (*Claim, error) {
	if err := ended(ctx, c.Key); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if there, ok := t.all[c.Key]; ok && !may(&there) {
		there.Answer = bytes.Clone(there.Answer)
		return &there, nil
	} else if !ok && !may(nil) {
		return &Claim{}, nil
	}
	if t.all == nil {
		t.all = map[string]Claim{}
	}
	t.all[c.Key] = c.stored()
	return nil, nil
}

// stored is a copy of c as tables keep it: times rounded as Claim says, in UTC.
func (c *Claim) stored() Claim {
	s := *c
	s.Until = c.Until.UTC().Truncate(time.Millisecond)
	if s.Expires = c.Expires.UTC().Truncate(time.Second); s.Expires.Before(c.Expires) {
		s.Expires = s.Expires.Add(time.Second)
	}
	s.Answer = bytes.Clone(c.Answer)
	return s
}

// Release is Table's.
func (t *MemoryTable) Release(ctx context.Context, key, owner string) error {
	if err := ended(ctx, key); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if there, ok := t.all[key]; ok && there.Status == InProgress && there.Owner == owner {
		delete(t.all, key)
	}
	return nil
}

// Close does nothing: the claims stay.
func (t *MemoryTable) Close() error { return nil }

func ended(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.CodeOf(err), "store.Claims", key, "%w", err)
	}
	return nil
}
