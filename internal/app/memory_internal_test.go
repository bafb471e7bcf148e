package app

import (
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/quota"
)

// used is a control group of version 2 with a limit of 1000 MB.
type used struct {
	fstest.MapFS
	mu *sync.Mutex
}

func (u used) ReadFile(name string) ([]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.MapFS.ReadFile(name)
}

func newUsed() used {
	return used{mu: &sync.Mutex{}, MapFS: fstest.MapFS{
		"proc/self/cgroup":          {Data: []byte("0::/\n")},
		"sys/fs/cgroup/memory.max":  {Data: []byte("1000000000\n")},
		"sys/fs/cgroup/memory.stat": {Data: []byte("inactive_file 1000000\n")},
	}}
}

func (u used) set(megabytes int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.MapFS["sys/fs/cgroup/memory.current"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%d000000\n", megabytes+1)}
}

func options(u used) *Options {
	u.set(10)
	return &Options{Quota: quota.Quota{CPUs: 1, Memory: 1000e6}, Memory: quota.NewGauge(quota.Source{FS: u})}
}

func TestGuardShedsNearTheLimit(t *testing.T) {
	u := newUsed()
	g := newGuard(nil, options(u))
	for _, step := range []struct {
		megabytes int
		refused   bool
	}{{100, false}, {849, false}, {851, true}, {820, true}, {799, false}, {849, false}, {990, true}, {10, false}} {
		u.set(step.megabytes)
		g.look()
		first, err := g.admit(), g.admit()
		if first != nil && step.megabytes < 950 || first == nil && step.megabytes > 950 {
			t.Errorf("with %d MB the first after a look: %v; want one let in below 950 MB", step.megabytes, first)
		}
		if (err != nil) != step.refused {
			t.Fatalf("with %d MB: %v, want refused %v", step.megabytes, err, step.refused)
		}
		if err != nil && (fault.CodeOf(err) != fault.Unavailable || fault.RetryOf(err) != time.Second) {
			t.Errorf("%v, retry after %v; want Unavailable after a second", err, fault.RetryOf(err))
		}
	}
}

func TestGuardLooksTenTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
		u := newUsed()
		g := newGuard(nil, options(u))
		g.start()
		defer g.stop()
		synctest.Wait()
		u.set(900)
		if g.admit() != nil {
			t.Error("refused before it looked")
		}
		<-time.After(memoryEvery + time.Millisecond)
		synctest.Wait()
		if g.admit(); g.admit() == nil { // one is let in
			t.Error("not refused 100 ms later")
		}
	})
}

// trims is an engine that says how much it was told to give back at least.
type trims struct {
	driver.Engine
	least chan int64
}

func (e trims) Trim(least int64) { e.least <- least }

// An engine gives memory back now and then, and at once while memory is full.
func TestGuardTrimsTheEngine(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	for _, tt := range []struct {
		name   string
		single bool
		used   int // MB
		after  time.Duration
		want   []int64
	}{
		{"a server, at first", false, 10, trimEvery - time.Second, nil},
		{"a server, after a minute", false, 10, trimEvery + time.Second, []int64{trimLeast}},
		{"one request at a time", true, 10, time.Hour, nil},
		{"one request at a time, full", true, 900, time.Second, []int64{0}},
		{"full for twelve seconds", false, 900, 2*freeEvery + 2*time.Second, []int64{0, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := trims{least: make(chan int64, 1000)}
				u := newUsed()
				o := options(u)
				o.Single = tt.single
				u.set(tt.used)
				g := newGuard(e, o)
				g.start()
				<-time.After(tt.after)
				synctest.Wait()
				g.stop()
				close(e.least)
				var got []int64
				for least := range e.least {
					got = append(got, least)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("asked to give back (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestGuardWithoutALimitDoesNothing(t *testing.T) {
	for _, o := range []*Options{{}, {Quota: quota.Quota{Memory: 1}}, {Memory: quota.NewGauge(quota.Source{FS: newUsed()})}} {
		before := debug.SetMemoryLimit(-1)
		g := newGuard(nil, o)
		g.start()
		if err := g.admit(); err != nil || debug.SetMemoryLimit(-1) != before {
			t.Errorf("%+v: %v", o.Quota, err)
		}
		g.stop()
	}
}

// Go gets what the rest leaves of the limit, but for what the user has set.
func TestGuardLimitsGo(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	u := newUsed()
	g := newGuard(nil, options(u))
	outside := 400
	u.set(outside + int(goMemory()/1e6))
	g.relimit()
	if got := debug.SetMemoryLimit(-1); got < 470e6 || got > 505e6 {
		t.Errorf("with 400 MB outside of Go: a limit of %d, want about 500e6", got)
	}
	u.set(2000)
	g.relimit()
	if got := debug.SetMemoryLimit(-1); got != goLeast {
		t.Errorf("with nothing left: a limit of %d, want %d", got, goLeast)
	}
	debug.SetMemoryLimit(123e6)
	u.set(10)
	g = newGuard(nil, options(u))
	g.relimit()
	if got := debug.SetMemoryLimit(-1); got != 123e6 {
		t.Errorf("the user's limit became %d", got)
	}
}
