package loadtest

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"godwit.dev/runtime/fault"
)

// single is a server that takes so long for each request and does one at a time.
func single(service time.Duration) func(*http.Request, []byte) string {
	var mu sync.Mutex
	var free time.Time
	return func(*http.Request, []byte) string {
		mu.Lock()
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		free = free.Add(service)
		at := free
		mu.Unlock()
		wait(time.Until(at))
		return okAnswer
	}
}

func limitOf(t *testing.T, o *Options, objective string) (*Limit, *Result, error) {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ParseObjective(objective)
	if err != nil {
		t.Fatal(err)
	}
	return s.Limit(t.Context(), want, nil)
}

// For arrivals of a Poisson process at one server of fixed service time the
// wait is known (Erlang, Crommelin): with a service of 10 ms 99 % are answered
// in 60 ms up to about 74 requests in a second.
func TestLimitOfAKnownQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, best, err := limitOf(t, inMemory(Options{Duration: 10 * time.Second}, single(10*time.Millisecond)), "p99=60ms")
		if err != nil {
			t.Fatal(err)
		}
		want := crommelin(10*time.Millisecond, 60*time.Millisecond, 0.99)
		if math.Abs(l.Rate/want-1) > 0.08 || l.Above < l.Rate || l.Note != "" {
			t.Errorf("want about %.1f requests in a second, got %+v", want, l)
		}
		if best == nil || best.Rate != l.Rate {
			t.Errorf("want the result at %g, got %+v", l.Rate, best)
		}
		if last := l.Steps[len(l.Steps)-1]; !last.Holds || last.Rate != l.Rate {
			t.Errorf("want a last step that holds at the rate found, got %+v", last)
		}
		why := map[string]int{}
		for _, s := range l.Steps {
			why[s.Why]++
			if s.Holds != (!s.Early && float64(s.Missed) <= 0.01*float64(s.Sent)) {
				t.Errorf("%+v: its verdict is not its misses'", s)
			}
			if s.Rate > 2*want && !s.Early {
				t.Errorf("%+v: want an end as soon as it is lost", s)
			}
		}
		if why["first"] == 0 || why["bisect"] < 2 || why["confirm"] == 0 || why["again"] == 0 {
			t.Errorf("want all kinds of steps, got %v", why)
		}
	})
}

// crommelin is the highest rate at which a share q waits and is served within d
// in an M/D/1 queue, from the waiting time's distribution.
func crommelin(service, d time.Duration, q float64) float64 {
	low, high := 0.0, 1/service.Seconds()
	for range 60 {
		mid := (low + high) / 2
		if md1(mid, service.Seconds(), (d-service).Seconds()) >= q {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// md1 is P(wait <= x): (1-r) sum over k to x/s of (l(ks-x))^k/k! e^(-l(ks-x)).
func md1(rate, service, x float64) float64 {
	sum := 0.0
	for k := 0; float64(k)*service <= x; k++ {
		v := rate * (float64(k)*service - x)
		term := math.Exp(-v)
		for i := 1; i <= k; i++ {
			term *= v / float64(i)
		}
		sum += term
	}
	return (1 - rate*service) * sum
}

func TestLimitCountsErrorsAsMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var inSecond, second int64
		l, _, err := limitOf(t, inMemory(Options{Rate: 10, Constant: true, Duration: 20 * time.Second}, func(*http.Request, []byte) string {
			mu.Lock()
			defer mu.Unlock()
			if now := time.Now().Unix(); now != second {
				second, inSecond = now, 0
			}
			if inSecond++; inSecond > 50 { // a limit of 50 in a second, answered at once
				return "HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n"
			}
			return okAnswer
		}), "p90=1s")
		if err != nil {
			t.Fatal(err)
		}
		if l.Rate < 50 || l.Rate > 57 { // a tenth more are refused then
			t.Errorf("want 50 to 55.6 requests in a second, got %+v", l)
		}
	})
}

func TestLimitOfAServerThatNeverHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, last, err := limitOf(t, inMemory(Options{Rate: 1, Duration: time.Second}, func(*http.Request, []byte) string { wait(100 * time.Millisecond); return okAnswer }), "p50=20ms")
		if err != nil || l.Rate != 0 || l.Above != 1./16 || last == nil {
			t.Errorf("want no rate that holds, got %+v, %v", l, err)
		}
	})
}

// A queue that grows all the time is found, however short the steps were to be.
func TestLimitIsNoQueueThatHasNotGrownYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, err := limitOf(t, inMemory(Options{Rate: 50, Constant: true, Duration: 100 * time.Millisecond}, single(10*time.Millisecond)), "p90=250ms")
		if err != nil || l.Rate < 90 || l.Rate > 108 {
			t.Errorf("want about the 100 requests in a second that the server does, got %+v, %v", l, err)
		}
	})
}

// Without any border the search ends at what can be asked at most.
func TestLimitOfAServerThatAlwaysHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := inMemory(Options{Rate: maxRate / 2, Duration: time.Millisecond, Connections: 256}, func(*http.Request, []byte) string { return okAnswer })
		l, _, err := limitOf(t, o, "p90=10us")
		if err != nil || l.Rate != maxRate || l.Above != 0 {
			t.Errorf("want the highest rate there is, got %+v, %v", l, err)
		}
	})
}

func TestLimitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), inMemory(Options{Rate: 10, Duration: 10 * time.Second}, single(time.Millisecond)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Second)
		defer cancel()
		l, _, err := s.Limit(ctx, &Objective{0.99, 20 * time.Millisecond}, nil)
		wait(time.Hour) // the server's end of what was under way
		if !errors.Is(err, context.DeadlineExceeded) || len(l.Steps) == 0 {
			t.Errorf("want the steps up to the end of time, got %+v, %v", l, err)
		}
	})
}

func TestLimitSaysWhereTheClientEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := inMemory(Options{Rate: 100, Duration: time.Second}, func(*http.Request, []byte) string { return okAnswer })
		o.Rate = 400
		o.sleep = func(d time.Duration) { wait(d); wait(2 * time.Millisecond) } // 2 ms late, again and again
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		l, _, err := s.Limit(t.Context(), &Objective{0.99, time.Millisecond}, nil)
		if err != nil || l.Rate != 0 || l.Steps[0].Client == "" || !strings.Contains(l.Steps[0].Client, "client") {
			t.Errorf("want the client to be told, got %+v, %v", l, err)
		}
	})
}

func TestParseObjective(t *testing.T) {
	for text, want := range map[string]Objective{"p99=20ms": {0.99, 20 * time.Millisecond}, "p99.9=1s": {0.999, time.Second}, "p50=500us": {0.5, 500 * time.Microsecond}} {
		got, err := ParseObjective(text)
		if err != nil || math.Abs(got.Quantile-want.Quantile) > 1e-9 || got.Within != want.Within {
			t.Errorf("%s: want %v, got %v, %v", text, want, got, err)
			continue
		}
		again, err := ParseObjective(got.String())
		if err != nil || *again != *got {
			t.Errorf("%s: want it back from %q, got %v", text, got, again)
		}
	}
	for _, bad := range []string{"", "p99", "99=20ms", "p99=20", "p0=1s", "p100=1s", "pNaN=1s", "p99=-1s", "p99=1h", "max=1s"} {
		if _, err := ParseObjective(bad); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: want code usage, got %v", bad, err)
		}
	}
}
