package chart_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"godwit.dev/internal/chart"
	"godwit.dev/internal/golden"
)

// hostile is what a model's name may be.
const hostile = "</title></svg><script>alert(1)</script> \"'&amp; \x00\x1b\xff ]]> é漢🐧"

func figures() map[string]string {
	var wave, steps, low []chart.Point
	var down, up []float64
	for i := range 30 {
		x := float64(i)
		y := 20 + 10*math.Sin(x/4)
		wave, steps = append(wave, chart.Point{X: x, Y: y}), append(steps, chart.Point{X: x, Y: math.Floor(y / 4)})
		down, up = append(down, y-3), append(up, y+2)
		low = append(low, chart.Point{X: x, Y: math.Pow(10, x/10)})
	}
	wave[12].Y = math.NaN()
	ms := func(v float64) string { return chart.Number(v) + " ms" }
	many := &chart.Lines{Title: "Ten of a kind", X: chart.Axis{Label: "x"}}
	for i := range 10 {
		many.Series = append(many.Series, chart.Series{Name: fmt.Sprintf("series number %d", i), Points: []chart.Point{{X: 0, Y: float64(i)}, {X: 1e6, Y: float64(i + 2)}}})
	}
	long := &chart.Lines{Title: "Long", Series: []chart.Series{{Name: "long"}}}
	for i := range 500 {
		long.Series[0].Points = append(long.Series[0].Points, chart.Point{X: float64(i), Y: float64(i % 7)})
	}
	return map[string]string{
		"lines": (&chart.Lines{Title: "Latency", X: chart.Axis{Label: "seconds"}, Y: chart.Axis{Label: "latency", Format: ms},
			Series:    []chart.Series{{Name: "p50", Points: wave, Low: down, High: up}, {Name: "pods", Points: steps, Steps: true, Dashed: true}},
			Verticals: []chart.Vertical{{X: 10, Label: "stall"}, {X: 28.5, Label: "near the right edge"}, {X: 99, Label: "outside"}}}).SVG(),
		"log":      (&chart.Lines{Title: "Growth", X: chart.Axis{Label: "n"}, Y: chart.Axis{Log: true}, Series: []chart.Series{{Name: "g", Points: low}}}).SVG(),
		"narrow":   (&chart.Lines{X: chart.Axis{Log: true}, Series: []chart.Series{{Points: []chart.Point{{X: 2159, Y: 1}, {X: 4319, Y: 2}}}}}).SVG(),
		"many":     many.SVG(),
		"long":     long.SVG(),
		"nothing":  (&chart.Lines{}).SVG(),
		"one":      (&chart.Lines{Series: []chart.Series{{Points: []chart.Point{{X: 3, Y: 4}}}}}).SVG(),
		"zero":     (&chart.Lines{Series: []chart.Series{{Points: []chart.Point{{X: 0, Y: 0}, {X: 1, Y: 0}}}}}).SVG(),
		"infinite": (&chart.Lines{Y: chart.Axis{Log: true}, Series: []chart.Series{{Points: []chart.Point{{X: 0, Y: math.Inf(1)}, {X: 1, Y: -1}, {X: math.MaxFloat64, Y: 1}}}}}).SVG(),
		"tiny":     (&chart.Lines{Series: []chart.Series{{Points: []chart.Point{{X: 1e-290, Y: 1e-290}, {X: 2e-290, Y: 3e-290}, {X: 5, Y: 1e299}}}}}).SVG(),
		"hostile": (&chart.Lines{Title: hostile, X: chart.Axis{Label: hostile, Format: func(float64) string { return hostile }}, Y: chart.Axis{Label: hostile},
			Series: []chart.Series{{Name: hostile, Points: wave}, {Name: hostile, Points: steps}}, Verticals: []chart.Vertical{{X: 1, Label: hostile}}}).SVG(),
		"bars": (&chart.Bars{Title: "Requests per second", Axis: chart.Axis{Label: "1/s"}, Bars: []chart.Bar{
			{Label: "godwit", Value: 12345, Low: 11900, High: 12700, Note: "1.4×", Emphasis: true},
			{Label: "a peer with a name that is longer than there is room for", Value: 8800},
			{Label: "nothing", Value: 0}, {Label: "not measured", Value: math.NaN()}}}).SVG(),
		"bars-log":     (&chart.Bars{Title: "Cost", Axis: chart.Axis{Log: true}, Bars: []chart.Bar{{Label: "a", Value: 0.02}, {Label: "b", Value: 900}}}).SVG(),
		"bars-signed":  (&chart.Bars{Title: "Change", Bars: []chart.Bar{{Label: "a", Value: -3}, {Label: "b", Value: 5}}}).SVG(),
		"bars-nothing": (&chart.Bars{Bars: []chart.Bar{{}}}).SVG(),
		"bars-hostile": (&chart.Bars{Title: hostile, Axis: chart.Axis{Label: hostile}, Bars: []chart.Bar{{Label: hostile, Note: hostile, Value: 1}}}).SVG(),
	}
}

// elements reads svg to its end and counts its elements by class; an attribute
// that is not a number where one has to be fails t.
func elements(t *testing.T, svg string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return counts
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		counts["<"+start.Name.Local]++
		for _, a := range start.Attr {
			if a.Name.Local == "class" {
				for _, c := range strings.Fields(a.Value) {
					counts[c]++
				}
			} else if a.Name.Local != "aria-label" && (strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf")) {
				t.Errorf("<%s %s=%q>: want a number", start.Name.Local, a.Name.Local, a.Value)
			}
		}
	}
}

func TestFiguresAreXMLAndAsCommitted(t *testing.T) {
	again := figures()
	for name, svg := range figures() {
		t.Run(name, func(t *testing.T) {
			counts := elements(t, svg)
			if counts["<svg"] != 1 || counts["<script"] != 0 || counts["axis"] != 1 {
				t.Errorf("want one svg, one axis and no script, got %v", counts)
			}
			if svg != again[name] {
				t.Error("the same figure is other bytes the second time")
			}
			if name == "lines" || name == "log" || name == "bars" || name == "hostile" {
				golden.Check(t, name+".svg", []byte(svg))
			}
		})
	}
}

func TestWhatIsDrawn(t *testing.T) {
	all := figures()
	for _, c := range []struct {
		figure, class string
		want          int
	}{
		{"lines", "band", 1},
		{"lines", "dot", 59},
		{"lines", "vertical", 2}, // one is outside
		{"lines", "legend", 2},
		{"lines", "dashed", 2}, // and in the legend
		{"many", "line", 10},
		{"many", "dashed", 4}, // the second round of colours
		{"log", "legend", 0},
		{"narrow", "tick", 4 + 5}, // and not none of 2159 to 4319
		{"long", "dot", 0},
		{"infinite", "line", 0},
		{"bars", "bar", 3}, // nothing is a bar too, not measured is none
		{"bars", "whisker", 1},
		{"bars", "plain", 2},
		{"bars-log", "plain", 0},
	} {
		if got := elements(t, all[c.figure])[c.class]; got != c.want {
			t.Errorf("%s: want %d of class %s, got %d", c.figure, c.want, c.class, got)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.25: "0.25", 12: "12", 999: "999", 999.96: "1k", 1500: "1.5k", 123456: "123.5k", 2e6: "2M",
		-4200: "-4.2k", 3e9: "3G", 7e12: "7T", 1e-7: "1e-07", 0.1 + 0.2: "0.3", math.NaN(): "–", math.Inf(1): "–"} {
		if got := chart.Number(v); got != want {
			t.Errorf("%g: want %q, got %q", v, want, got)
		}
	}
}

func TestPage(t *testing.T) {
	p := &chart.Page{Title: "Bench of " + hostile, Subtitle: hostile, Tiles: []chart.Tile{{Label: "p99", Value: "12 ms", Note: hostile}, {Label: "errors", Value: "3", Bad: true}},
		Sections: []chart.Section{{Heading: hostile, Text: []string{hostile}, SVG: []string{figures()["lines"], figures()["hostile"]},
			Table: &chart.Table{Head: []string{"step", "rate"}, Rows: [][]string{{hostile, "3"}, {"too", "many", "cells"}}, Numeric: []bool{false, true}}, Pre: hostile}},
		Data: map[string]any{"name": hostile, "n": 3}}
	html, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(html, []byte("<script")); n != 1 {
		t.Errorf("want one element script, the data, got %d", n)
	}
	for _, outside := range []string{"src=", "@import", "url(", "href=\"http"} {
		if bytes.Contains(html, []byte(outside)) {
			t.Errorf("want a page that asks for nothing, got %q in it", outside)
		}
	}
	_, data, _ := bytes.Cut(html, []byte(`id="data">`))
	data, _, ok := bytes.Cut(data, []byte("</script>"))
	var back struct {
		Name string
		N    int
	}
	if err := json.Unmarshal(data, &back); err != nil || !ok || back.N != 3 || !strings.Contains(back.Name, "<script>alert") {
		t.Errorf("want the data back, got %+v, %v", back, err)
	}
	again, _ := p.HTML()
	if !bytes.Equal(html, again) {
		t.Error("the same page is other bytes the second time")
	}
	if _, err := (&chart.Page{Data: math.NaN()}).HTML(); err == nil {
		t.Error("want an error for data that JSON cannot say")
	}
	golden.Check(t, "page.html", html)
}
