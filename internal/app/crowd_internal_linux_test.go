package app

import (
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func policies(t *testing.T) (of map[uint32]int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	of = map[uint32]int{}
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if attr, err := unix.SchedGetAttr(tid, 0); err == nil { // it may have ended
			of[attr.Policy]++
		}
	}
	return of
}

// All threads change their policy and change it back, but for one that
// somebody has given another.
func TestThreadsChangeTheirPolicy(t *testing.T) {
	idle, end := make(chan error), make(chan bool)
	defer close(end)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its policy
		attr, err := unix.SchedGetAttr(0, 0)
		if err == nil {
			attr.Policy = unix.SCHED_IDLE
			err = unix.SchedSetAttr(0, attr, 0)
		}
		idle <- err
		<-end
	}()
	if err := <-idle; err != nil {
		t.Fatal(err)
	}
	var threads ownThreads
	for _, yes := range []bool{true, false} {
		want, other := uint32(unix.SCHED_NORMAL), uint32(unix.SCHED_BATCH)
		if yes {
			want, other = other, want
		}
		threads.patient(yes)
		if got := policies(t); got[want] < 2 || got[other] != 0 || got[unix.SCHED_IDLE] == 0 {
			t.Errorf("patient(%v): want all threads at policy %d but for one at %d, got %v", yes, want, unix.SCHED_IDLE, got)
		}
	}
}
