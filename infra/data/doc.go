// Package data is what the platforms' documents say: limits of requests, time,
// packages and memory, and what their base systems have. Every value has a
// source and the day on which it was read, because platforms change and a
// number without a day cannot be doubted.
//
// What no document says, or what documents contradict each other about, is
// Unknown. A reader must treat that as a question and never as "no limit": that
// one is None, and is said only where a document says it.
//
// All of it is plain data; concurrent readers are safe.
package data

// Read is the day on which the documents were read, unless a value says another.
const Read = "2026-11-22"

// A Source says where a value is from.
type Source struct {
	Doc string // the document's title, or a repository and path
	URL string // where it is published, "" where the title finds it
	Day string // when it was read, as 2026-11-22
	// Standing is documentation of long standing that was not read again that
	// day.
	Standing bool
	// Copy is a document that was read in a copy which others keep of it.
	Copy bool
}

// String is "Lambda quotas, 2026-11-22".
func (s Source) String() string {
	if s.Standing {
		return s.Doc + ", of long standing, not read again by " + s.Day
	}
	if s.Copy {
		return s.Doc + ", " + s.Day + " in a copy"
	}
	return s.Doc + ", " + s.Day
}

func doc(title string) Source      { return Source{Doc: title, Day: Read} }
func standing(title string) Source { return Source{Doc: title, Day: Read, Standing: true} }
