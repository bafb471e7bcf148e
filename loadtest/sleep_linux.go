package loadtest

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper waits more exactly than time.Sleep, which the runtime's poller
// rounds up to a millisecond when nothing else runs.
type sleeper struct {
	file *os.File
	fd   int
	read [8]byte
}

func newSleeper() *sleeper {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return &sleeper{}
	}
	return &sleeper{file: os.NewFile(uintptr(fd), "timer"), fd: fd}
}

func (s *sleeper) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	if s.file == nil || unix.TimerfdSettime(s.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil) != nil {
		time.Sleep(d)
		return
	}
	s.file.Read(s.read[:]) // an error would only wake early, and the caller looks at the clock
}

func (s *sleeper) close() {
	if s.file != nil {
		s.file.Close()
	}
}
