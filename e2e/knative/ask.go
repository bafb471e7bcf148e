package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/e2e/wire"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/infer"
)

// askAll sends a function's recorded requests, several at a time, and wants the
// recorded answers. It prints how many there were, and how long they took.
func askAll(args []string) error {
	flags := flag.NewFlagSet("ask", flag.ExitOnError)
	n := flags.Int("n", 1, "requests")
	crowd := flags.Int("c", 1, "requests at a time")
	form := flags.Int("form", 0, "which of the four forms")
	if err := flags.Parse(args); err != nil {
		return err
	}
	address := strings.TrimPrefix(flags.Arg(0), "http://")
	if !strings.Contains(address, ":") {
		address += ":80"
	}
	requests, err := recorded.Load(flags.Arg(1))
	if err != nil {
		return err
	}
	c, err := wire.Dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	var next atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var wrong []error
	var all sync.WaitGroup
	began := time.Now()
	for range *crowd {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= *n {
					return
				}
				start := time.Now()
				err := one(c, wire.Forms[*form], &requests[i%len(requests)])
				mu.Lock()
				took = append(took, time.Since(start))
				if err != nil {
					wrong = append(wrong, err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	wall := time.Since(began)
	slices.Sort(took)
	at := func(p int) float64 { return took[(len(took)-1)*p/100].Seconds() * 1e3 }
	fmt.Printf("answers %d wrong %d p50 %.1f p95 %.1f max %.1f rate %.0f\n", len(took)-len(wrong), len(wrong), at(50), at(95), at(100), float64(len(took))/wall.Seconds())
	return errors.Join(wrong[:min(len(wrong), 3)]...)
}

// one wants the recorded answer to r.
func one(c *wire.Client, form wire.Form, r *recorded.Request) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	req, err := r.Decode()
	if err != nil {
		return err
	}
	out, err := c.Infer(ctx, form, r.Model, req.Inputs)
	if err == nil {
		err = r.Want.Check(&infer.Response{Outputs: out})
	}
	if err != nil {
		return fmt.Errorf("%s/%s: %w", r.Model, r.Name, err)
	}
	return nil
}

// sink takes events at address and writes a line for each: the path that it
// came at, its type and its data.
func sink(address string) error {
	var mu sync.Mutex
	s := http.Server{Addr: address, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%s %s %s %s\n", r.URL.Path, r.Header.Get("Ce-Type"), r.Header.Get("Ce-Knativeerrorcode"), strings.Join(strings.Fields(string(body)), " "))
		os.Stdout.Sync()
		w.WriteHeader(http.StatusAccepted)
	})}
	return s.ListenAndServe()
}
