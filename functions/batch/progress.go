package batch

import (
	"sync"
	"time"
)

// tell is how often progress is told of at most.
const tell = 100 * time.Millisecond

// tracker counts for Job.Progress.
type tracker struct {
	mu    sync.Mutex
	to    func(Progress)
	src   *source
	begun time.Time
	last  time.Time
	base  int64 // bytes read before the first row
	now   Progress

	scored    int // parts
	rows, bad int64
}

func (p *tracker) begin(job *Job, src *source, begun time.Time) {
	p.to, p.src, p.begun = job.Progress, src, begun
	p.now.Size = src.Size()
}

func (p *tracker) plan(parts, there, resumed, mine int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Parts, p.now.Done, p.now.Resumed, p.now.Mine = parts, there, resumed, mine
	p.base = p.src.read.Load()
	p.say()
}

// add counts the rows of a block.
func (p *tracker) add(good, bad int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Rows += int64(good)
	p.now.Bad += int64(bad)
	if p.to != nil && time.Since(p.last) >= tell {
		p.say()
	}
}

// part counts a part that is there to stay.
func (p *tracker) part(m *ManifestPart, scored bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Done++
	if scored {
		p.scored++
		p.rows += m.Rows
		p.bad += m.Bad
	}
	p.say()
}

// say tells what is known. p.mu is held.
func (p *tracker) say() {
	if p.to == nil {
		return
	}
	p.last = time.Now()
	p.now.Elapsed = p.last.Sub(p.begun)
	p.now.Read = p.src.read.Load() - p.base
	p.to(p.now)
}

func (p *tracker) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Ended = true
	p.say()
}
