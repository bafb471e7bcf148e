package main

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// numeral is a number with a unit of measure, or a ratio, as a document prints it.
type numeral struct {
	start, end int // in the line; end is behind the unit
	printed    string
	unit       string // as printed, "" for a ratio
	tie        string // FILE:ID, or ""
}

func (n numeral) String() string { return strings.TrimSpace(n.printed + " " + n.unit) }

// value is the number and the half of its last printed digit.
func (n numeral) value() (v, half float64) {
	text := strings.NewReplacer(",", "", "−", "-").Replace(n.printed)
	v, _ = strconv.ParseFloat(text, 64)
	_, decimals, _ := strings.Cut(text, ".")
	return v, 0.5 * math.Pow10(-len(decimals))
}

// measure is what a unit measures, and how many of the first one it is.
type measure struct {
	of     string
	factor float64
}

var units = map[string]measure{
	"": {"ratio", 1}, "times": {"ratio", 1}, "×": {"ratio", 1}, "x": {"ratio", 1}, "-fold": {"ratio", 1},
	"%": {"ratio", 0.01}, "per cent": {"ratio", 0.01}, "percent": {"ratio", 0.01},

	"ns": {"time", 1e-9}, "µs": {"time", 1e-6}, "μs": {"time", 1e-6}, "us": {"time", 1e-6}, "ms": {"time", 1e-3}, "s": {"time", 1},
	"second": {"time", 1}, "seconds": {"time", 1}, "min": {"time", 60}, "minute": {"time", 60}, "minutes": {"time", 60},
	"h": {"time", 3600}, "hour": {"time", 3600}, "hours": {"time", 3600}, "day": {"time", 86400}, "days": {"time", 86400}, "weeks": {"time", 7 * 86400},

	"byte": {"bytes", 1}, "bytes": {"bytes", 1}, "B": {"bytes", 1}, "kB": {"bytes", 1e3}, "KB": {"bytes", 1e3}, "MB": {"bytes", 1e6}, "GB": {"bytes", 1e9}, "TB": {"bytes", 1e12},
	"KiB": {"bytes", 1 << 10}, "MiB": {"bytes", 1 << 20}, "GiB": {"bytes", 1 << 30}, "TiB": {"bytes", 1 << 40},
	"kB/s": {"bytes/s", 1e3}, "KB/s": {"bytes/s", 1e3}, "MB/s": {"bytes/s", 1e6}, "GB/s": {"bytes/s", 1e9}, "KiB/s": {"bytes/s", 1 << 10}, "MiB/s": {"bytes/s", 1 << 20}, "GiB/s": {"bytes/s", 1 << 30},

	"/s": {"rate", 1}, "rps": {"rate", 1}, "qps": {"rate", 1}, "req/s": {"rate", 1}, "requests/s": {"rate", 1}, "rows/s": {"rate", 1}, "runs/s": {"rate", 1},
	"a second": {"rate", 1}, "per second": {"rate", 1}, "requests a second": {"rate", 1}, "rows a second": {"rate", 1}, "requests per second": {"rate", 1}, "rows per second": {"rate", 1},

	"allocations": {"allocations", 1}, "allocation": {"allocations", 1},
}

// versioned are names that a version follows, which is no ratio.
var versioned = regexp.MustCompile(`(?:Go|glibc|libstdc\+\+|Debian|Ubuntu|Kubernetes|Knative|Terraform|OpenAPI|CycloneDX|TLS|HTTP) $`)

var (
	aNumber = regexp.MustCompile(`(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)*`)
	aTie    = regexp.MustCompile(`^\*{0,2} ?<!-- ?([a-z0-9-]+:[\w.-]+) ?-->`)
	between = regexp.MustCompile(`^\*{0,2} *(?:to|and|or|,|, and|, or|–|-) *\*{0,2}$`) // the members of a list or range
	unitOf  = longestFirst(units)

	comment = regexp.MustCompile(`<!--.*?-->`)
	code    = regexp.MustCompile("(?:``.*?``|`[^`]*`)|\\]\\([^)]*\\)|<https?:[^>]*>")
)

func longestFirst(units map[string]measure) (all []string) {
	for u := range units {
		if u != "" {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return all
}

// masked has blanks for comments and something that is no blank for code and
// the targets of links, so that places stay.
func masked(line string) string {
	fill := func(with string) func(string) string {
		return func(s string) string { return strings.Repeat(with, len(s)) }
	}
	return code.ReplaceAllStringFunc(comment.ReplaceAllStringFunc(line, fill(" ")), fill("\x01"))
}

// numbersIn finds what a line says was measured or could have been: numbers
// with a unit of measure, each member of a list or range of them, and numbers
// with a decimal point but no unit, unless they are a version.
func numbersIn(line string) (found []numeral) {
	text := masked(line)
	all := aNumber.FindAllStringIndex(text, -1)
	unit := ""                                   // of the number behind
	for i, next := len(all)-1, -1; i >= 0; i-- { // backwards, as "3 to 4 ms" has its unit at the end
		n := numeral{start: all[i][0], end: all[i][1]}
		before, size := utf8.DecodeLastRuneInString(text[:n.start])
		if before == '-' || before == '−' {
			switch last, _ := utf8.DecodeLastRuneInString(text[:n.start-size]); {
			case unicode.IsLetter(last):
				before = last // a name: Apache-2.0
			case !unicode.IsDigit(last):
				n.start -= size
			}
		}
		n.printed = text[n.start:n.end]
		joined := next >= 0 && between.MatchString(text[n.end:next]) // it is followed by another of the list
		next = n.start
		if strings.Count(n.printed, ".") > 1 || unicode.IsLetter(before) || before != utf8.RuneError && strings.ContainsRune("_./\x01", before) {
			unit = "" // a version, a name, a path
			continue
		}
		own, length := unitAt(text[n.end:])
		switch {
		case own != "":
			n.unit, n.end = own, n.end+length
		case joined:
			n.unit = unit
		}
		unit = n.unit
		if r, _ := utf8.DecodeRuneInString(text[n.end:]); own == "" && (unicode.IsLetter(r) || r == '_' || r == '\x01') {
			unit = "" // 2k, 3rd
			continue
		}
		if n.unit == "" && (!strings.Contains(n.printed, ".") || versioned.MatchString(text[:n.start])) {
			continue
		}
		for _, at := range []int{all[i][1], n.end} {
			if m := aTie.FindStringSubmatch(line[at:]); m != nil {
				n.tie = m[1]
			}
		}
		found = append(found, n)
	}
	slices.Reverse(found)
	return found
}

// unitAt is the unit of measure at the beginning of the text, behind blanks.
func unitAt(text string) (unit string, length int) {
	rest := strings.TrimLeft(strings.TrimPrefix(text, "**"), " \u00a0\u202f")
	for _, u := range unitOf {
		tail, ok := strings.CutPrefix(rest, u)
		if !ok {
			continue
		}
		r, _ := utf8.DecodeRuneInString(strings.TrimLeft(tail, " "))
		if u == "×" && unicode.IsDigit(r) {
			continue // 512×512
		}
		r, _ = utf8.DecodeRuneInString(tail)
		if first, _ := utf8.DecodeRuneInString(u); first == '/' && len(rest) != len(text) {
			continue // "/" is of the number only right behind it
		}
		if last, _ := utf8.DecodeLastRuneInString(u); unicode.IsLetter(last) && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_') {
			continue
		}
		return u, len(text) - len(tail)
	}
	return "", 0
}

// agree says whether a printed number is the result in its unit, rounded to
// the digits that are printed.
func agree(n numeral, value float64, unit string) error {
	have, ok := units[strings.TrimSuffix(unit, " more")]
	want := units[n.unit]
	if !ok || have.of != want.of {
		return fmt.Errorf("want a unit like the result's %q, got %q", unit, n.unit)
	}
	printed, half := n.value()
	if got := value * have.factor / want.factor; math.Abs(printed-got) > half*(1+1e-9) {
		return fmt.Errorf("want what was measured, %s %s, rounded to the digits printed, got %s", strconv.FormatFloat(got, 'g', 6, 64), n.unit, n.printed)
	}
	return nil
}
