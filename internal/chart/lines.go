package chart

import (
	"fmt"
	"math"
	"strings"
)

const (
	plotHeight = 240.0
	// With more points than these they are not drawn, and with more than these
	// they have no tooltips of their own, only the line has.
	maxDots, maxHits = 32, 400
)

// SVG draws the figure.
func (l *Lines) SVG() string {
	d := &drawing{}
	xs, ys := l.ranges()
	legend := l.legend()
	rows := l.verticalRows(xs)
	top := 64.0 + 22*float64(len(legend)) + 18*float64(rows)
	left := 16.0
	for _, t := range ys.ticks {
		left = math.Max(left, 20+long(l.Y.text(t)))
	}
	right := width - 24
	bottom := top + plotHeight
	xs.from, xs.to, ys.from, ys.to = left, right, bottom, top
	d.begin(l.Title, bottom+50)

	y := 46.0
	for _, row := range legend {
		at := 12.0
		for _, i := range row {
			s := &l.Series[i]
			fmt.Fprintf(d, `<g class="legend"><path class="swatch s%d%s" d="M%s %sh22"/>`, i%colours, dashed(s, i), num(at), num(y))
			d.text("name", at+28, y+4.5, "start", cut(s.Name, maxName))
			d.WriteString("</g>")
			at += legendWidth(s)
		}
		y += 22
	}
	d.text("", 12, y+4, "start", l.Y.Label)
	d.text("", right, bottom+40, "end", l.X.Label)
	for _, t := range ys.ticks {
		d.WriteString(`<g class="tick">`)
		d.rule(left, ys.at(t), right, ys.at(t))
		d.text("", left-8, ys.at(t)+4.5, "end", l.Y.text(t))
		d.WriteString("</g>")
	}
	edge := math.Inf(-1)
	for _, t := range xs.ticks {
		text := l.X.text(t)
		x := math.Min(math.Max(xs.at(t), long(text)/2+2), width-long(text)/2-2)
		d.WriteString(`<g class="tick">`)
		d.rule(xs.at(t), bottom, xs.at(t), bottom+5)
		if x-long(text)/2 > edge+6 {
			d.text("", x, bottom+20, "middle", text)
			edge = x + long(text)/2
		}
		d.WriteString("</g>")
	}
	fmt.Fprintf(d, `<path class="axis" d="M%s %sV%sH%s"/>`, num(left), num(top), num(bottom), num(right))
	for i := range l.Series {
		l.series(d, i, xs, ys)
	}
	l.verticals(d, xs, top, bottom, rows)
	return d.end()
}

func dashed(s *Series, i int) string {
	if s.Dashed || i/colours%2 == 1 { // the second round of colours
		return " dashed"
	}
	return ""
}

// ranges are the two directions, without their places.
func (l *Lines) ranges() (x, y *scale) {
	low, high := Point{math.Inf(1), math.Inf(1)}, Point{math.Inf(-1), math.Inf(-1)}
	see := func(px, py float64) {
		if l.X.usable(px) && l.Y.usable(py) {
			low.X, high.X = math.Min(low.X, px), math.Max(high.X, px)
			low.Y, high.Y = math.Min(low.Y, py), math.Max(high.Y, py)
		}
	}
	for i := range l.Series {
		s := &l.Series[i]
		for k, p := range s.Points {
			see(p.X, p.Y)
			if s.banded() {
				see(p.X, s.Low[k])
				see(p.X, s.High[k])
			}
		}
	}
	if !l.Y.Log && low.Y > 0 && low.Y <= high.Y {
		low.Y = 0
	}
	return newScale(low.X, high.X, l.X.Log, false, 7), newScale(low.Y, high.Y, l.Y.Log, true, 5)
}

func (s *Series) banded() bool {
	return len(s.Points) > 0 && len(s.Low) == len(s.Points) && len(s.High) == len(s.Points)
}

const maxName = 44 // letters

func legendWidth(s *Series) float64 { return 46 + long(cut(s.Name, maxName)) }

// legend is which series stand in which row; one alone is named by the title.
func (l *Lines) legend() (rows [][]int) {
	if len(l.Series) < 2 {
		return nil
	}
	at := math.Inf(1)
	for i := range l.Series {
		w := legendWidth(&l.Series[i])
		if at+w > width-12 {
			rows, at = append(rows, nil), 12
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], i)
		at += w
	}
	return rows
}

func (l *Lines) series(d *drawing, i int, xs, ys *scale) {
	s := &l.Series[i]
	colour := i % colours
	if s.banded() {
		l.band(d, i, xs, ys)
	}
	var path strings.Builder
	drawn, pen := 0, false
	var last Point
	for _, p := range s.Points {
		if !l.X.usable(p.X) || !l.Y.usable(p.Y) {
			pen = false
			continue
		}
		x, y := num(xs.at(p.X)), num(ys.at(p.Y))
		switch {
		case !pen:
			fmt.Fprintf(&path, "M%s %s", x, y)
		case s.Steps:
			fmt.Fprintf(&path, "H%sV%s", x, y)
		default:
			fmt.Fprintf(&path, "L%s %s", x, y)
		}
		drawn, pen, last = drawn+1, true, p
	}
	if drawn == 0 {
		return
	}
	if s.Steps && pen {
		fmt.Fprintf(&path, "H%s", num(math.Max(xs.to, xs.at(last.X))))
	}
	fmt.Fprintf(d, `<path class="line s%d%s" d="%s"><title>%s</title></path>`, colour, dashed(s, i), path.String(), esc(s.Name))
	if drawn > maxHits {
		return
	}
	class := "dot"
	r := 3.0
	if drawn > maxDots {
		class, r = "dot hit", 4
	}
	for k, p := range s.Points {
		if !l.X.usable(p.X) || !l.Y.usable(p.Y) {
			continue
		}
		tip := fmt.Sprintf("%s: %s at %s", s.Name, l.Y.text(p.Y), l.X.text(p.X))
		if s.banded() {
			tip += fmt.Sprintf(" (%s to %s)", l.Y.text(s.Low[k]), l.Y.text(s.High[k]))
		}
		fmt.Fprintf(d, `<circle class="%s f%d" cx="%s" cy="%s" r="%s"><title>%s</title></circle>`, class, colour, num(xs.at(p.X)), num(ys.at(p.Y)), num(r), esc(tip))
	}
}

// band is drawn in pieces where values are missing.
func (l *Lines) band(d *drawing, i int, xs, ys *scale) {
	s := &l.Series[i]
	var upper, lower []string
	flush := func() {
		if len(upper) > 1 {
			for k := len(lower) - 1; k >= 0; k-- {
				upper = append(upper, lower[k])
			}
			fmt.Fprintf(d, `<path class="band f%d" d="M%sZ"><title>%s</title></path>`, i%colours, strings.Join(upper, "L"), esc(s.Name))
		}
		upper, lower = nil, nil
	}
	for k, p := range s.Points {
		if !l.X.usable(p.X) || !l.Y.usable(s.Low[k]) || !l.Y.usable(s.High[k]) {
			flush()
			continue
		}
		x := num(xs.at(p.X))
		upper = append(upper, x+" "+num(ys.at(s.High[k])))
		lower = append(lower, x+" "+num(ys.at(s.Low[k])))
	}
	flush()
}

// shown are the verticals within the figure; a label has a row of its own
// above the plot, at most three.
func (l *Lines) verticalRows(xs *scale) int {
	n := 0
	for _, v := range l.Verticals {
		if l.X.usable(v.X) && v.X >= xs.low && v.X <= xs.high {
			n++
		}
	}
	return min(n, 3)
}

func (l *Lines) verticals(d *drawing, xs *scale, top, bottom float64, rows int) {
	k := 0
	for _, v := range l.Verticals {
		if !l.X.usable(v.X) || v.X < xs.low || v.X > xs.high {
			continue
		}
		x, label := xs.at(v.X), cut(v.Label, maxName)
		y := top - 5 - 18*float64(k%rows)
		at, anchor := x+5, "start"
		if at+long(label) > width-4 {
			at, anchor = x-5, "end"
		}
		d.WriteString(`<g class="vertical">`)
		fmt.Fprintf(d, `<title>%s</title>`, esc(v.Label+": "+l.X.text(v.X)))
		d.rule(x, y-10, x, bottom)
		d.text("", at, y, anchor, label)
		d.WriteString("</g>")
		k++
	}
}
