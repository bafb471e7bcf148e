package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
)

// ErrLost says that somebody else has the claim: errors.Is finds it in what work
// finds as its context's cause, and in what Do returns when nobody's answer is there.
var ErrLost = errors.New("somebody else has the claim")

// ClaimOptions of NewClaims; nil means defaults.
type ClaimOptions struct {
	// Lease is how long a claim is held without a sign of life; never longer
	// than what is left of ctx, and extended while work goes on. Default 1 min.
	Lease time.Duration
	// Keep is how long an answer is kept: longer than anything is delivered
	// again. Default 14 days, the longest that queues keep messages.
	Keep time.Duration
	// Timeout is for one read or write; default 5 s.
	Timeout time.Duration
	// MaxAnswer is the most bytes of an answer that are kept in the table; larger
	// ones go to Objects. Default 256 KiB.
	MaxAnswer int
	// Objects tells the bucket, and the prefix of keys in it, where larger answers
	// go; nil: they are TooLarge. It is asked when there is one.
	Objects func(ctx context.Context) (b Bucket, prefix string, err error)
	// CacheBytes bounds the answers that this process remembers, so that what
	// comes again here asks no table. Default 4 MiB; negative: none.
	CacheBytes int
	// Open has work done without a claim while the table is away: answers then
	// count for more than that each is given once.
	Open bool
}

func (o *ClaimOptions) withDefaults() ClaimOptions {
	var d ClaimOptions
	if o != nil {
		d = *o
	}
	if d.Lease <= 0 {
		d.Lease = time.Minute
	}
	if d.Keep <= 0 {
		d.Keep = 14 * 24 * time.Hour
	}
	if d.Timeout <= 0 {
		d.Timeout = 5 * time.Second
	}
	if d.MaxAnswer <= 0 {
		d.MaxAnswer = 256 << 10
	}
	if d.CacheBytes == 0 {
		d.CacheBytes = 4 << 20
	}
	return d
}

// Claims has work done once in effect, however often it comes. It is safe for
// concurrent use, also with other processes over the same table; their clocks
// may differ by less than the Lease.
type Claims struct {
	table Table
	o     ClaimOptions
	kept  recent
	fuse  fuse
}

// NewClaims returns claims over t, which stays the caller's.
func NewClaims(t Table, o *ClaimOptions) *Claims {
	c := &Claims{table: t, o: o.withDefaults()}
	c.kept.max = c.o.CacheBytes
	return c
}

// Do returns what came of the work that key names: by work, which is called if
// nobody has done it and nobody is at it, or by whoever did it before. What work
// returns counts only when it is kept, so everyone gets the same answer.
// validation is a digest of what is worked on. The answer is shared: nobody
// writes to it. When work fails or panics the claim is released, and its error
// is returned; its context ends when the claim is found lost.
//
// Errors: Mismatch where the key was used with another validation; Unavailable,
// with a time to wait, where somebody is at it, the table is away, or the claim
// was lost (ErrLost) and nobody has finished; DeadlineExceeded and Canceled
// where no time is left before work began; TooLarge for an answer with no place.
func (c *Claims) Do(ctx context.Context, key, validation string, work func(context.Context) ([]byte, error)) ([]byte, error) {
	now := time.Now()
	if there := c.kept.get(key, now); there != nil {
		return c.answer(ctx, there, key, validation, now)
	}
	lease := c.lease(ctx, now)
	if lease <= 0 || ctx.Err() != nil {
		return nil, fault.New(fault.DeadlineExceeded, "store.Claims", key, "no time is left: %w", context.Cause(ctx))
	}
	claim := &Claim{Key: key, Status: InProgress, Owner: rand.Text(), Validation: validation, Until: now.Add(lease), Expires: now.Add(c.o.Keep)}
	there, err := c.claim(ctx, claim, now)
	switch {
	case err != nil && c.o.Open && ctx.Err() == nil:
		return work(ctx)
	case err != nil:
		// It may have been written, and nobody should wait for who has given up.
		c.release(ctx, claim)
		return nil, err
	case there != nil:
		return c.answer(ctx, there, key, validation, now)
	}
	return c.finish(ctx, claim, work)
}

// lease is how long a claim made at now is held. No time is a time too.
func (c *Claims) lease(ctx context.Context, now time.Time) time.Duration {
	if at, ok := ctx.Deadline(); ok {
		return min(at.Sub(now), c.o.Lease)
	}
	return c.o.Lease
}

// finish does the work of a claim that is ours and keeps what comes of it.
func (c *Claims) finish(ctx context.Context, claim *Claim, work func(context.Context) ([]byte, error)) ([]byte, error) {
	kept := false
	defer func() {
		if !kept {
			c.release(ctx, claim)
		}
	}()
	answer, err := c.extended(ctx, claim, work)
	if err != nil {
		return nil, err
	}
	// What is done is kept, even if the caller has just gone.
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*c.o.Timeout)
	defer cancel()
	done := *claim
	done.Status, done.Answer = Completed, answer
	if len(answer) > c.o.MaxAnswer {
		if done.Object, err = c.put(after, &done); err != nil {
			return nil, err
		}
		done.Answer = nil
	}
	there, err := c.write(after, func(ctx context.Context) (*Claim, error) { return c.table.Update(ctx, &done) })
	switch {
	case err != nil && c.o.Open && fault.CodeOf(err) == fault.Unavailable:
		return answer, nil
	case err != nil:
		return nil, err
	case there != nil:
		kept = true // not ours to release
		if there.Status == Completed {
			return c.answer(after, there, claim.Key, claim.Validation, time.Now())
		}
		return nil, fault.New(fault.Unavailable, "store.Claims", claim.Key, "want to keep the answer: %w", ErrLost).WithRetry(c.o.Lease)
	}
	kept = true
	done.Answer = answer
	c.kept.put(&done)
	return answer, nil
}

// extended calls work, and extends the claim meanwhile.
func (c *Claims) extended(ctx context.Context, claim *Claim, work func(context.Context) ([]byte, error)) ([]byte, error) {
	at, ok := ctx.Deadline()
	if ok && !claim.Until.Before(at) {
		return work(ctx) // held for as long as there is time
	}
	ctx, lose := context.WithCancelCause(ctx)
	var beats sync.WaitGroup
	defer func() { lose(nil); beats.Wait() }()
	beats.Go(func() { c.extend(ctx, *claim, lose) })
	return work(ctx)
}

// extend keeps a claim until ctx ends, and ends it if the claim is lost. While
// the table is away it goes on: whether the claim was lost is said in the end.
func (c *Claims) extend(ctx context.Context, claim Claim, lose context.CancelCauseFunc) {
	tick := time.NewTicker(max(c.o.Lease/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		claim.Until = now.Add(max(c.lease(ctx, now), 0))
		if there, err := c.write(ctx, func(ctx context.Context) (*Claim, error) { return c.table.Update(ctx, &claim) }); err == nil && there != nil {
			lose(fault.New(fault.Unavailable, "store.Claims", claim.Key, "%w", ErrLost))
			return
		}
	}
}

// answer says what to do about a claim that is there.
func (c *Claims) answer(ctx context.Context, there *Claim, key, validation string, now time.Time) ([]byte, error) {
	switch {
	case there.Validation != validation:
		return nil, fault.New(fault.Mismatch, "store.Claims", key, "want the payload that came under this key before, got another one").
			WithHint("A sender uses one key for two things.")
	case there.Status != Completed:
		return nil, fault.New(fault.Unavailable, "store.Claims", key, "somebody is at it until %s", there.Until.UTC().Format(time.RFC3339)).
			WithRetry(min(max(there.Until.Sub(now), time.Second), c.o.Lease))
	case there.Object != "" && there.Answer == nil:
		var err error
		if there.Answer, err = c.get(ctx, there.Object); err != nil {
			return nil, err
		}
	}
	c.kept.put(there)
	return there.Answer, nil
}

// put keeps a large answer under a name that only its owner uses, so that
// nobody's claim ever points at another's answer.
func (c *Claims) put(ctx context.Context, claim *Claim) (string, error) {
	if c.o.Objects == nil {
		return "", fault.New(fault.TooLarge, "store.Claims", claim.Key, "want an answer of at most %d bytes, got %d", c.o.MaxAnswer, len(claim.Answer)).
			WithHint("Say where scores go, under batch.output, and large answers are kept there.")
	}
	b, prefix, err := c.o.Objects(ctx)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s%s.%s.json", prefix, claim.Key, claim.Owner)
	w, err := b.Create(ctx, name)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(claim.Answer); err != nil {
		w.Abort()
		return "", err
	}
	if err := w.Commit(ctx); err != nil && !errors.Is(err, ErrExists) {
		return "", err
	}
	return name, nil
}

func (c *Claims) get(ctx context.Context, name string) ([]byte, error) {
	fail := func(err error) error {
		return fault.New(fault.Unavailable, "store.Claims", name, "the answer that is kept there cannot be read: %w", err)
	}
	if c.o.Objects == nil {
		return nil, fail(errors.New("there is no store for large answers here"))
	}
	b, _, err := c.o.Objects(ctx)
	if err != nil {
		return nil, fail(err)
	}
	r, err := b.Open(ctx, name, "", 0, -1)
	if err != nil {
		return nil, fail(err)
	}
	defer r.Close()
	answer, err := io.ReadAll(r)
	if err != nil {
		return nil, fail(err)
	}
	return answer, nil
}

// claim asks for a claim, but not while the table is away: of the many items of
// a delivery only some wait for it.
func (c *Claims) claim(ctx context.Context, claim *Claim, now time.Time) (*Claim, error) {
	if wait := c.fuse.wait(now); wait > 0 {
		return nil, fault.New(fault.Unavailable, "store.Claims", "", "the table of claims is away, and is asked again in %s", wait.Round(time.Millisecond)).WithRetry(wait)
	}
	return c.write(ctx, func(ctx context.Context) (*Claim, error) { return c.table.Claim(ctx, claim, now) })
}

// release gives a claim back, if that can be done soon: otherwise it ends by
// itself. How it goes says nothing of the next claim.
func (c *Claims) release(ctx context.Context, claim *Claim) {
	if c.fuse.wait(time.Now()) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.o.Timeout)
	defer cancel()
	_ = c.table.Release(ctx, claim.Key, claim.Owner)
}

// write asks the table, in bounded time.
func (c *Claims) write(ctx context.Context, fn func(context.Context) (*Claim, error)) (*Claim, error) {
	short, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	there, err := fn(short)
	if err == nil {
		c.fuse.good()
		return there, nil
	}
	switch {
	case ctx.Err() != nil: // the caller's end says nothing of the table
	case short.Err() != nil:
		c.fuse.bad(time.Now())
		return nil, fault.New(fault.Unavailable, "store.Claims", "", "the table of claims did not answer within %s: %w", c.o.Timeout, err)
	case fault.CodeOf(err) != fault.TooLarge:
		c.fuse.bad(time.Now())
		if fault.Of(err) == nil || !passes(fault.CodeOf(err)) {
			// No item is at fault when the table cannot be used: it comes again.
			return nil, fault.New(fault.Unavailable, "store.Claims", "", "%w", err).WithHint("%s", fault.HintOf(err))
		}
	}
	return nil, err
}

func passes(code fault.Code) bool {
	return code == fault.Unavailable || code == fault.RateLimited || code == fault.Canceled || code == fault.DeadlineExceeded
}
