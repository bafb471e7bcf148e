package batch

import (
	"time"
)

// A Job is one object of rows to score: Score's parameter, and what an item
// becomes whose payload lies in a store.
//
// An object is scored in parts that depend on its bytes and on
// Objects.PartBytes alone. Each part's scores appear whole or not at all, are
// never written twice, and are found again by whoever scores the same version
// of the object with the same model and settings.
type Job struct {
	// Input is the object's URL or path.
	Input string
	// Version is the one that an event tells of; "" if none does. The object as
	// it is now is scored, whatever this says: of two events that wait, the first
	// scores what both are about. Where there is no object any more, but scores
	// of this version are complete, the job is done.
	Version string
	// Output is where scores go. A URL or path that ends with a slash is a
	// prefix: parts and manifest go below PREFIX/NAME.ID/, where NAME is the
	// input's and ID tells versions, models and settings apart. Any other is one
	// object, which appears when all is scored, with its manifest beside it as
	// OUTPUT.manifest.json; parts wait in OUTPUT.ID.parts/ until then. "" is as
	// for events: below Objects.Output.
	Output string
	// Model and ModelVersion name the model; "" is the only one and the newest.
	Model, ModelVersion string

	// Limit ends the scoring after so many rows, bad ones included; 0 scores
	// all. What is scored is then one part.
	Limit int64
	// Rows are the only ones to score, by BadRow's numbers, ascending; nil scores
	// all.
	Rows []int64
	// Shard of Shards scores the parts whose index leaves the remainder Shard,
	// from 0 on. Shards of 0 and 1 are all parts.
	Shard, Shards int
	// From and To are the parts to score, those from From on, before To; To of 0
	// is to the last.
	From, To int
	// Fresh forgets the parts that an earlier run has left, unless they are
	// complete. Without, scoring goes on where it ended.
	Fresh bool
	// Progress is told how far scoring is, now and then and when it ends. It is
	// called by one goroutine at a time and should return at once; the value is
	// its own.
	Progress func(Progress)
}

// Progress is how far a job is.
type Progress struct {
	Rows, Bad int64 // scored, and left out, by this run
	Read      int64 // bytes of the object, as it is stored, that this run has read
	Size      int64 // of the object, in bytes

	Parts   int // of the object
	Done    int // of them, those that are there to stay, by whomever
	Resumed int // of them, those that were there when this run began
	Mine    int // parts that this run is to score, those that were there included

	Elapsed time.Duration // since scoring began
	Ended   bool          // nothing comes after this
}

// Fraction is how much of what this run is to do is done, from 0 to 1: what is
// left takes Elapsed * (1-f) / f if parts that were there are not counted, as here.
func (p *Progress) Fraction() float64 {
	if p.Ended {
		return 1
	}
	if p.Parts == 0 || p.Size == 0 || p.Mine <= p.Resumed {
		return 0
	}
	all := float64(p.Size) * float64(p.Mine-p.Resumed) / float64(p.Parts)
	return min(float64(p.Read)/all, 0.999)
}

// A Result is how a job ended that did not fail.
type Result struct {
	// Manifest tells of all parts, once all are there; nil while others still
	// have to score theirs.
	Manifest *Manifest
	// Output is the URL of what was written: the prefix, with a slash, or the one object.
	Output string
	// Already says that all was there when this run began: nothing was scored.
	Already bool
	// Scored are the parts that this run has scored, Missing those of the object
	// that nobody has yet.
	Scored, Missing int
	Rows, Bad       int64 // scored by this run, and left out
}
