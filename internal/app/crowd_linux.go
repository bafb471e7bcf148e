package app

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ownThreads are this process's, as Linux schedules them. A thread begun later
// is told what the one that begins it was told.
type ownThreads struct{}

// patient moves the threads of the usual policy to SCHED_BATCH, whose threads
// never interrupt others when they wake (sched(7)), or back. Threads that
// somebody has given another policy keep it, and where the system does not
// permit any of this nothing changes.
func (ownThreads) patient(yes bool) {
	from, to := uint32(unix.SCHED_BATCH), uint32(unix.SCHED_NORMAL)
	if yes {
		from, to = to, from
	}
	// Twice: a thread may begin another one while they are listed.
	for range 2 {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return
		}
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				continue
			}
			attr, err := unix.SchedGetAttr(tid, 0)
			if err != nil || attr.Policy != from {
				continue // it has ended, or is not ours to change
			}
			attr.Policy = to
			_ = unix.SchedSetAttr(tid, attr, 0)
		}
	}
}
