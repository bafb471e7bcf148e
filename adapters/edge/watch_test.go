package edge_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/edge"
	"godwit.dev/runtime/fault"
)

// Signs of life come at half the time that systemd waits for them, however
// short, and what there is to say with them when it changes.
func TestHowOftenSystemdIsTold(t *testing.T) {
	for _, c := range []struct {
		name, usec string
		ready      []error // at each turn; then the service ends
		status     []string
		every      time.Duration
		want       []string
	}{
		{"half a minute", "30000000", []error{nil, nil}, nil, 15 * time.Second,
			[]string{"READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"}},
		{"a microsecond", "1", []error{nil, nil}, nil, time.Millisecond,
			[]string{"READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"}},
		{"with a status", "4000000", []error{nil, nil, fault.New(fault.Unavailable, "test", "", "no"), nil}, []string{"one", "one", "two\nlines", "three", "three"}, 2 * time.Second,
			[]string{"READY=1\nSTATUS=one", "WATCHDOG=1", "WATCHDOG=1\nSTATUS=two lines", "STATUS=three", "WATCHDOG=1", "STOPPING=1"}},
		{"no watchdog", "", []error{nil, nil}, []string{"one", "two", "two"}, 10 * time.Second,
			[]string{"READY=1\nSTATUS=one", "STATUS=two", "STOPPING=1"}},
	} {
		path := filepath.Join(t.TempDir(), "n")
		socket := systemd(t, path)
		env := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": c.usec}
		s, err := edge.NewService(func(name string) string { return env[name] }, 7, quiet)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(len(c.ready))*c.every+1)
			defer cancel()
			turn := 0
			ready := func() error {
				turn++
				if got := time.Since(begun); got != time.Duration(turn)*c.every {
					t.Errorf("%s: turn %d after %v, want every %v", c.name, turn, got, c.every)
				}
				return c.ready[turn-1]
			}
			said := 0
			var status func() string
			if c.status != nil {
				status = func() string { said++; return c.status[said-1] }
			}
			s.Run(ctx, ready, status)
			if c.usec != "" && turn != len(c.ready) || said != len(c.status) {
				t.Errorf("%s: asked %d times and %d times for its status", c.name, turn, said)
			}
			if got := time.Since(begun); got != time.Duration(len(c.ready))*c.every+1 {
				t.Errorf("%s: ended after %v", c.name, got)
			}
		})
		var got []string
		for range c.want {
			got = append(got, heard(t, socket))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
