//go:build linux && cgo

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/internal/app"
	"godwit.dev/internal/fnserver"
	"godwit.dev/loadtest"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/ort"
	"godwit.dev/runtime/quota"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/telemetry/prom"
	"godwit.dev/runtime/tensor"
)

// jsonGoal is goal 5: what loadtest/simdjson measures, our decoder and C++
// simdjson in turn on the same documents.
func jsonGoal(ctx context.Context, b *bench) ([]*figure, error) {
	rounds := "5"
	if b.quick {
		rounds = "1"
	}
	text, err := exec.CommandContext(ctx, "sh", "loadtest/simdjson/run.sh", rounds).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("loadtest/simdjson: %w: %.300s", err, text)
	}
	line := regexp.MustCompile(`(?m)^BenchmarkDecodeNumbers/image\S*\s.*$`).Find(text)
	metric := func(name string) (float64, bool) {
		m := regexp.MustCompile(`([0-9.e+-]+) ` + regexp.QuoteMeta(name) + `(\s|$)`).FindSubmatch(line)
		if m == nil {
			return 0, false
		}
		v, err := strconv.ParseFloat(string(m[1]), 64)
		return v, err == nil
	}
	ours, ok := metric("ns/number")
	if !ok {
		return nil, fmt.Errorf("loadtest/simdjson: want ns/number of the image, got %.300q", text)
	}
	one := func(v float64) spread { return spread{Median: v, Min: v, Max: v, N: 1} }
	how := "150,528 shortest float32, 64 documents in turn"
	var figures []*figure
	if against, ok := metric("median-ratio"); ok {
		theirs, _ := metric("simdjson-ns/number")
		figures = append(figures, &figure{Goal: 5, What: "JSON decode over simdjson", How: how, Got: one(against), Ship: most(1.15), Moonshot: most(1.0),
			Absolute: fmt.Sprintf("%s ns a number, simdjson %s ns", number(ours), number(theirs)),
			Note:     "the median of the pairs is taken inside the benchmark, so no range is shown here."})
	} else {
		figures = append(figures, &figure{Goal: 5, What: "JSON decode over simdjson", How: how, Ship: most(1.15), Moonshot: most(1.0),
			Missing: "Debian's libsimdjson-dev or a C++ compiler is not there."})
	}
	if times, ok := metric("times-encoding/json"); ok {
		figures = append(figures, &figure{Goal: 5, What: "JSON decode, times as fast as encoding/json", How: how, Got: one(times), Ship: least(5), Moonshot: least(5),
			Absolute: fmt.Sprintf("%s ns a number", number(ours))})
	}
	return figures, nil
}

// allocGoal is goal 21: Go allocations for one run of the engine, and for one
// request over HTTP in a server made of the same parts as the binary's.
func allocGoal(ctx context.Context, b *bench) ([]*figure, error) {
	s, err := b.session(ctx, "small")
	if err != nil {
		return nil, err
	}
	defer s.Close()
	in, out := modelNamed("small").requests()[0].Inputs, []tensor.Tensor{{Name: "y"}}
	engine, err := perCall(5, 2000, func(n int) error {
		for range n {
			if err := s.Run(ctx, in, out); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out[0].Release()
	figures := []*figure{{Goal: 21, What: "allocations, engine, small", How: "Go allocations in one Session.Run", Got: engine, Ship: most(2), Moonshot: most(0)}}

	dir, err := b.function("alloc", "", "small")
	if err != nil {
		return figures, err
	}
	log := telemetry.NewLogger(io.Discard, false, slog.LevelInfo)
	metrics := prom.New(nil)
	f, err := app.Open(dir, ort.New(&driver.Setup{Library: b.library}), &app.Options{Logger: log, Sink: metrics, Quota: quota.Quota{CPUs: float64(b.cores)}})
	if err != nil {
		return figures, err
	}
	if err := f.Load(ctx); err != nil {
		return figures, err
	}
	defer f.Close(context.WithoutCancel(ctx))
	ln, err := httpserve.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return figures, err
	}
	options := fnserver.ServerOptions(&f.Spec.Limits)
	options.Log = log
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() {
		served <- httpserve.Serve(serving, ln, nil, f.Server(oip.Options{Metrics: metrics.Handler()}), &options)
	}()
	defer func() { stop(); <-served }()
	inside := &process{url: "http://" + ln.Addr().String()}
	for _, protocol := range []loadtest.Protocol{loadtest.Binary, loadtest.JSON} {
		noop, err := b.noop(256)
		if err != nil {
			return figures, err
		}
		defer noop.stop()
		calls := func(p *process) (spread, error) {
			return perCall(4, 4000, func(n int) error {
				_, err := b.load(ctx, p, "small", loadtest.Options{Protocol: protocol, Connections: 4, Count: int64(n), Duration: time.Minute})
				return err
			})
		}
		both, err := calls(inside)
		if err != nil {
			return figures, err
		}
		client, err := calls(noop)
		if err != nil {
			return figures, err
		}
		for _, v := range []*float64{&both.Median, &both.Min, &both.Max} {
			*v -= client.Median
		}
		figures = append(figures, &figure{Goal: 21, What: "allocations, HTTP, small, " + string(protocol), How: "Go allocations for a request, with net/http's own", Got: both,
			Ship: most(20), Moonshot: most(8), Note: fmt.Sprintf("the client's own %s in the same process are taken off.", number(client.Median))})
	}
	return figures, nil
}

// perCall is how many Go allocations one of n calls makes, less those that a
// series of one call makes.
func perCall(rounds, n int, calls func(n int) error) (spread, error) {
	if err := calls(n); err != nil { // pools fill
		return spread{}, err
	}
	count := func(n int) (float64, error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := calls(n)
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs - before.Mallocs), err
	}
	var values []float64
	for range rounds {
		few, err := count(n / 10)
		if err != nil {
			return spread{}, err
		}
		many, err := count(n)
		if err != nil {
			return spread{}, err
		}
		values = append(values, (many-few)/float64(n-n/10))
	}
	return spreadOf(values), nil
}
