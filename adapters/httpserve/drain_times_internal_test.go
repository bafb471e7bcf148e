package httpserve

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"godwit.dev/runtime/fault"
)

// A drain lets the balancer notice, takes who has just come, waits for headers
// that are on their way and for requests, and no longer than it may.
func TestTimesOfDrains(t *testing.T) {
	eachWay(t, func(t *testing.T, lane bool) {
		s := inTime(t, lane, &Options{PreStop: 10 * time.Second, Drain: time.Minute}, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
		idle := s.connect()
		askRoot(t, idle, bufio.NewReader(idle))
		if err := s.api.Ready(); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		s.stop()
		synctest.Wait()
		if s.api.Ready() == nil {
			t.Error("ready after it was told to stop")
		}
		for _, pause := range []time.Duration{0, 9900 * time.Millisecond, 110 * time.Millisecond} { // the last while the port is being closed
			<-time.After(pause)
			c := s.connect()
			if resp := askRoot(t, c, bufio.NewReader(c)); resp.StatusCode != 200 || !resp.Close {
				t.Errorf("%v after the stop: %d, closes %v, want 200 and the end", time.Since(begun), resp.StatusCode, resp.Close)
			}
		}
		if _, took := ends(idle, begun); !near(took, 10*time.Second, 600*time.Millisecond) {
			t.Errorf("an idle connection ended after %v, want PreStop", took)
		}
		if took, err := s.wait(begun); err != nil || !near(took, 10020*time.Millisecond, 600*time.Millisecond) {
			t.Errorf("Serve: %v after %v", err, took)
		}
		if _, err := s.dial(); err != errRefused {
			t.Errorf("afterwards: %v", err)
		}
	})
	for name, tt := range map[string]struct {
		came time.Duration // before the stop
		text string
		want time.Duration // until the drain is over, from the stop
		more time.Duration
	}{
		"a newcomer":                {100 * time.Millisecond, "", 400 * time.Millisecond, 10 * time.Millisecond},
		"one that is none any more": {600 * time.Millisecond, "", 20 * time.Millisecond, 10 * time.Millisecond},
		"half a header":             {time.Second, getRoot[:len(getRoot)-2], 4 * time.Second, 600 * time.Millisecond},
		"half a preface":            {time.Second, preface[:10], 20 * time.Millisecond, 10 * time.Millisecond},
		"half a frame":              {time.Second, preface + "\x00\x00", 4 * time.Second, 10 * time.Millisecond},
		"an idle preface":           {time.Second, preface, 20 * time.Millisecond, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, lane bool) {
				s := inTime(t, lane, &Options{Drain: time.Minute}, nil)
				c := s.connect()
				go func() { _, _ = io.Copy(io.Discard, c) }()
				send(c, tt.text)
				<-time.After(tt.came)
				begun := time.Now()
				s.stop()
				if took, err := s.wait(begun); err != nil || !near(took, tt.want, tt.more) {
					t.Errorf("Serve: %v after %v, want %v", err, took, tt.want)
				}
			})
		})
	}
	for name, tt := range map[string]struct {
		drain, takes time.Duration
		listens      bool
		cut          time.Duration // when the handler is told, 0: never
		want         time.Duration
		code         fault.Code
	}{
		"in time":            {time.Minute, 30 * time.Second, true, 0, 30 * time.Second, fault.OK},
		"too long":           {10 * time.Second, time.Hour, true, 9 * time.Second, 9 * time.Second, fault.OK},
		"too long, a minute": {time.Minute, time.Hour, true, 59 * time.Second, 59 * time.Second, fault.OK},
		"too long for two":   {2 * time.Second, time.Hour, true, 1600 * time.Millisecond, 1600 * time.Millisecond, fault.OK},
		"deaf":               {10 * time.Second, time.Hour, false, 9 * time.Second, 10 * time.Second, fault.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, lane bool) {
				began, over := make(chan time.Time, 1), make(chan struct{})
				s := inTime(t, lane, &Options{Drain: tt.drain}, func(_ http.ResponseWriter, r *http.Request) {
					defer close(over)
					now := time.Now()
					began <- now
					takes := time.NewTimer(tt.takes)
					defer takes.Stop()
					cut := time.Duration(0)
					select {
					case <-r.Context().Done():
						cut = time.Since(now)
						if cause := context.Cause(r.Context()); fault.CodeOf(cause) != fault.Unavailable || fault.HintOf(cause) == "" {
							t.Errorf("ended by %v", cause)
						}
						if !tt.listens {
							<-takes.C
						}
					case <-takes.C:
					}
					if want := tt.cut; cut != want && cut != want+lastCall {
						t.Errorf("told after %v, want %v", cut, want)
					}
				})
				c := s.connect()
				send(c, getRoot)
				now := <-began
				s.stop()
				answer := make(chan string, 1)
				go func() {
					b, _ := ends(c, now)
					answer <- b
				}()
				took, err := s.wait(now)
				if fault.CodeOf(err) != tt.code || !near(took, tt.want, 600*time.Millisecond) {
					t.Errorf("Serve: %v after %v, want %v after %v", err, took, tt.code, tt.want)
				}
				if got := <-answer; (strings.HasPrefix(got, "HTTP/1.1 200") && strings.Contains(got, "Connection: close")) != (tt.code == fault.OK) {
					t.Errorf("answered %q", got)
				}
				<-over
			})
		})
	}
}
