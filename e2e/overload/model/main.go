// Command model writes a model whose runs take some milliseconds each.
package main

import (
	"fmt"
	"os"

	"godwit.dev/internal/testmodels"
)

func main() {
	if err := os.WriteFile(os.Args[1], testmodels.Slow(2).Bytes(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}
