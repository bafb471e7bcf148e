// Package monitor makes a program's runs cheaper by being linked into it: on
// Linux, the thread by which Go's runtime watches its processors wakes some two
// thousand times a second where it would wake fifteen thousand times.
//
// Go calls that thread sysmon. While a goroutine is in C, as every run of a model
// is, sysmon looks every 20 µs whether it should give the goroutine's processor
// to others. With one run on each processor it does: another thread is woken,
// takes the processor, and the run, which is over some microseconds later, has to
// queue for one. For models that run in 10 to 100 µs that is a fifth of a server's
// whole CPU. There is no setting for it. But the kernel may delay a thread's
// sleeps by its timer slack, which a thread has from the one that started it, and
// the main thread starts sysmon before it runs any Go. So a constructor in C
// gives the main thread a slack of half a millisecond; sysmon, and threads that
// come after it, have that too.
//
// What it costs: where C keeps all processors for longer than that, others wait
// half a millisecond for one instead of a tenth. Timers of Go, which are kept to
// a millisecond where nothing else is to do, may be half of one late. Programs
// link it in their main; a library that did so would decide for its user.
//
// Without cgo, and elsewhere than on Linux, the package does nothing.
package monitor
