package chart

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The size of a figure, in its own units; a page lets it grow and shrink.
const (
	width    = 720.0
	size     = 14.0 // of letters
	letter   = 0.56 * size
	colours  = 8
	maxTitle = 96 // letters
)

// palette is told apart by people who see few colours, on light and on dark.
var palette = [2][colours]string{
	{"#0b62c4", "#c2410c", "#0d7a4d", "#7c3aed", "#946200", "#b8177a", "#00747f", "#59636e"},
	{"#6cb2ff", "#ff9d66", "#53d397", "#bda2ff", "#e6b84a", "#ff8ac4", "#52d3dc", "#aab4bf"},
}

// style is within every figure, so that each stands alone; within one page all
// say the same.
func style() string {
	set := func(dark int, ink, muted, grid, back string) string {
		s := fmt.Sprintf("--ink:%s;--muted:%s;--grid:%s;--back:%s", ink, muted, grid, back)
		for i, c := range palette[dark] {
			s += fmt.Sprintf(";--c%d:%s", i, c)
		}
		return ".chart{" + s + "}"
	}
	light, dark := set(0, "#1c2127", "#57606a", "#dfe3e8", "#ffffff"), set(1, "#e8ebef", "#a3adb8", "#333b45", "#14181d")
	s := light + "@media screen and (prefers-color-scheme:dark){" + dark + "}" +
		".chart text{font:14px system-ui,sans-serif;fill:var(--muted)}" +
		".chart .title{font-weight:600;font-size:16px;fill:var(--ink)}.chart .name{fill:var(--ink)}.chart .back{fill:var(--back)}" +
		".chart .tick line{stroke:var(--grid)}.chart .axis{stroke:var(--muted);fill:none}" +
		".chart .line,.chart .swatch{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.chart .dashed{stroke-dasharray:6 5}.chart .band{opacity:.16}" +
		".chart .hit{opacity:0}.chart .hit:hover{opacity:1}" +
		".chart .vertical line{stroke:var(--ink);stroke-dasharray:3 4}.chart .vertical text{fill:var(--ink)}" +
		".chart .whisker{stroke:var(--ink);stroke-width:1.5;fill:none}.chart .plain{opacity:.55}"
	for i := range colours {
		s += fmt.Sprintf(".chart .s%d{stroke:var(--c%d)}.chart .f%d{fill:var(--c%d)}", i, i, i, i)
	}
	return s
}

// drawing is a figure under way.
type drawing struct{ strings.Builder }

func (d *drawing) begin(title string, height float64) {
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-label="%s"><style>%s</style><rect class="back" width="100%%" height="100%%"/>`,
		num(width), num(height), num(width), num(height), esc(title), style())
	d.text("title", 12, 24, "start", cut(title, maxTitle))
}

func (d *drawing) end() string {
	d.WriteString("</svg>\n")
	return d.String()
}

// text writes s with its anchor at x and its base line at y.
func (d *drawing) text(class string, x, y float64, anchor, s string) {
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(d, `<text%s x="%s" y="%s" text-anchor="%s">%s</text>`, class, num(x), num(y), anchor, esc(s))
}

func (d *drawing) rule(x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, `<line x1="%s" y1="%s" x2="%s" y2="%s"/>`, num(x1), num(y1), num(x2), num(y2))
}

// esc is s for XML and HTML, as text and in an attribute.
func esc(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

// num is a place, to a tenth.
func num(v float64) string {
	s := strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	if s == "-0" {
		return "0"
	}
	return s
}

// cut is s with n letters at most.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:n-1])) + "…"
}

// long is about how wide s is.
func long(s string) float64 { return letter * float64(utf8.RuneCountInString(s)) }
