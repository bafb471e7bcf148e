package batch

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/trigger"
)

// A Prefix is all objects below a prefix to score, or one machine's share of
// them: ScorePrefix's parameter. Left out are objects that tell of other objects
// rather than being rows, as tools for tables write them: those whose name, or a
// folder's below the prefix, begins with "_" or ".".
type Prefix struct {
	// Input is a URL or path that ends with a slash.
	Input string
	// Output is the prefix for scores; an object's are below it as the object is
	// below Input. "" is as for events: below Objects.Output.
	Output string
	// Model and ModelVersion are as in Job.
	Model, ModelVersion string
	// Shard of Shards scores a share: whole objects by their names, and of objects
	// of several parts every so many parts. What is written meanwhile changes no
	// other object's place. Shards of 0 and 1 are all.
	Shard, Shards int
	// Progress is told how far scoring is, now and then and when it ends. It is
	// called by one goroutine at a time and should return at once.
	Progress func(PrefixProgress)
}

// PrefixProgress is how far the objects of a prefix are.
type PrefixProgress struct {
	Objects   int   // of this share
	Done      int   // of them, those that nothing is left to do about for this share
	Bytes     int64 // of this share's objects
	Settled   int64 // of those that are done
	Rows, Bad int64 // scored, and left out, by this run
	Elapsed   time.Duration
	Ended     bool
}

// A PrefixResult is what came of a prefix.
type PrefixResult struct {
	Objects int // below the prefix
	Mine    int // of them, those of this share
	// Of this share's: scored whole now, scored whole before, with parts left that
	// others have to score, failed for good, and failed so and kept as Dead says.
	Scored, Already, Waiting, Failed, Kept int
	Rows, Bad                              int64 // scored by this run, and left out
	// Failures are objects that failed for good, at most 100.
	Failures []Failure
}

// A Failure is an object that failed for good.
type Failure struct {
	URL string
	Err error
}

const (
	maxFailures = 100
	// prefixTroubles is after how many objects in a row that something kept which
	// may pass no other is begun.
	prefixTroubles = 3
)

// ScorePrefix scores all objects below a prefix, several at a time, as events of
// each of them would have it: what is there is not scored again, so whoever
// repeats it goes on where it ended.
//
// An object that fails for good fails alone and is told in the result, without an
// error. Errors: NotFound without any object, BadConfig for settings that
// contradict each other, and what keeps objects that may pass, Canceled and
// DeadlineExceeded included; the result tells what was done until then.
func (h *Handler) ScorePrefix(ctx context.Context, p *Prefix) (*PrefixResult, error) {
	s := &prefixed{h: h, p: p, begun: time.Now(), r: &PrefixResult{}}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if err := s.count(ctx); err != nil {
		return nil, err
	}
	s.tell(false)
	err := s.all(ctx)
	s.tell(true)
	return s.r, err
}

// prefixed is a prefix while it is scored.
type prefixed struct {
	h      *Handler
	p      *Prefix
	in     store.Location
	bucket store.Bucket
	begun  time.Time

	mu       sync.Mutex
	r        *PrefixResult
	now      PrefixProgress
	told     time.Time
	troubles int   // in a row
	trouble  error // the first of those that may pass
}

func (s *prefixed) open(ctx context.Context) error {
	o, p := &s.h.objects, s.p
	if o.Models == nil || o.Stores == nil {
		return fault.New(fault.BadConfig, "batch.ScorePrefix", p.Input, "want Objects with models and stores, got none")
	}
	if p.Shards < 0 || p.Shard < 0 || p.Shard >= max(p.Shards, 1) {
		return fault.New(fault.Usage, "batch.ScorePrefix", p.Input, "want a shard of 0 to %d, got %d", max(p.Shards, 1)-1, p.Shard)
	}
	var err error
	if s.in, err = store.Parse(p.Input); err != nil {
		return err
	}
	if !s.in.Prefix() {
		return fault.New(fault.BadConfig, "batch.ScorePrefix", p.Input, "want a prefix, which ends with a slash, got one object")
	}
	if p.Output != "" {
		out, err := store.Parse(p.Output)
		if err != nil {
			return err
		}
		if !out.Prefix() || within(out, s.in) || within(s.in, out) {
			return fault.New(fault.BadConfig, "batch.ScorePrefix", p.Output, "want a prefix for scores apart from %s, where the rows are", s.in).
				WithHint("Name two prefixes side by side, such as rows/ and scores/, each with a slash at its end.")
		}
	}
	if _, err = o.Models.Lookup(p.Model, p.ModelVersion); err != nil { // it would be every object's fault otherwise
		return err
	}
	s.bucket, _, err = o.Stores.Open(ctx, s.in.String())
	return err
}

// objects calls do with each object below the prefix that may have rows, and the
// share of it that is this run's.
func (s *prefixed) objects(ctx context.Context, do func(o *store.Object, mine share) bool) error {
	for o, err := range s.bucket.List(ctx, s.in.Key) {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(o.Key, s.in.Key)
		if hidden(name) {
			continue
		}
		if !do(o, s.share(o)) {
			return nil
		}
	}
	return nil
}

// hidden reports whether an object is none of rows by its name.
func hidden(name string) bool {
	if name == "" || strings.HasSuffix(name, "/") {
		return true
	}
	for step := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(step, "_") || strings.HasPrefix(step, ".") {
			return true
		}
	}
	return false
}

// share is what of an object is one machine's.
type share struct{ shard, shards int }

// nothing is an object of which another machine does all.
var nothing = share{-1, 0}

// share finds this run's share of an object: by its name alone, so that machines
// that begin at different times agree. An object that is one part, or one stream,
// is one machine's.
func (s *prefixed) share(o *store.Object) share {
	n := s.p.Shards
	if n < 2 {
		return share{}
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(o.Key)) // never fails
	first := int(sum.Sum64() % uint64(n))
	if _, compression := rows.Detect(o.Key, nil); o.Size <= s.h.objects.PartBytes || compression != rows.None {
		if first != s.p.Shard {
			return nothing
		}
		return share{}
	}
	return share{(s.p.Shard - first + n) % n, n}
}

// bytes are those of an object that count for a share.
func (mine share) bytes(o *store.Object) int64 { return o.Size / int64(max(mine.shards, 1)) }

// count finds out how much there is to do.
func (s *prefixed) count(ctx context.Context) error {
	err := s.objects(ctx, func(o *store.Object, mine share) bool {
		s.r.Objects++
		if mine != nothing {
			s.now.Objects++
			s.now.Bytes += mine.bytes(o)
		}
		return true
	})
	if err == nil && s.r.Objects == 0 {
		err = fault.New(fault.NotFound, "batch.ScorePrefix", s.in.String(), "want objects below it, got none")
	}
	return err
}

// piece is an object and a share of it, on its way.
type piece struct {
	object *store.Object
	mine   share
	url    string
	seen   Progress
	read   int64 // of its bytes, those that Settled has

	res  *Result // nil unless it was scored
	err  error   // why it was not; nil if it is gone, too
	kept bool    // as Dead says
}

// all scores them.
func (s *prefixed) all(ctx context.Context) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	work := make(chan *piece)
	var group sync.WaitGroup
	for range cap(s.h.jobs) {
		group.Go(func() {
			for w := range work {
				if s.one(inner, w) {
					stop()
				}
			}
		})
	}
	err := s.objects(inner, func(o *store.Object, mine share) bool {
		if mine == nothing {
			return true
		}
		select {
		case work <- &piece{object: o, mine: mine}:
			return true
		case <-inner.Done():
			return false
		}
	})
	close(work)
	group.Wait()
	if ctx.Err() != nil {
		return store.Fault("batch.ScorePrefix", s.in.String(), ctx.Err())
	}
	if s.trouble != nil {
		return s.trouble
	}
	return err
}

// one scores one object, and reports whether no other is to be begun.
func (s *prefixed) one(ctx context.Context, w *piece) (stop bool) {
	if ctx.Err() != nil {
		return true
	}
	at := s.in
	at.Key = w.object.Key
	w.url = at.String()
	job := &Job{Input: w.url, Model: s.p.Model, ModelVersion: s.p.ModelVersion, Shard: w.mine.shard, Shards: w.mine.shards}
	if s.p.Output != "" {
		name := strings.TrimPrefix(at.Key, s.in.Key)
		job.Output = strings.TrimSuffix(s.p.Output, "/") + "/" + name[:strings.LastIndexByte(name, '/')+1]
	}
	job.Progress = func(p Progress) { s.progress(w, p) }
	w.err = guarded(func() (err error) { w.res, err = s.h.Score(ctx, job); return err })
	if w.err != nil && ctx.Err() != nil {
		return true
	}
	if out := trigger.Of(w.err); out.State == trigger.Permanent {
		if _, err := s.bucket.Stat(ctx, at.Key); fault.CodeOf(err) == fault.NotFound {
			w.err = nil // somebody has removed it meanwhile
		} else {
			item := trigger.Item{ID: w.url, Key: w.url + "#" + w.object.Version, Time: w.object.Modified,
				Object: &trigger.Object{Store: at.Scheme, Bucket: at.Bucket, Key: at.Key, Version: w.object.Version, Size: w.object.Size}}
			out = s.h.aside(ctx, &trigger.Event{Kind: "job", Source: s.in.String(), Items: []trigger.Item{item}}, &item, out)
			if w.kept = out.State == trigger.Done; !w.kept {
				w.err = out.Err
			}
		}
	}
	return s.settle(w)
}

// progress takes what is new of one object.
func (s *prefixed) progress(w *piece, p Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Rows += p.Rows - w.seen.Rows
	s.now.Bad += p.Bad - w.seen.Bad
	read := int64(p.Fraction() * float64(w.mine.bytes(w.object)))
	s.now.Settled += read - w.read
	w.seen, w.read = p, read
	s.tellSome()
}

// settle counts an object that something came of.
func (s *prefixed) settle(w *piece) (stop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.r.Mine++
	if w.err != nil && trigger.Of(w.err).State == trigger.Retry {
		if s.trouble == nil {
			if s.trouble = w.err; fault.Of(w.err) == nil {
				s.trouble = fault.New(fault.CodeOf(w.err), "batch.ScorePrefix", w.url, "%w", w.err)
			}
		}
		s.troubles++
		return s.troubles >= prefixTroubles
	}
	switch {
	case w.kept:
		s.r.Kept++
	case w.err != nil:
		if s.r.Failed++; len(s.r.Failures) < maxFailures {
			s.r.Failures = append(s.r.Failures, Failure{w.url, w.err})
		}
	case w.res == nil: // it is gone
	case w.res.Already:
		s.r.Already++
	case w.res.Manifest == nil:
		s.r.Waiting++
	default:
		s.r.Scored++
	}
	if w.res != nil {
		s.r.Rows += w.res.Rows
		s.r.Bad += w.res.Bad
	}
	s.troubles = 0
	s.now.Done++
	s.now.Settled += w.mine.bytes(w.object) - w.read
	s.tellSome()
	return false
}

// tell tells how far it is.
func (s *prefixed) tell(ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Ended = ended
	s.say()
}

// tellSome does now and then. s.mu is held.
func (s *prefixed) tellSome() {
	if time.Since(s.told) >= tell {
		s.say()
	}
}

// say tells what is known. s.mu is held.
func (s *prefixed) say() {
	if s.p.Progress == nil {
		return
	}
	s.told = time.Now()
	s.now.Elapsed = s.told.Sub(s.begun)
	s.p.Progress(s.now)
}

// String is for logs.
func (r *PrefixResult) String() string {
	return fmt.Sprintf("%d of %d objects: %d scored, %d were there, %d wait for others, %d failed, %d kept aside; %d rows, %d bad",
		r.Mine, r.Objects, r.Scored, r.Already, r.Waiting, r.Failed, r.Kept, r.Rows, r.Bad)
}
