// Package chart draws figures as SVG, and pages of figures as HTML that opens
// without a network and without a script. It knows nothing of what is drawn.
//
// A figure is light or dark as its reader prefers, light on paper, stands alone
// as a file and lies within a page. Every text is escaped, so names may come
// from anywhere. The same value gives the same bytes. Nothing here is changed
// by drawing it, so concurrent calls are safe.
//
// What is drawn has a class that a test in a browser looks for: `line`, `band`,
// `dot`, `bar`, `whisker`, `vertical`, `axis`, `tick`, `legend`. Each mark has a
// <title>, which browsers show where the mouse is.
package chart

// Point is one value of a series. A value that is not finite, or that has no
// logarithm on such an axis, leaves a gap.
type Point struct{ X, Y float64 }

// Series is one line. Its points are drawn in their order.
type Series struct {
	Name   string
	Points []Point
	// Low and High are the edges of a band around the line, one for each point;
	// slices of any other length are not drawn.
	Low, High []float64
	Dashed    bool
	Steps     bool // a value holds until the next point
}

// Axis is how one direction is read.
type Axis struct {
	Label string
	Log   bool // of base 10; only values above 0 can be drawn
	// Format writes a tick or a tooltip's value; nil is Number.
	Format func(float64) string
}

// Vertical marks one place of the horizontal axis.
type Vertical struct {
	X     float64
	Label string
}

// Lines is a figure of lines. A vertical axis without a logarithm begins at 0
// where no value is below.
type Lines struct {
	Title     string
	X, Y      Axis
	Series    []Series
	Verticals []Vertical
}

// Bar is one bar. Low and High are the ends of a whisker, drawn where Low is
// below High.
type Bar struct {
	Label     string
	Value     float64
	Low, High float64
	Note      string // behind the value
	Emphasis  bool   // in the first colour; where no bar has it, all are
}

// Bars is a figure of horizontal bars, from the top in their order.
type Bars struct {
	Title string
	Axis  Axis
	Bars  []Bar
}

// Table is text in columns; those that are Numeric are set to the right.
type Table struct {
	Head    []string
	Rows    [][]string
	Numeric []bool
}

// Tile is a figure that is read first.
type Tile struct {
	Label, Value, Note string
	Bad                bool
}

// Section is a part of a page: paragraphs, figures, a table and text as it is,
// in this order. What is empty is left out.
type Section struct {
	Heading string
	Text    []string
	SVG     []string // from SVG of this package: they are not escaped
	Table   *Table
	Pre     string
}

// Page is a report.
type Page struct {
	Title, Subtitle string
	Tiles           []Tile
	Sections        []Section
	// Data is put into the page as JSON, for programs: the text of the element
	// with the id "data". nil leaves it out.
	Data any
}
