package httpserve

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// watched is one lane in a bubble, its watcher, and the caller's end.
type watched struct {
	set    *laneSet
	socket *full
	caller net.Conn
	r      *bufio.Reader
}

func watchIn(t *testing.T, h http.HandlerFunc) *watched {
	t.Helper()
	s := &server{opts: (*Options)(nil).withDefaults(), http: &http.Server{}, httpConns: newHandoff(nil)}
	s.lanes = newLaneSet(s, t.Context(), h)
	caller, in := net.Pipe()
	socket := asLane(t)(in).(*full)
	l := s.newLane(&conn{Conn: socket, since: time.Now(), onClose: func() {}, lines: &lines{}, replay: replay{pending: []byte("GET /")}})
	if l == nil {
		t.Fatal("no lane")
	}
	s.lanes.add(l)
	go s.lanes.watch()
	go l.run()
	t.Cleanup(func() {
		_ = caller.Close()
		s.lanes.close()
	})
	return &watched{set: s.lanes, socket: socket, caller: caller, r: bufio.NewReader(caller)}
}

// ask sends a request whose line goes on with path.
func (w *watched) ask(first bool, path string) {
	text := path + " HTTP/1.1\r\nHost: x\r\n\r\n"
	if !first {
		text = "GET /" + text
	}
	send(w.caller, text)
}

// A caller who hangs up is noticed: soon at first, and within 80 ms later on.
func TestHangUpsAreNoticed(t *testing.T) {
	for _, tt := range []struct{ after, most time.Duration }{
		{5 * time.Millisecond, 15 * time.Millisecond}, {12 * time.Millisecond, 10 * time.Millisecond}, {35 * time.Millisecond, 20 * time.Millisecond},
		{55 * time.Millisecond, 40 * time.Millisecond}, {100 * time.Millisecond, 80 * time.Millisecond}, {time.Second, 80 * time.Millisecond},
		{time.Second + 40*time.Millisecond, 80 * time.Millisecond}, {10 * time.Second, 80 * time.Millisecond},
	} {
		t.Run(tt.after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, told := make(chan struct{}), make(chan error)
				w := watchIn(t, func(_ http.ResponseWriter, r *http.Request) {
					close(began)
					<-r.Context().Done()
					told <- r.Context().Err()
				})
				w.ask(true, "")
				<-began
				<-time.After(tt.after)
				w.socket.hangUp()
				begun := time.Now()
				if err := <-told; err != context.Canceled || time.Since(begun) > tt.most {
					t.Errorf("told %v after %v, want within %v", err, time.Since(begun), tt.most)
				}
			})
		})
	}
}

// Who has not sent all of a body is not taken for gone: what is left of it may
// lie there unread.
func TestBodiesHideHangUps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, over := make(chan struct{}), make(chan error)
		s := inTime(t, true, nil, func(_ http.ResponseWriter, r *http.Request) {
			close(began)
			select {
			case <-r.Context().Done():
				over <- r.Context().Err()
			case <-time.After(10 * time.Second):
				over <- nil
			}
		})
		var c *noted
		s.wrap = noting(t, &c)
		caller := s.connect()
		send(caller, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
		<-began
		c.hangUp()
		if err := <-over; err != nil {
			t.Errorf("told %v", err)
		}
		go func() { _, _ = io.Copy(io.Discard, caller) }()
	})
}

// A deadline that is given to the watcher ends the request in time, and not
// before; the same lane's next request has none.
func TestDeadlinesAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limit time.Duration
		w := watchIn(t, func(w http.ResponseWriter, r *http.Request) {
			begun := time.Now()
			if limit > 0 && !r.Context().(interface{ EndBy(time.Time) bool }).EndBy(begun.Add(limit)) {
				t.Errorf("a deadline in %v is not taken", limit)
			}
			_, has := r.Context().Deadline()
			err := error(nil)
			select {
			case <-r.Context().Done():
				err = r.Context().Err()
			case <-time.After(time.Minute):
			}
			fmt.Fprint(w, has, " ", err, " ", time.Since(begun).Round(10*time.Millisecond))
		})
		for i, tt := range []struct {
			limit time.Duration
			want  string
		}{
			{time.Second, "true context deadline exceeded 1s"}, {1500 * time.Millisecond, "true context deadline exceeded 1.5s"},
			{0, "false <nil> 1m0s"}, {30 * time.Second, "true context deadline exceeded 30s"}, {time.Hour, "true <nil> 1m0s"},
		} {
			limit = tt.limit
			w.ask(i == 0, "")
			resp, err := http.ReadResponse(w.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); string(got) != tt.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		}
		synctest.Wait()
		if w.set.server.inFlight.Load() != 0 {
			t.Error("requests are still in flight")
		}
	})
}

// The watcher goes to sleep a second after the last request, and not while one
// is answered; the next one wakes it.
func TestWhenTheWatcherSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pause := time.Duration(0)
		var asleep []bool
		var set *laneSet
		w := watchIn(t, func(_ http.ResponseWriter, r *http.Request) {
			<-time.After(pause)
			asleep = append(asleep, set.asleep.Load())
		})
		set = w.set
		for i, tt := range []struct{ takes, idle time.Duration }{{0, 2 * time.Second}, {5 * time.Second, 3 * time.Second}, {20 * time.Millisecond, time.Second}, {0, 0}} {
			pause = tt.takes
			w.ask(i == 0, "")
			if _, err := http.ReadResponse(w.r, nil); err != nil {
				t.Fatal(err)
			}
			for k, want := range []bool{false, true} {
				<-time.After([]time.Duration{980 * time.Millisecond, 50 * time.Millisecond}[k])
				if got := set.asleep.Load(); got != want {
					t.Errorf("request %d: asleep %v, the %d. time", i, got, k)
				}
			}
			<-time.After(tt.idle)
		}
		if asleep[1] || asleep[2] {
			t.Errorf("asleep while requests were answered: %v", asleep)
		}
	})
}

// What a connection remembers of its requests is bounded, however many come.
func TestLanesKeepLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchIn(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		for i := range 500 {
			w.ask(i == 0, "")
			if _, err := http.ReadResponse(w.r, nil); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		w.set.each(func(l *lane) {
			if cap(l.in) > 4<<10 || len(l.in)-l.at != 0 {
				t.Errorf("room for %d bytes, %d of them unread", cap(l.in), len(l.in)-l.at)
			}
		})
	})
}

// A hundred looks at nobody are enough.
func TestHowLongTheWatcherLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchIn(t, func(http.ResponseWriter, *http.Request) {})
		w.ask(true, "")
		if _, err := http.ReadResponse(w.r, nil); err != nil {
			t.Fatal(err)
		}
		<-time.After(1005 * time.Millisecond)
		if w.set.asleep.Load() {
			t.Error("asleep after a second")
		}
		<-time.After(10 * time.Millisecond)
		if !w.set.asleep.Load() {
			t.Error("awake after a hundred looks and one")
		}
	})
}
