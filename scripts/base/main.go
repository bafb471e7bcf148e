// Command base makes an OCI layout of a root file system; scripts/base.sh runs it.
package main

import (
	"context"
	"fmt"
	"os"

	"godwit.dev/internal/pack"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "base ROOT amd64|arm64 OUT")
		os.Exit(2)
	}
	made, err := pack.Rootfs(context.Background(), os.Args[1], os.Args[2], os.Args[3], nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "base:", err)
		os.Exit(1)
	}
	fmt.Println(made.Digest)
}
