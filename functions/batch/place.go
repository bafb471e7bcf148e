package batch

import (
	"fmt"
	"strconv"
	"strings"

	"godwit.dev/runtime/rows"
)

// place is where scores go in a bucket.
type place struct {
	url    string // of the prefix of all parts, or of the one object
	dir    string // the keys' prefix of parts, with a slash
	single string // the key of the one object; "" where parts are what is wanted
}

func (p *place) part(i int, f rows.Format) string { return p.dir + partName(i) + "." + string(f) }
func (p *place) bad(i int) string                 { return p.dir + partName(i) + ".bad.jsonl" }
func (p *place) mark(i int) string                { return p.dir + partName(i) + ".json" }
func (p *place) index() string                    { return p.dir + "parts.json" }

func (p *place) manifest() string {
	if p.single != "" {
		return p.single + ".manifest.json"
	}
	return p.dir + "manifest.json"
}

func partName(i int) string { return fmt.Sprintf("part-%05d", i) }

// markOf is the part that a key below dir is the mark of.
func markOf(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "part-")
	if !ok {
		return 0, false
	}
	digits, ok = strings.CutSuffix(digits, ".json")
	i, err := strconv.Atoi(digits)
	return i, ok && err == nil && i >= 0 && name == partName(i)+".json"
}
