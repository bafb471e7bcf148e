// Command soak puts a mixed load on a server of examples/digits and watches
// what its process does meanwhile: see scripts/soak.sh.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

type options struct {
	server   string        // HOST:PORT
	pid      int           // of the server
	duration time.Duration // of the load
	rate     int           // requests a second, all callers together
	callers  int
	csv      string // file of the samples
	growth   int    // KiB that memory may grow by after the warm-up
}

func run(ctx context.Context, args []string, w io.Writer) error {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.StringVar(&o.server, "server", "127.0.0.1:8080", "HOST:PORT of the server")
	flags.IntVar(&o.pid, "pid", 0, "the server's process")
	flags.DurationVar(&o.duration, "for", 30*time.Minute, "how long")
	flags.IntVar(&o.rate, "rate", 300, "requests a second")
	flags.IntVar(&o.callers, "callers", 8, "callers at once")
	flags.StringVar(&o.csv, "csv", "soak.csv", "file for the samples")
	flags.IntVar(&o.growth, "growth", 8<<10, "KiB that memory may grow by after the warm-up")
	if err := flags.Parse(args); err != nil {
		return err
	}
	watch, err := newWatcher(o.pid, o.csv)
	if err != nil {
		return err
	}
	load, err := newLoad(ctx, &o)
	if err != nil {
		return errors.Join(err, watch.close())
	}
	defer load.close()
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	loaded := make(chan struct{})
	go func() {
		load.run(ctx)
		close(loaded)
	}()
	err = watch.run(ctx, load.count)
	<-loaded
	return errors.Join(err, watch.close(), load.report(w), watch.report(w, o.growth))
}
