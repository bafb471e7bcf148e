package data

import (
	"slices"
	"strings"
)

// A State says how much is known of a Limit.
type State uint8

// The states.
const (
	Unknown State = iota // no document says it, or they disagree
	Known
	None // a document says that there is no limit
)

// String is "unknown", "known" or "none".
func (s State) String() string { return [...]string{"unknown", "known", "none"}[min(s, None)] }

// A Key names what a limit is about. Its unit is part of it.
type Key string

// The keys.
const (
	Request    Key = "request"    // bytes of one request's body, as its caller sends it
	Response   Key = "response"   // bytes of one answer's body
	Time       Key = "time"       // milliseconds until a request must be answered
	Start      Key = "start"      // milliseconds from exec until it must take requests
	Stop       Key = "stop"       // milliseconds between the request to stop and the end
	Zip        Key = "zip"        // bytes of an archive that is uploaded directly
	Unpacked   Key = "unpacked"   // bytes of the archive's files
	Image      Key = "image"      // bytes of an image's files
	Config     Key = "config"     // bytes of an image's configuration
	MemoryMin  Key = "memory.min" // bytes
	MemoryMax  Key = "memory.max" // bytes
	Env        Key = "env"        // bytes of all environment variables, names and values
	OpenFiles  Key = "files"      // file descriptors
	Concurrent Key = "concurrent" // requests of one instance at a time
)

// Keys are all keys, in the order in which they are shown.
func Keys() []Key {
	return []Key{Request, Response, Time, Start, Stop, Zip, Unpacked, Image, Config, MemoryMin, MemoryMax, Env, OpenFiles, Concurrent}
}

// Bytes reports whether values of the key are bytes; Millis, whether they are
// milliseconds. The rest are plain numbers.
func (k Key) Bytes() bool {
	switch k {
	case Time, Start, Stop, OpenFiles, Concurrent:
		return false
	}
	return true
}

// Millis reports whether values of the key are milliseconds.
func (k Key) Millis() bool { return k == Time || k == Start || k == Stop }

// A Limit is one value of one target.
type Limit struct {
	Target string // as godwit.yaml calls it
	Key    Key
	// When are the choices of the spec that it holds for, as "api=rest", all of
	// them; nil is all there are.
	When   []string
	State  State
	Value  int64  // in the key's unit; 0 unless Known
	Note   string // what else there is to know, without a full stop
	Source Source
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	mb  = 1_000_000
	gb  = 1_000_000_000
	sec = 1_000
)

// Find is the limit of target for a spec with these choices ("api=rest",
// "package=zip"): of those that hold, the one that names most of them. Where
// there is none it is an Unknown one without a source.
func Find(target string, key Key, choices ...string) Limit {
	best := Limit{Target: target, Key: key}
	found := -1
	for _, l := range limits {
		if l.Target != target || l.Key != key || len(l.When) <= found {
			continue
		}
		if !slices.ContainsFunc(l.When, func(w string) bool { return !slices.Contains(choices, w) }) {
			best, found = l, len(l.When)
		}
	}
	return best
}

// Limits are all of a target, or all there are where target is "". The caller
// may change them.
func Limits(target string) []Limit {
	var all []Limit
	for _, l := range limits {
		if target == "" || l.Target == target {
			all = append(all, l)
		}
	}
	return all
}

// Base64 reports whether target carries a binary body as base64 inside of a
// document that the request's limit counts: four bytes for every three.
func Base64(target string) bool { return target == "awslambda" }

// A System is what a target runs the package in, where it is not the user's
// own image: its glibc above all.
type System struct {
	Target string
	When   []string // as Limit's
	Name   string   // "Amazon Linux 2023, minimal"
	// Glibc is the version that every machine of the platform has at least, as
	// documented, "" where nobody says; GlibcMost is the newest that any is
	// known to have.
	Glibc, GlibcMost string
	// CXX says whether libstdc++ and libgcc_s are there: Known that they are,
	// None that they are not.
	CXX    State
	Root   string   // where the package's files are: "/var/task"
	Path   []string // LD_LIBRARY_PATH as the platform sets it
	Files  string   // what is writable, for people
	Arch   []string // "amd64", "arm64"
	Port   string   // what to listen on, for people
	Source Source
}

// FindSystem is the system of target for a spec with these choices; false
// where the package brings its own, or where nobody knows any.
func FindSystem(target string, choices ...string) (System, bool) {
	best, found := System{}, -1
	for _, s := range systems {
		if s.Target != target || len(s.When) <= found {
			continue
		}
		if !slices.ContainsFunc(s.When, func(w string) bool { return !slices.Contains(choices, w) }) {
			best, found = s, len(s.When)
		}
	}
	return best, found >= 0
}

// Systems are all there are.
func Systems() []System { return slices.Clone(systems) }

// Machine is the memory in bytes of a machine type of the managed endpoints;
// Unknown for most of them.
func Machine(name string) (bytes int64, s Source, state State) {
	for _, m := range machines {
		if strings.EqualFold(m.name, name) {
			return m.memory, m.source, Known
		}
	}
	return 0, Source{}, Unknown
}
