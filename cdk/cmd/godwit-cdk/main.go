// Command godwit-cdk is the app that AWS CDK's program runs.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/aws/jsii-runtime-go"

	"godwit.dev/cdk"
)

// silence are the versions of Node.js whose end of life jsii would not go on
// about, a screenful at each run; which ones it needs is in docs/aws.md. It
// copies the environment before main begins, so the process begins again.
const silence = "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	executable, err := os.Executable()
	if _, said := os.LookupEnv(silence); !said && err == nil {
		os.Setenv(silence, "18,20")
		jsii.Close()                                        // removes what it unpacked
		_ = syscall.Exec(executable, os.Args, os.Environ()) // not on Windows
	}
	os.Exit(cdk.Main(ctx, cdk.Process{Args: os.Args[1:], Executable: executable, Stderr: os.Stderr}))
}
