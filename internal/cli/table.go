package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table aligns columns of text that may hold colours and letters of more than
// one byte. Columns of figures, whose cells begin with a digit, are aligned to
// the right.
type table struct{ rows [][]string }

func newTable(head ...string) *table { return &table{[][]string{head}} }

func (t *table) add(row ...string) { t.rows = append(t.rows, row) }

func (t *table) print(w io.Writer, indent string) {
	width, figures := make([]int, len(t.rows[0])), make([]bool, len(t.rows[0]))
	for k, row := range t.rows {
		for i, cell := range row {
			width[i] = max(width[i], visible(cell))
			if k == 1 {
				figures[i] = cell != "" && cell[0] >= '0' && cell[0] <= '9' && (visible(cell) != 8 || strings.Contains(cell, " "))
			}
		}
	}
	for _, row := range t.rows {
		line := indent
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-visible(cell))
			if figures[i] {
				line += pad + cell + "  "
			} else {
				line += cell + pad + "  "
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// visible is how wide a cell is on a terminal.
func visible(cell string) int {
	n := 0
	for cell != "" {
		if strings.HasPrefix(cell, "\x1b[") {
			if end := strings.IndexByte(cell, 'm'); end > 0 {
				cell = cell[end+1:]
				continue
			}
		}
		_, size := utf8.DecodeRuneInString(cell)
		n, cell = n+1, cell[size:]
	}
	return n
}
