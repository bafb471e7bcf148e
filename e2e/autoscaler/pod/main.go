// Command pod is `godwit` with an engine that only takes time: a run sleeps for
// a log-normal time whose median and 99th percentile are POD_P50 and POD_P99.
// So as many servers as a trace asks for run on two processors, and each is
// the server that is deployed, with its queue, its runs and its limits. It ends
// with its standard input, so that none is left when whoever started it is gone.
//
// pod model FILE writes the model that it serves.
package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"godwit.dev/internal/app"
	"godwit.dev/internal/cli"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "model" {
		if err := os.WriteFile(os.Args[2], testmodels.Identity(onnx.Float, "N", 4).Bytes(), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "Error:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	p50, p99 := duration("POD_P50"), duration("POD_P99")
	engine := func(*driver.Setup) driver.Engine { return sleeper{p50, math.Log(float64(p99)/float64(p50)) / 2.3263} }
	os.Exit(cli.Main(ctx, app.OS(), cli.Parts{Engine: engine}))
}

func duration(name string) time.Duration {
	d, err := time.ParseDuration(os.Getenv(name))
	if err != nil || d <= 0 {
		fmt.Fprintf(os.Stderr, "Error: want a duration above 0 in %s, got %q\n", name, os.Getenv(name))
		os.Exit(2)
	}
	return d
}

// sleeper is an engine whose models are all the same.
type sleeper struct {
	median time.Duration
	sigma  float64
}

func (s sleeper) Info() driver.Info {
	return driver.Info{Name: "sleeper", Version: "1", Platform: "go"}
}

func (s sleeper) Open(ctx context.Context, path string, opts *driver.Options) (driver.Session, error) {
	m := memengine.Identity(tensor.FP32, -1, 4)
	answer := m.Run
	m.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
		t := time.NewTimer(time.Duration(float64(s.median) * math.Exp(rand.NormFloat64()*s.sigma)))
		defer t.Stop()
		select {
		case <-t.C:
			return answer(ctx, in)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return memengine.New(map[string]memengine.Model{path: m}).Open(ctx, path, opts)
}
