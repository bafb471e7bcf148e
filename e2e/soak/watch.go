package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is the server's process at one moment. Memory is in KiB.
type sample struct {
	at           time.Duration // since the load began
	rss, anon    int64
	threads, fds int
	calls        int64 // so far
}

// watcher reads /proc once a second, writes a CSV and keeps the samples.
type watcher struct {
	proc    string
	file    *os.File
	csv     *csv.Writer
	samples []sample
}

func newWatcher(pid int, path string) (*watcher, error) {
	w := &watcher{proc: filepath.Join("/proc", strconv.Itoa(pid))}
	if _, err := w.read(); err != nil {
		return nil, fmt.Errorf("want the server's process in -pid: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	var err error
	if w.file, err = os.Create(path); err != nil {
		return nil, err
	}
	w.csv = csv.NewWriter(w.file)
	return w, w.csv.Write([]string{"seconds", "rss_kib", "anon_kib", "threads", "fds", "calls"})
}

func (w *watcher) close() error {
	w.csv.Flush()
	return errors.Join(w.csv.Error(), w.file.Close())
}

// run samples until ctx ends or the process does.
func (w *watcher) run(ctx context.Context, calls func() int64) error {
	start := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s, err := w.read()
		if err != nil {
			return fmt.Errorf("the server is gone after %v: %w", time.Since(start).Round(time.Second), err)
		}
		s.at, s.calls = time.Since(start), calls()
		w.samples = append(w.samples, s)
		row := []string{strconv.FormatFloat(s.at.Seconds(), 'f', 1, 64)}
		for _, v := range []int64{s.rss, s.anon, int64(s.threads), int64(s.fds), s.calls} {
			row = append(row, strconv.FormatInt(v, 10))
		}
		if err := w.csv.Write(row); err != nil {
			return err
		}
		w.csv.Flush() // what has been seen stays when the soak is killed
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *watcher) read() (s sample, err error) {
	f, err := os.Open(filepath.Join(w.proc, "status"))
	if err != nil {
		return s, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch key {
		case "VmRSS":
			s.rss = n
		case "RssAnon":
			s.anon = n
		case "Threads":
			s.threads = int(n)
		}
	}
	fds, err := os.ReadDir(filepath.Join(w.proc, "fd"))
	if s.fds = len(fds); err == nil && s.rss == 0 {
		err = errors.New("the process has no memory: it has ended")
	}
	return s, err
}

// The first part of a soak is left out of the slope: pools fill, the arena and
// the collector's goal find their size.
const (
	warmUpShare = 0.2
	warmUpLeast = 30 * time.Second
)

// slope fits a line to v over the samples after the warm-up, by least
// squares, and returns its rise a minute and the minutes.
func slope(samples []sample, v func(sample) float64) (perMinute, minutes float64) {
	samples = warm(samples)
	if len(samples) < 2 {
		return 0, 0
	}
	var n, sx, sy, sxx, sxy float64
	for _, s := range samples {
		x, y := s.at.Minutes(), v(s)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx), samples[len(samples)-1].at.Minutes() - samples[0].at.Minutes()
}

func warm(samples []sample) []sample {
	if len(samples) == 0 {
		return nil
	}
	from := max(warmUpLeast, time.Duration(warmUpShare*float64(samples[len(samples)-1].at)))
	i, _ := slices.BinarySearchFunc(samples, from, func(s sample, d time.Duration) int { return cmp.Compare(s.at, d) })
	return samples[i:]
}

// report prints a table of at most a dozen moments and the slopes. It is an
// error when memory grew by more than growth KiB, or descriptors at all.
func (w *watcher) report(out io.Writer, growth int) error {
	fmt.Fprintf(out, "\n%8s %9s %9s %8s %5s %9s\n", "seconds", "RSS KiB", "anon KiB", "threads", "fds", "calls")
	step := max(1, len(w.samples)/12)
	for i := 0; i < len(w.samples); i += step {
		s := w.samples[i]
		fmt.Fprintf(out, "%8.0f %9d %9d %8d %5d %9d\n", s.at.Seconds(), s.rss, s.anon, s.threads, s.fds, s.calls)
	}
	rss, minutes := slope(w.samples, func(s sample) float64 { return float64(s.rss) })
	fds, _ := slope(w.samples, func(s sample) float64 { return float64(s.fds) })
	threads, _ := slope(w.samples, func(s sample) float64 { return float64(s.threads) })
	if minutes == 0 {
		return fmt.Errorf("want more than %v, the warm-up", warmUpLeast)
	}
	fmt.Fprintf(out, "\nslope over the last %.1f minutes: RSS %+.1f KiB/min, threads %+.2f/min, descriptors %+.2f/min\n", minutes, rss, threads, fds)
	var errs []error
	if rss*minutes > float64(growth) {
		errs = append(errs, fmt.Errorf("RSS grew by %.0f KiB, want at most %d", rss*minutes, growth))
	}
	if fds*minutes > 16 {
		errs = append(errs, fmt.Errorf("descriptors grew by %.0f, want at most 16", fds*minutes))
	}
	return errors.Join(errs...)
}
