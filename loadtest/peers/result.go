//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"godwit.dev/loadtest/measure"
)

// What is measured of each side.
const (
	throughput = "throughput"
	cpuTime    = "CPU for a request"
	p50        = "p50"
	p99        = "p99"
	memory     = "peak memory"
	coldStart  = "cold start"
)

// report is one run, and with it all of docs/results/peers.json.
type report struct {
	measure.Host
	Quick            bool
	Library, Subject string
	Peers            []*peerResult
	// Figures are the main numbers of all peers, by name: what a document's
	// number is tied to.
	Figures []named `json:"figures"`
}

// named is one number.
type named struct {
	ID    string  `json:"id"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"` // "" is a ratio
}

// ids are the short names of loads and of what is measured, for named numbers.
var ids = map[string]string{
	smallJSON: "json", smallBinary: "binary", smallGRPC: "grpc", imageJSON: "image-json",
	throughput: "throughput", cpuTime: "cpu", p50: "p50", p99: "p99", memory: "memory", coldStart: "cold",
}

// name fills r.Figures: for each figure PEER.WHAT.LOAD is how many times better
// ours is, and the same with .ours and .theirs what each side showed.
func (r *report) name() {
	r.Figures = nil
	for _, p := range r.Peers {
		for _, f := range p.Figures {
			id := p.Name + "." + ids[f.What]
			if short := ids[f.Load]; short != "" {
				id += "." + short
			} else if i := slices.IndexFunc(points, func(at point) bool { return at.name == f.Load }); i >= 0 {
				id += []string{".20", ".50", ".80", ".common"}[i]
			}
			r.Figures = append(r.Figures, named{id, f.Better.Median, ""}, named{id + ".ours", f.Ours.Median, f.Unit}, named{id + ".theirs", f.Other.Median, f.Unit})
		}
	}
}

// peerResult is what was measured of one peer.
type peerResult struct {
	Name, Title, Language, Note string
	Versions                    map[string]string
	Key                         string   `json:",omitempty"` // of the run that it is from
	When                        string   // it was measured
	Load                        string   // the load average before
	Setting                     string   `json:",omitempty"` // the best one
	Command                     []string `json:",omitempty"`
	Settled                     bool     // three windows of the warm-up agreed within 3 %
	Seconds                     float64
	Missing                     string `json:",omitempty"` // why there is no figure
	Partly                      string `json:",omitempty"` // why there are not all
	Sweep                       []tried
	Figures                     []*figure
}

// tried is a setting of the sweep, on small JSON.
type tried struct {
	Setting string
	Rate    float64 // answers in a second
	CPU     float64 // µs for one
	Ratio   float64 // ours over this, in the same moments
	Missing string  `json:",omitempty"` // why it does not work
}

// figure is one comparison. Better is how many times better ours is, in each
// pair: above 1 in our favour, whatever is measured.
type figure struct {
	What, Load, Unit    string
	Ours, Other, Better measure.Spread
	Pairs               [][2]float64 // as measured: ours, theirs
}

// add makes a figure of pairs; less says that less is better.
func (r *peerResult) add(what, load, unit string, pairs []measure.Pair, less bool) {
	better := measure.Pair.Ratio
	if less {
		better = measure.Pair.Inverse
	}
	f := &figure{What: what, Load: load, Unit: unit, Ours: short(measure.Each(pairs, measure.Pair.First)), Other: short(measure.Each(pairs, measure.Pair.Second)),
		Better: short(measure.Each(pairs, better))}
	for _, p := range pairs {
		f.Pairs = append(f.Pairs, [2]float64{digits(p.Ours), digits(p.Other)})
	}
	r.Figures = append(r.Figures, f)
}

// figure is the one of that name, nil where it was not measured.
func (r *peerResult) figure(what, load string) *figure {
	i := slices.IndexFunc(r.Figures, func(f *figure) bool { return f.What == what && f.Load == load })
	if i < 0 {
		return nil
	}
	return r.Figures[i]
}

func short(s measure.Spread) measure.Spread {
	return measure.Spread{Median: digits(s.Median), Min: digits(s.Min), Max: digits(s.Max), N: s.N}
}

// digits keeps the five that mean something.
func digits(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 5, 64), 64)
	if err != nil || math.IsInf(short, 0) || math.IsNaN(short) { // JSON has neither
		return 0
	}
	return short
}

// save writes the report with one line for each figure, so that a number in a
// document has a line that it is from.
func (r *report) save(path string) error {
	var b bytes.Buffer
	write := func(v any) {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // plain numbers and texts
		}
		b.Write(text)
	}
	r.name()
	head := *r
	head.Peers, head.Figures = nil, nil
	text, err := json.Marshal(&head)
	if err != nil {
		return err
	}
	b.Write(bytes.TrimSuffix(text, []byte(`"Peers":null,"figures":null}`)))
	b.WriteString("\n\"Peers\":[")
	for i, p := range r.Peers {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n")
		p.write(&b, write)
	}
	b.WriteString("],\n\"figures\":[")
	for i, f := range r.Figures {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n")
		write(f)
	}
	b.WriteString("]}\n")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	all := b.Bytes()
	if home, err := os.UserHomeDir(); err == nil && len(home) > 1 { // which commands and what servers said are full of
		all = bytes.ReplaceAll(all, []byte(home+"/"), []byte("~/"))
	}
	return measure.Replace(path, all)
}

func (p *peerResult) write(b *bytes.Buffer, write func(any)) {
	head := *p
	head.Figures = nil
	text, err := json.Marshal(&head)
	if err != nil {
		panic(err) // plain numbers and texts
	}
	b.Write(bytes.TrimSuffix(text, []byte(`"Figures":null}`)))
	b.WriteString(`"Figures":[`)
	for i, f := range p.Figures {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n ")
		write(f)
	}
	b.WriteString("]}")
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// from reads what a peer's run left, nil where there is nothing of this key.
func from(path, key string) *peerResult {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var r peerResult
	if json.Unmarshal(text, &r) != nil || key != "" && r.Key != key {
		return nil
	}
	return &r
}

func (p *peerResult) keep(path string) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return measure.Replace(path, text)
}
