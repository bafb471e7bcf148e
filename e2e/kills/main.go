// Command kills scores an object while the processes that do are killed again
// and again, with SIGKILL and by the kernel when memory is full, and wants the
// bytes that nobody's death would have left.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
)

type flags struct {
	godwit, fnLambda string
	folder           string // the digits example
	store            string // the server's HOST:PORT
	data             string // the folder that it keeps buckets in
	group            string // a control group, for the kernel's kills; "" leaves those out
	kills            int
	seed             uint64
	work             string
	hog              string
}

func main() {
	var f flags
	flag.StringVar(&f.godwit, "godwit", "bin/godwit", "the `program`")
	flag.StringVar(&f.fnLambda, "fn-lambda", "bin/fn-lambda", "the function `binary` for Lambda")
	flag.StringVar(&f.folder, "folder", "examples/digits", "the function's `folder`")
	flag.StringVar(&f.store, "store", "", "the S3 server's `address`")
	flag.StringVar(&f.data, "data", "", "the `folder` that the server keeps buckets in")
	flag.StringVar(&f.group, "group", "", "a memory control group's `folder`")
	flag.IntVar(&f.kills, "kills", 100, "how many processes are killed")
	flag.Uint64Var(&f.seed, "seed", 1, "of rows and moments")
	flag.StringVar(&f.work, "work", "", "a `folder` for logs")
	flag.StringVar(&f.hog, "hog", "", "what this program does for itself: it fills the control group")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := f.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kills:", err)
		os.Exit(1)
	}
}

func (f *flags) run(ctx context.Context) error {
	if f.hog != "" {
		return hog(f.hog)
	}
	r := rand.New(rand.NewPCG(f.seed, 0))
	fmt.Printf("seed %d\n", f.seed)
	if err := f.killed(ctx, r); err != nil {
		return err
	}
	if f.group == "" {
		return nil
	}
	return f.outOfMemory(ctx, r)
}
