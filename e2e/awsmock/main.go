// Command awsmock deploys the template that godwit-cdk made of a function into
// moto by CloudFormation, and is what AWS is between the things that came of it:
// a bucket tells a queue of an object, the packaged function scores it, what is
// bad ends with the dead letters; and no role may do more than that takes, since
// without any one of its permissions something fails. e2e/awsmock/run.sh starts
// what it needs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.moto, "moto", "", "moto's `address`")
	flag.StringVar(&o.types, "types", "", "a `file` with the types that moto's CloudFormation knows")
	flag.StringVar(&o.assembly, "assembly", "", "the `folder` that godwit-cdk wrote")
	flag.StringVar(&o.name, "name", "digits", "the stack's `name`")
	flag.StringVar(&o.unpacked, "package", "", "the `folder` with the unpacked package")
	flag.StringVar(&o.work, "work", "", "a `folder` for logs")
	flag.StringVar(&o.bucket, "bucket", "", "a `bucket` that is there before the stack, and tells EventBridge of its objects")
	flag.StringVar(&o.only, "only", "", "`scenarios` to play, with commas between; without, all, and then all that used a permission without it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 8*time.Minute)
	defer cancel()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type options struct{ moto, types, assembly, name, unpacked, work, bucket, only string }

func run(ctx context.Context, o *options) error {
	begun := time.Now()
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer w.proxy.close()
	w.stack.fitting.report(w.stack.resources)
	fmt.Printf("deployed after %v; %s has %v\n", time.Since(begun).Round(100*time.Millisecond), w.function.FunctionName, w.function.Environment.Variables)

	// With all that the roles may do, everything works, and nothing is refused.
	uses := map[grant][]*scenario{}
	for i := range scenarios {
		s := &scenarios[i]
		if !w.wanted(s) {
			continue
		}
		begun := time.Now()
		used, err := w.play(ctx, s, w.policies)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for g := range used {
			uses[g] = append(uses[g], s)
		}
		fmt.Printf("%s: ok after %v\n", s.name, time.Since(begun).Round(10*time.Millisecond))
	}
	if o.only != "" {
		return nil
	}
	return w.minimal(ctx, uses)
}
