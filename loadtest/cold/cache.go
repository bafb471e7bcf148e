package cold

// Eviction is what became of files' pages in memory.
type Eviction struct {
	Size   int64 `json:"bytes"`          // of the files
	Before int64 `json:"resident_bytes"` // of them in memory, before
	Left   int64 `json:"left_bytes"`     // and after
}

// Proven reports whether what is left in memory is too little to matter: one per
// cent at most. The kernel keeps some pages that it is busy with.
func (e *Eviction) Proven() bool { return e.Size > 0 && e.Left*100 <= e.Size }

// worst makes e the worse of two.
func (e *Eviction) worst(o *Eviction) {
	e.Size, e.Left = max(e.Size, o.Size), max(e.Left, o.Left)
	if e.Before == 0 || o.Before < e.Before {
		e.Before = o.Before
	}
}
