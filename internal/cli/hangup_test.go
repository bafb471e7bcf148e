package cli_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"godwit.dev/internal/testmodels"
)

// SIGHUP under load: another file comes into service, a bad one does not, and
// no request fails of either.
func TestHangupReloads(t *testing.T) {
	model := testmodels.Slow(1).File(t, "slow")
	replace := func(content []byte) {
		t.Helper()
		temp := filepath.Join(filepath.Dir(model), ".new")
		if err := os.WriteFile(temp, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temp, model); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, model, nil)
	var wg sync.WaitGroup
	quit := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				if status, err := post(t.Context(), s.addr, "slow"); err != nil || status != http.StatusOK {
					t.Errorf("a request: status %d, %v", status, err)
					return
				}
				select {
				case <-quit:
					return
				default:
				}
			}
		})
	}
	digest := fetch(t, http.MethodGet, "http://"+s.addr+"/v2/models/slow")
	replace(testmodels.Slow(2).Bytes())
	send(t, s, syscall.SIGHUP)
	waitFor(t, "another digest", func() bool { return fetch(t, http.MethodGet, "http://"+s.addr+"/v2/models/slow") != digest })

	replace(bytes.Repeat([]byte("<html>"), 10))
	send(t, s, syscall.SIGHUP)
	waitFor(t, "the reason in the index", func() bool {
		index := fetch(t, http.MethodPost, "http://"+s.addr+"/v2/repository/index")
		return strings.Contains(index, `"READY"`) && strings.Contains(index, "the newer one was refused")
	})
	fetch(t, http.MethodGet, "http://"+s.addr+"/v2/health/ready")
	close(quit)
	wg.Wait()
	send(t, s, syscall.SIGTERM)
	if code := s.stopped(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func send(t *testing.T, s *server, sig os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// fetch is the body of a 200.
func fetch(t *testing.T, method, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s, %v", url, resp.StatusCode, body, err)
	}
	return string(body)
}

// hangup is the facade's.
func hangup() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}
