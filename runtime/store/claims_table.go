package store

import (
	"context"
	"time"
)

// Status is how far the work of a claim is.
type Status string

// The statuses, in the words that tables of other tools have too.
const (
	InProgress Status = "INPROGRESS"
	Completed  Status = "COMPLETED"
)

// A Claim says that somebody works on what Key names, or what came of it.
type Claim struct {
	Key    string // 1 to 1024 bytes
	Status Status
	// Owner is whoever wrote it: a word that nobody else has.
	Owner string
	// Validation is a digest of what is worked on: the same key with another one
	// is other work.
	Validation string
	// Until is when work in progress counts as given up; in milliseconds, what is
	// finer is lost.
	Until time.Time
	// Expires is when the claim counts as gone, whatever it says; in seconds,
	// rounded up.
	Expires time.Time
	// Answer is what came of it; nil while in progress and where Object is set.
	Answer []byte
	// Object is the key of the object that holds the answer; "" if Answer does.
	Object string
}

// Free reports whether somebody else may have the claim at now: it has expired,
// or whoever worked on it gave up.
func (c *Claim) Free(now time.Time) bool {
	return !c.Expires.After(now) || c.Status == InProgress && !c.Until.After(now)
}

// A Table is where claims are kept: what a driver implements. claimtest holds all
// drivers to it. Its methods may be called concurrently, by other processes too;
// each is one conditional write, of which several at once have some order. A
// method that fails may have written: asking again is harmless, because all
// conditions take the Owner's own claim for his. Tables have no clock.
//
// Errors are coded: Unavailable for what may pass, TooLarge for an answer that
// does not fit, Canceled and DeadlineExceeded after ctx, Denied,
// Unauthenticated and NotFound for a table that cannot be used.
type Table interface {
	// Claim writes c, which is in progress, where there is none of its key, where
	// the one that is there is free at now, or is in progress and c.Owner's.
	// Otherwise it returns the one that is there.
	Claim(ctx context.Context, c *Claim, now time.Time) (there *Claim, err error)
	// Update writes c over c.Owner's claim of its key: one in progress over one
	// in progress, a completed one over either. That Until has passed makes no
	// difference as long as nobody else has claimed it. Otherwise it returns the
	// one that is there, or an empty one.
	Update(ctx context.Context, c *Claim) (there *Claim, err error)
	// Release removes the claim of key if it is in progress and owner's.
	Release(ctx context.Context, key, owner string) error
	// Close gives up what the table holds. Nothing of it is in use any more.
	Close() error
}
