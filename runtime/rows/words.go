package rows

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// quote shows text of a file in an error: escaped, and short even if the text is not.
func quote[T string | []byte](text T) string {
	const most = 48
	if len(text) <= most {
		return strconv.Quote(string(text))
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(string(text[:cut])) + "… (" + strconv.Itoa(len(text)) + " bytes)"
}

// plural is "1 element" or "2 elements".
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// list is some of names, and how many there are.
func list(names []string) string {
	const most = 20
	if len(names) == 0 {
		return "no columns"
	}
	shown := make([]string, 0, most)
	for _, n := range names[:min(len(names), most)] {
		shown = append(shown, quote(n))
	}
	s := plural(len(names), "column") + ": " + strings.Join(shown, ", ")
	if len(names) > most {
		s += ", …"
	}
	return s
}

// meant is a question for the known name that is nearest to got, or "".
func meant(got string, known []string) string {
	best, least := "", len(got)/3+1 // one slip in a short word, more in a long one
	for _, k := range known {
		if len(k) > 64 || len(got) > 64 {
			continue
		}
		if d := distance(strings.ToLower(got), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + quote(best) + "?)"
}

// distance is the Levenshtein distance of two short strings.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(above+1, row[j]+1, change)
			diagonal = above
		}
	}
	return row[len(b)]
}
