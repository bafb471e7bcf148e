package app

import "sync"

// crowd lets runs go on while models refuse what comes. On processors that are
// all busy, Linux interrupts a run for every request that arrives, and what is
// to be refused has all the time in the world: told so, Linux lets it wait
// until a run has had its turn of some milliseconds, and many are refused at
// once. At ten times what a model can do that leaves it about a quarter more of
// its processor. While nobody is refused nothing changes: an answer that waits
// for a turn of some other program would be late.
type crowd struct {
	threads threads
	applies sync.WaitGroup

	mu     sync.Mutex
	full   int  // models that refuse
	asleep bool // no more changes
	turn   sync.Mutex
	waits  bool // what the threads are told; under turn
}

// threads tells the system about all threads of this process.
type threads interface {
	// patient says whether those that wake may have to wait for those that run.
	patient(yes bool)
}

// overloaded is told by each model when it begins to refuse and when it ends.
func (c *crowd) overloaded(now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full--; now {
		c.full += 2
	}
	if !c.asleep {
		c.applies.Go(c.apply) // the model is locked, and threads are many
	}
}

func (c *crowd) apply() {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	want := c.full > 0
	c.mu.Unlock()
	if want != c.waits {
		c.waits = want
		c.threads.patient(want)
	}
}

// stop waits for changes in progress; there are none after it.
func (c *crowd) stop() {
	c.mu.Lock()
	c.asleep = true
	c.mu.Unlock()
	c.applies.Wait()
}
