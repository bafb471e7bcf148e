package infer_test

import (
	"context"
	"errors"
	"testing"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
)

// opening tells when a model is being opened.
type opening struct {
	driver.Engine
	begun chan struct{}
}

func (o opening) Open(ctx context.Context, path string, opts *driver.Options) (driver.Session, error) {
	close(o.begun)
	return o.Engine.Open(ctx, path, opts)
}

// A digest that is given as a function is made while the engine opens the
// model, and the load fails with it.
func TestDigestIsMadeWhileTheModelOpens(t *testing.T) {
	broken := errors.New("the disk is gone")
	for _, want := range []error{nil, broken} {
		mem := memengine.New(map[string]memengine.Model{"m": memengine.AddSub()})
		eng := opening{mem, make(chan struct{})}
		m, err := infer.Load(t.Context(), eng, "m", &infer.Options{Name: "m", DigestOf: func() (string, error) {
			<-eng.begun // would wait for ever if the digest came first
			return "sha256:of", want
		}})
		if !errors.Is(err, want) {
			t.Errorf("Load: %v, want %v", err, want)
		}
		if want == nil {
			if m.Digest() != "sha256:of" {
				t.Errorf("digest %q, want the function's", m.Digest())
			}
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if n := mem.Sessions(); n != 0 {
			t.Errorf("%d sessions are open", n)
		}
	}
}

func TestValidName(t *testing.T) {
	long := make([]byte, 128)
	for i := range long {
		long[i] = 'a'
	}
	for name, want := range map[string]bool{
		"a": true, "Z9": true, "0_.-": true, string(long): true,
		"": false, string(long) + "a": false, ".a": false, "-a": false, "_a": false, "a/b": false, "a b": false, "é": false, "a\n": false, "a\x00": false,
	} {
		if got := infer.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v, want %v", name, got, want)
		}
	}
}
