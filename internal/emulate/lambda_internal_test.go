package emulate

import (
	"os"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// signalled is a process that notes the signals it gets.
type signalled struct{ got []os.Signal }

func (*signalled) Done() <-chan struct{} { return nil }
func (*signalled) Err() error            { return nil }
func (*signalled) PID() int              { return 0 }

func (s *signalled) Signal(sig os.Signal) error {
	s.got = append(s.got, sig)
	return nil
}

// A function that asks for work is stopped, until it is to end: one that asks
// only then would not hear of it.
func TestWhatEndsIsNotStopped(t *testing.T) {
	p := &signalled{}
	l := &lambda{opts: &Options{Freeze: true}, process: p, asking: 1}
	l.freeze()
	l.grace()
	l.freeze()
	if diff := cmp.Diff([]os.Signal{syscall.SIGSTOP, syscall.SIGCONT}, p.got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What Lambda makes of a partial answer: mistakes are a failure of all, and
// nothing at all is a success.
func TestPartial(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		stream     bool
		retry      bool
		failed     []string
	}{
		{"nothing", "", false, false, nil},
		{"null", "null", false, false, nil},
		{"an empty object", "{}", false, false, nil},
		{"an empty list", `{"batchItemFailures":[]}`, false, false, nil},
		{"no list", `{"batchItemFailures":null}`, false, false, nil},
		{"one", `{"batchItemFailures":[{"itemIdentifier":"2"}]}`, false, false, []string{"2"}},
		{"no JSON", `{"batch`, false, true, nil},
		{"an empty id", `{"batchItemFailures":[{"itemIdentifier":""}]}`, false, true, nil},
		{"no id", `{"batchItemFailures":[{"itemIdentifier":null}]}`, false, true, nil},
		{"another key", `{"batchItemFailures":[{"id":"2"}]}`, false, true, nil},
		{"one that was not there", `{"batchItemFailures":[{"itemIdentifier":"2"},{"itemIdentifier":"9"}]}`, false, true, nil},
		{"a stream goes back to the lowest", `{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"2"}]}`, true, false, []string{"2", "10"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &Reply{Body: []byte(tt.body)}
			partial([]string{"1", "2", "10"}, tt.stream, r)
			if diff := cmp.Diff(&Reply{Body: []byte(tt.body), Retry: tt.retry, Failed: tt.failed}, r); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
