package cli

import (
	"fmt"
	"strings"
)

// An edit is one line of a difference: ' ' in both, '-' in the old text alone, '+'
// in the new one alone.
type edit struct {
	kind byte
	line string
}

// mostCells bounds the table of lineEdits: 64 MiB of it.
const mostCells = 16 << 20

// lineEdits turns the lines of a into those of b with the fewest changes, and
// beyond mostCells replaces all that is between what they begin and end with.
func lineEdits(a, b []string) []edit {
	var edits []edit
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		edits = append(edits, edit{' ', a[head]})
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	end := a[len(a)-tail:]
	a, b = a[head:len(a)-tail], b[head:len(b)-tail]
	i, j := 0, 0
	if (len(a)+1)*(len(b)+1) <= mostCells {
		// common[i*w+j] is how many lines a[i:] and b[j:] can have in common.
		w := len(b) + 1
		common := make([]int32, (len(a)+1)*w)
		for i := len(a) - 1; i >= 0; i-- {
			for j := len(b) - 1; j >= 0; j-- {
				if a[i] == b[j] {
					common[i*w+j] = common[(i+1)*w+j+1] + 1
				} else {
					common[i*w+j] = max(common[(i+1)*w+j], common[i*w+j+1])
				}
			}
		}
		for i < len(a) && j < len(b) {
			switch {
			case a[i] == b[j]:
				edits = append(edits, edit{' ', a[i]})
				i, j = i+1, j+1
			case common[(i+1)*w+j] >= common[i*w+j+1]:
				edits = append(edits, edit{'-', a[i]})
				i++
			default:
				edits = append(edits, edit{'+', b[j]})
				j++
			}
		}
	}
	for ; i < len(a); i++ {
		edits = append(edits, edit{'-', a[i]})
	}
	for ; j < len(b); j++ {
		edits = append(edits, edit{'+', b[j]})
	}
	for _, line := range end {
		edits = append(edits, edit{' ', line})
	}
	return edits
}

// unified is the hunks of a unified diff, with three lines around each change;
// "" where there is none.
func unified(edits []edit) string {
	const around = 3
	var out strings.Builder
	oldLine, newLine := 1, 1 // of edits[at]
	for at := 0; at < len(edits); {
		next := at
		for next < len(edits) && edits[next].kind == ' ' {
			next++
		}
		if next == len(edits) {
			break
		}
		begin := max(at, next-around)
		oldLine, newLine = oldLine+begin-at, newLine+begin-at
		end, same := next, 0
		for end < len(edits) && same <= 2*around {
			if same++; edits[end].kind != ' ' {
				same = 0
			}
			end++
		}
		if same > around { // lines behind the last change that are too many
			end -= same - around
		}
		olds, news := 0, 0
		var hunk strings.Builder
		for _, e := range edits[begin:end] {
			if e.kind != '+' {
				olds++
			}
			if e.kind != '-' {
				news++
			}
			hunk.WriteString(string(e.kind) + e.line + "\n")
		}
		fmt.Fprintf(&out, "@@ -%s +%s @@\n%s", span(oldLine, olds), span(newLine, news), hunk.String())
		oldLine, newLine, at = oldLine+olds, newLine+news, end
	}
	return out.String()
}

// span is where a hunk is, as diff and patch have it.
func span(line, n int) string {
	if n == 0 {
		line-- // the line behind which it would be
	}
	return fmt.Sprintf("%d,%d", line, n)
}
