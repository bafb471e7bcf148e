//go:build cgo

package monitor_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	_ "godwit.dev/runtime/ort/monitor"
)

// All threads come from the main one, the watching one first of all.
func TestSlack(t *testing.T) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	if len(threads) < 2 {
		t.Fatalf("want a thread beside the main one, got %d", len(threads))
	}
	for _, thread := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%s/timerslack_ns", thread.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(text)); got != "500000" {
			t.Errorf("thread %s: want a timer slack of 500000 ns, got %s", thread.Name(), got)
		}
	}
}
