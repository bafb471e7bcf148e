package render

import "strings"

// Line is the command as one pastes it into a POSIX shell, in the rendered folder.
func Line(c Command) string {
	words := make([]string, len(c.Args))
	for i, w := range c.Args {
		words[i] = Shell(w)
	}
	return strings.Join(words, " ")
}
