package chart

import (
	"fmt"
	"math"
)

const (
	barStep  = 28.0
	barThick = 16.0
	maxLabel = 34 // letters
)

// SVG draws the figure.
func (b *Bars) SVG() string {
	d := &drawing{}
	left, behind := 60.0, 0.0
	emphasis := false
	for i := range b.Bars {
		bar := &b.Bars[i]
		left = math.Max(left, 24+long(cut(bar.Label, maxLabel)))
		behind = math.Max(behind, long(b.value(bar)))
		emphasis = emphasis || bar.Emphasis
	}
	behind = math.Min(behind, width/3)
	s := b.scale()
	s.from, s.to = left, width-24-behind
	top := 44.0
	bottom := top + barStep*float64(len(b.Bars)) + 6
	d.begin(b.Title, bottom+50)
	edge := math.Inf(-1)
	for _, t := range s.ticks {
		x, text := s.at(t), b.Axis.text(t)
		d.WriteString(`<g class="tick">`)
		d.rule(x, top, x, bottom)
		if x-long(text)/2 > edge+6 {
			d.text("", x, bottom+17, "middle", text)
			edge = x + long(text)/2
		}
		d.WriteString("</g>")
	}
	d.text("", width-24, bottom+40, "end", b.Axis.Label)
	base := s.at(s.low)
	if !s.log {
		base = s.at(math.Min(math.Max(0, s.low), s.high))
	}
	for i := range b.Bars {
		b.bar(d, &b.Bars[i], s, base, top+6+barStep*float64(i), emphasis)
	}
	fmt.Fprintf(d, `<path class="axis" d="M%s %sV%s"/>`, num(base), num(top), num(bottom))
	return d.end()
}

func (b *Bars) bar(d *drawing, bar *Bar, s *scale, base, y float64, emphasis bool) {
	tip := bar.Label + ": " + b.value(bar)
	label := cut(bar.Label, maxLabel)
	d.WriteString("<g>")
	fmt.Fprintf(d, "<title>%s</title>", esc(tip))
	d.text("name", s.from-10, y+barThick-3, "end", label)
	end := base
	if b.Axis.usable(bar.Value) {
		end = s.at(bar.Value)
		class := "bar f0"
		if emphasis && !bar.Emphasis {
			class = "bar f7 plain"
		}
		fmt.Fprintf(d, `<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="2"/>`, class, num(math.Min(base, end)), num(y), num(math.Max(math.Abs(end-base), 1)), num(barThick))
	}
	if bar.Low < bar.High && b.Axis.usable(bar.Low) && b.Axis.usable(bar.High) {
		low, high := s.at(bar.Low), s.at(bar.High)
		mid := y + barThick/2
		fmt.Fprintf(d, `<path class="whisker" d="M%s %sv8M%s %sH%sM%s %sv8"/>`, num(low), num(mid-4), num(low), num(mid), num(high), num(high), num(mid-4))
		end = math.Max(end, high)
	}
	d.text("", math.Max(end, base)+8, y+barThick-3, "start", b.value(bar))
	d.WriteString("</g>")
}

// value is what stands behind a bar.
func (b *Bars) value(bar *Bar) string {
	text := "no value"
	if b.Axis.usable(bar.Value) {
		text = b.Axis.text(bar.Value)
	}
	if bar.Note != "" {
		text += " · " + bar.Note
	}
	return cut(text, maxLabel)
}

func (b *Bars) scale() *scale {
	low, high := math.Inf(1), math.Inf(-1)
	for i := range b.Bars {
		bar := &b.Bars[i]
		all := []float64{bar.Value}
		if bar.Low < bar.High {
			all = append(all, bar.Low, bar.High)
		}
		for _, v := range all {
			if b.Axis.usable(v) {
				low, high = math.Min(low, v), math.Max(high, v)
			}
		}
	}
	if low > high {
		return newScale(low, high, b.Axis.Log, true, 6)
	}
	if b.Axis.Log {
		low /= 2 // so that the shortest bar can be seen
	} else {
		low, high = math.Min(low, 0), math.Max(high, 0)
	}
	return newScale(low, high, b.Axis.Log, true, 6)
}
