package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/trigger"
)

// A simulation is several processes that score one object, in a world where
// time, the order of all operations, crashes, lost answers, stores that are
// away and deliveries that come again while another still works are drawn from
// a seed. One operation on a store is done at a time, and the next is chosen
// when every goroutine waits: so a seed always gives the same schedule.
type simulation struct {
	t    testing.TB
	rnd  *rand.Rand
	seed uint64
	disk *disk

	mu      sync.Mutex
	waiting []*operation

	procs    []*process
	mode     mode
	deliver  []int // deliveries that are still to begin, by shard
	acked    int
	trouble  int // crashes and failures that may still happen
	events   []string
	schedule uint64 // a digest of what happened
}

// mode is what is delivered: an event, a job for one file, or one of the two
// shards of a job.
type mode int

const (
	event mode = iota
	oneFile
	sharded
	modes
)

// operation waits for its turn.
type operation struct {
	by      *process
	op, key string
	n       int // of its process and name
	verdict chan error
}

// process is one incarnation of a worker with one delivery.
type process struct {
	id   int
	what int // its shard
	m    *memory
	dead bool
	end  context.CancelFunc
	done chan trigger.Outcome
	seen map[string]int
	rnd  *rand.Rand
}

var errDead = fault.New(fault.Canceled, "simulation", "", "the process is dead")

// start begins a delivery in a new process.
func (s *simulation) start(o *batch.Objects, shard int) {
	p := &process{id: len(s.procs), what: shard, seen: map[string]int{}, done: make(chan trigger.Outcome, 1)}
	p.rnd = rand.New(rand.NewPCG(s.seed, uint64(p.id)))
	p.m = &memory{disk: s.disk}
	p.m.before = func(ctx context.Context, op, key string) error { return s.turn(ctx, p, op, key) }
	p.m.after = func(_ context.Context, _, key string) error {
		s.kept(key)
		s.mu.Lock()
		defer s.mu.Unlock()
		if p.dead {
			return errDead
		}
		return p.lostAnswer()
	}
	s.procs = append(s.procs, p)
	mine := *o
	mine.Stores = inMemory{p.m}
	h := batch.New(infer.HandlerFunc(twice), &batch.Options{Objects: &mine, Spare: 100 * time.Millisecond})
	batch.SetPick(h, p.rnd.IntN)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(2+s.rnd.IntN(30))*time.Second)
	p.end = cancel
	go func() {
		if s.mode == event {
			p.done <- trigger.Run(ctx, h, &trigger.Event{Kind: "s3", Items: []trigger.Item{object("in/a.jsonl")}})[0]
			return
		}
		_, err := h.Score(ctx, s.mode.job(shard))
		p.done <- trigger.Of(err)
	}()
}

func (m mode) job(shard int) *batch.Job {
	job := &batch.Job{Input: "s3://bucket/in/a.jsonl", Output: "s3://bucket/out/"}
	switch m {
	case oneFile:
		job.Output = "s3://bucket/out/one.jsonl"
	case sharded:
		job.Shard, job.Shards = shard, 2
	}
	return job
}

func (p *process) lostAnswer() error {
	err := p.m.lost
	p.m.lost = nil
	return err
}

// turn waits until the operation may happen.
func (s *simulation) turn(ctx context.Context, p *process, op, key string) error {
	s.mu.Lock()
	if p.dead {
		s.mu.Unlock()
		return errDead
	}
	if op == "create" || strings.HasPrefix(key, "in/") { // nobody else sees anything of it
		s.mu.Unlock()
		return nil
	}
	o := &operation{by: p, op: op, key: key, verdict: make(chan error, 1)}
	o.n = p.seen[op+key]
	p.seen[op+key]++
	s.waiting = append(s.waiting, o)
	s.mu.Unlock()
	select {
	case err := <-o.verdict:
		return err
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting = slices.DeleteFunc(s.waiting, func(w *operation) bool { return w == o })
		return ctx.Err()
	}
}

// kept looks at what has just been written: nothing vouches for what is not there.
func (s *simulation) kept(key string) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	there := func(name string) bool { _, ok := s.disk.objects[name]; return ok }
	dir, name := key[:strings.LastIndex(key, "/")+1], key[strings.LastIndex(key, "/")+1:]
	switch {
	case s.mode == oneFile && there("out/one.jsonl.manifest.json"):
		if !there("out/one.jsonl") {
			s.fail("the manifest is there before the scores")
		}
	case strings.HasPrefix(name, "part-") && strings.HasSuffix(name, ".json"):
		var mark batch.ManifestPart
		if err := json.Unmarshal(s.disk.objects[key], &mark); err != nil {
			s.fail("%s: %v", key, err)
		} else if !there(dir+mark.File.Name) || mark.BadFile != nil && !there(dir+mark.BadFile.Name) {
			s.fail("%s vouches for what is not there", key)
		}
	case name == "manifest.json":
		var m batch.Manifest
		if err := json.Unmarshal(s.disk.objects[key], &m); err != nil {
			s.fail("%s: %v", key, err)
		}
		for i := range m.Parts {
			if !there(fmt.Sprintf("%spart-%05d.json", dir, i)) {
				s.fail("the manifest is there before part %d", i)
			}
		}
	}
}

func (s *simulation) fail(format string, args ...any) {
	s.t.Errorf("seed %d: %s\n%s", s.seed, fmt.Sprintf(format, args...), strings.Join(s.events, "\n"))
}

func (s *simulation) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.events = append(s.events, text)
	h := fnv.New64a()
	h.Write([]byte(text))
	s.schedule = s.schedule*1099511628211 + h.Sum64()
}

// step does the next thing that happens, and reports whether anything is left.
func (s *simulation) step(o *batch.Objects) bool {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	alive := 0
	for _, p := range s.procs {
		if p.done == nil {
			continue
		}
		select {
		case out := <-p.done:
			p.done = nil
			p.end()
			switch {
			case p.dead:
				s.deliver = append(s.deliver, p.what)
				s.note("%d is gone", p.id)
			case out.State == trigger.Done:
				s.acked++
				s.note("%d is done", p.id)
				if s.mode != sharded && !s.complete() {
					s.fail("process %d says done, and there is no manifest", p.id)
				}
			case out.State == trigger.Retry:
				s.deliver = append(s.deliver, p.what)
				s.note("%d again: %s", p.id, fault.CodeOf(out.Err))
			default:
				s.fail("process %d: %v: %v", p.id, out.State, out.Err)
			}
		default:
			alive++
		}
	}
	if len(s.deliver) == 0 && alive == 0 {
		return false
	}
	// Something is always delivered while nobody works; else now and then, and
	// also while another still works on the same.
	if n := len(s.deliver); n > 0 && (alive == 0 || alive < 4 && s.rnd.IntN(8) == 0) {
		shard := s.deliver[0]
		s.deliver = s.deliver[1:]
		s.mu.Unlock()
		s.start(o, shard)
		s.mu.Lock()
		s.note("%d begins with %d", len(s.procs)-1, shard)
		return true
	}
	if len(s.waiting) == 0 || s.rnd.IntN(16) == 0 { // time passes, perhaps until something waits no longer
		s.mu.Unlock()
		<-time.After(time.Duration(1+s.rnd.IntN(2000)) * time.Millisecond)
		s.mu.Lock()
		return true
	}
	slices.SortFunc(s.waiting, func(a, b *operation) int {
		if c := a.by.id - b.by.id; c != 0 {
			return c
		}
		if c := strings.Compare(a.op+a.key, b.op+b.key); c != 0 {
			return c
		}
		return a.n - b.n
	})
	i := s.rnd.IntN(len(s.waiting))
	w := s.waiting[i]
	s.waiting = slices.Delete(s.waiting, i, i+1)
	what := "does"
	var err error
	if s.trouble > 0 && s.rnd.IntN(6) == 0 {
		s.trouble--
		switch k := s.rnd.IntN(6); {
		case k < 2: // dead before it
			what, err = "dies before", errDead
			s.kill(w.by)
		case k < 4 && w.op == "commit": // done, and dead before it is known
			what = "dies after"
			s.kill(w.by)
		case k == 4 && w.op == "commit": // done, and the answer is lost
			what = "is not told of"
			w.by.m.lost = fault.New(fault.Unavailable, "simulation", w.key, "the answer is lost")
		default:
			what, err = "fails to", fault.New(fault.Unavailable, "simulation", w.key, "the store is away")
		}
	}
	s.note("%d %s %s %s", w.by.id, what, w.op, w.key)
	w.verdict <- err
	return true
}

// kill ends a process: no operation of it has an effect any more. s.mu is held.
func (s *simulation) kill(p *process) {
	p.dead = true
	s.waiting = slices.DeleteFunc(s.waiting, func(w *operation) bool {
		if w.by == p {
			w.verdict <- errDead
		}
		return w.by == p
	})
	p.end()
}

func (s *simulation) complete() bool {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	for key := range s.disk.objects {
		if strings.HasSuffix(key, "manifest.json") {
			return true
		}
	}
	return false
}

// simulate runs one schedule.
func simulate(t testing.TB, seed uint64, o batch.Objects, rows string) *simulation {
	s := &simulation{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), deliver: []int{0, 0, 0}, mode: mode(seed % uint64(modes)), disk: newMemory().disk}
	if s.mode == sharded {
		s.deliver = []int{1, 0, 1, 0}
	}
	s.trouble = s.rnd.IntN(8)
	s.disk.objects["in/a.jsonl"] = []byte(rows)
	o.Parallel = 1 + s.rnd.IntN(2)
	o.Models = registry(t, true, doubles) // a bubble's own
	for n := 0; s.step(&o); n++ {
		if n > 20_000 {
			s.fail("it goes on for ever")
			break
		}
	}
	for key, n := range s.disk.changed {
		if n != 1 && !strings.Contains(key, ".parts/") {
			s.fail("%s changed %d times", key, n)
		}
	}
	return s
}

// twice is the model doubles without a model.
func twice(_ context.Context, req *infer.Request) (*infer.Response, error) {
	out, err := doubles(context.Background(), req.Inputs)
	return &infer.Response{Digest: "sha256:aa", Outputs: out}, err
}

// schedules is how many are simulated: GODWIT_SCHEDULES, a hundred thousand in
// `make soak`, or the one of GODWIT_SEED.
func schedules(t *testing.T) (from, to uint64) {
	number := func(name string, otherwise uint64) uint64 {
		text := os.Getenv(name)
		if text == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	if seed := number("GODWIT_SEED", 1<<63); seed != 1<<63 {
		return seed, seed + 1
	}
	return 0, number("GODWIT_SCHEDULES", 300)
}

func TestNoScheduleLosesOrDoublesAnything(t *testing.T) {
	r := registry(t, true, doubles)
	rows := lines(9, 4) + "{\"id\":9,\"x\":[-1,0]}\n"
	var o *batch.Objects
	var want [modes]map[string]string
	for m := range modes {
		clean := newMemory()
		clean.set("in/a.jsonl", rows)
		o = objects(clean, r, 60)
		o.Rows = 2
		h := batch.New(infer.HandlerFunc(twice), &batch.Options{Objects: o})
		for shard := range 2 {
			if _, err := h.Score(t.Context(), m.job(shard)); err != nil {
				t.Fatal(err)
			}
		}
		want[m] = untimed(t, clean.all())
	}
	from, to := schedules(t)
	const lanes = 4
	var mu sync.Mutex
	crashed, again, late, steps := 0, 0, 0, 0
	t.Run("schedules", func(t *testing.T) {
		for lane := range uint64(lanes) {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for seed := from + lane; seed < to && !t.Failed(); seed += lanes {
					synctest.Test(t, func(t *testing.T) {
						s := simulate(t, seed, *o, rows)
						if diff := cmp.Diff(want[s.mode], untimed(t, (&memory{disk: s.disk}).all())); diff != "" {
							s.fail("(-want +got):\n%s", diff)
						}
						if seed%500 == 0 {
							if other := simulate(t, seed, *o, rows); other.schedule != s.schedule {
								s.fail("another schedule the second time:\n%s", strings.Join(other.events, "\n"))
							}
						}
						mu.Lock()
						defer mu.Unlock()
						steps += len(s.events)
						for _, e := range s.events {
							switch {
							case strings.Contains(e, " dies "):
								crashed++
							case strings.Contains(e, " again: unavailable"):
								again++
							case strings.Contains(e, " again: deadline_exceeded"):
								late++
							}
						}
					})
				}
			})
		}
	})
	if n := int(to - from); n >= 300 && (crashed < n || again < n/10 || late < n/100) {
		t.Errorf("in %d schedules only %d crashes, %d failures and %d ends by the deadline", n, crashed, again, late)
	}
	t.Logf("%d schedules of %d steps in all: %d crashes, %d failures, %d ends by the deadline", to-from, steps, crashed, again, late)
}
