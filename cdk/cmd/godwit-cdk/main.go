// Command godwit-cdk is the app that AWS CDK's program runs.
package main

import (
	"fmt"
	"os"

	"godwit.dev/cdk"
)

func main() {
	f, err := cdk.Load(os.Args[1], &cdk.LoadOptions{Zip: os.Args[2]})
	if err == nil {
		err = cdk.Synth(f, os.Args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
