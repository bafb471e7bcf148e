package ort

import (
	"strings"

	"godwit.dev/runtime/lazy"
)

// place matches where ONNX Runtime's messages say which line of its source
// gave up: a path, a line and the C++ function with its arguments. Compiled
// when first needed: most processes never do, and a cold start would pay for it.
var place = lazy.Regexp(`(?:/|[A-Za-z]:\\)\S*:\d+ (?:\S+ )?[\w:~<>]+\((?:[^()]|\([^()]*\))*\)(?: const)?(?:::<lambda\([^()]*\)>)?(?: \[[^\]]*\])? ?`)

// path matches what is left of absolute paths.
var path = lazy.Regexp(`(?:/[\w.+@-]+){2,}(?::\d+)?`)

// scrub takes source places and paths out of a message of ONNX Runtime, since
// callers see it, and joins its lines.
func scrub(msg string) string {
	msg = place().ReplaceAllString(msg, "")
	msg = path().ReplaceAllString(msg, "…")
	return strings.Join(strings.Fields(msg), " ")
}
