package render

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/lazy"
)

// Seconds is d in whole seconds, as annotations and manifests take it.
func Seconds(d spec.Duration) int { return int(time.Duration(d) / time.Second) }

// InSeconds is d as "300s".
func InSeconds(d spec.Duration) string { return fmt.Sprintf("%ds", Seconds(d)) }

// CPUs is c as a quantity of Kubernetes, exactly: "2" or "250m".
func CPUs(c spec.CPU) string {
	if c%1000 == 0 {
		return strconv.FormatInt(int64(c)/1000, 10)
	}
	return strconv.FormatInt(int64(c), 10) + "m"
}

// Quantity is b as a quantity of Kubernetes, exactly: "2Gi" or "1769Mi".
func Quantity(b spec.Bytes) string {
	for _, u := range []struct {
		size   spec.Bytes
		suffix string
	}{{spec.GiB, "Gi"}, {spec.MiB, "Mi"}, {spec.KiB, "Ki"}} {
		if b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Literal keeps Kubernetes from filling in $(NAME) in a variable's value.
func Literal(s string) string {
	if strings.Contains(s, "$(") || strings.Contains(s, "$$") {
		return strings.ReplaceAll(s, "$", "$$")
	}
	return s
}

var bare = lazy.Regexp(`^[A-Za-z0-9_.,:/=@+-]+$`)

// Shell is s as one word of a POSIX shell, in quotes where it needs them.
func Shell(s string) string {
	if bare().MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
