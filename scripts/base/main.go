// Command base makes an OCI layout of root file systems; scripts/base.sh runs it.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"godwit.dev/internal/pack"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "base OUT ARCH=ROOT...")
		os.Exit(2)
	}
	roots := map[string]string{}
	for _, arg := range os.Args[2:] {
		arch, root, _ := strings.Cut(arg, "=")
		roots[arch] = root
	}
	made, err := pack.Rootfs(context.Background(), roots, os.Args[1], nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "base:", err)
		os.Exit(1)
	}
	fmt.Println(made.Digest)
}
