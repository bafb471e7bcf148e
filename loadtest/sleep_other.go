//go:build !linux

package loadtest

import "time"

// sleeper is time.Sleep where there is no finer timer.
type sleeper struct{}

func newSleeper() *sleeper             { return &sleeper{} }
func (*sleeper) sleep(d time.Duration) { time.Sleep(d) }
func (*sleeper) close()                {}
