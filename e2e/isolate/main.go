// Command isolate loads a server whose engine runs in a worker process, kills
// the worker again and again, and fails unless each kill costs at most the one
// request that was alone in it: every other request must be answered, rightly,
// and the server must count the restarts. Refused may be only who has waited for
// a restart as long as the server keeps callers waiting, and he is told when to
// come back.
//
//	isolate SERVER-PID http://ADDRESS KILLS
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "isolate:", err)
		os.Exit(1)
	}
}

const clients = 8

// kept is how long the server keeps a request waiting for a restart
// (isolate.Options.Wait).
const kept = 2 * time.Second

type load struct {
	url  string
	stop atomic.Bool
	next atomic.Int64 // makes every request another one: equal ones would be poison
	busy atomic.Int64
	good atomic.Int64

	mu    sync.Mutex
	bad   map[int]int // by status
	wrong []string
	early []string // refusals that came too soon, or without a time to come back
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("want SERVER-PID URL KILLS")
	}
	server, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	kills, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	l := &load{url: args[1], bad: map[int]int{}}
	var all sync.WaitGroup
	for range clients {
		all.Go(l.client)
	}
	defer all.Wait()
	defer l.stop.Store(true)
	last := 0
	var back []time.Duration
	var early left
	for k := range kills {
		if err := l.answers(100); err != nil {
			return err
		}
		pid, err := worker(server, last)
		if err != nil {
			return err
		}
		sig := []syscall.Signal{syscall.SIGSEGV, syscall.SIGKILL, syscall.SIGABRT}[k%3]
		flying := l.busy.Load()
		start := time.Now()
		if err := syscall.Kill(pid, sig); err != nil {
			return fmt.Errorf("worker %d: %w", pid, err)
		}
		if _, err := worker(server, pid); err != nil {
			return err
		}
		if err := l.answers(1); err != nil {
			return err
		}
		back = append(back, time.Since(start))
		fmt.Printf("%v: %d requests on the way, answers again after %v\n", sig, flying, back[k].Round(time.Millisecond))
		last = pid
		if k == settled {
			if early, err = leftIn(server); err != nil {
				return err
			}
		}
	}
	if err := l.answers(100); err != nil {
		return err
	}
	late, err := leftIn(server)
	if err != nil {
		return err
	}
	l.stop.Store(true)
	all.Wait()
	slices.Sort(back)
	fmt.Printf("%d kills: %d right answers, failed by status %v; back after %v at the median, %v at most\n", kills, l.good.Load(), l.bad,
		back[len(back)/2].Round(time.Millisecond), back[len(back)-1].Round(time.Millisecond))
	if kills > settled {
		fmt.Printf("after %d kills the server has %v, after all of them %v\n", settled+1, early, late)
		if late.descriptors > early.descriptors+slack || late.mappings > early.mappings+slack {
			return errors.New("restarts leave something behind")
		}
	}
	if len(l.early) > 0 {
		return fmt.Errorf("%d requests refused that had not waited for %v, or not told when to come back, such as %s", len(l.early), kept, l.early[0])
	}
	if n := l.bad[http.StatusServiceUnavailable]; n > 0 && back[len(back)-1] < kept {
		return fmt.Errorf("%d requests refused, and no restart took %v", n, kept)
	}
	if len(l.wrong) > 0 {
		return fmt.Errorf("%d wrong answers, such as %s", len(l.wrong), l.wrong[0])
	}
	for status, n := range l.bad {
		if status != http.StatusInternalServerError && status != http.StatusServiceUnavailable {
			return fmt.Errorf("%d answers of status %d, want only 500 and 503", n, status)
		}
	}
	if n := l.bad[http.StatusInternalServerError]; n > kills {
		return fmt.Errorf("%d requests failed by %d kills: those in flight together were not done again", n, kills)
	}
	return l.restarts(kills)
}

// client asks until the load is stopped.
func (l *load) client() {
	for !l.stop.Load() {
		body, digit := request(l.next.Add(1))
		l.busy.Add(1)
		asked := time.Now()
		resp, err := http.Post(l.url+"/v2/models/digits/infer", "application/json", bytes.NewReader(body))
		if err != nil {
			l.failed(0, err.Error())
			l.busy.Add(-1)
			continue
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		l.busy.Add(-1)
		switch {
		case err != nil:
			l.failed(0, err.Error())
		case resp.StatusCode == http.StatusServiceUnavailable && (time.Since(asked) < kept || resp.Header.Get("Retry-After") == ""):
			l.refusedEarly(fmt.Sprintf("after %v, Retry-After %q: %s", time.Since(asked), resp.Header.Get("Retry-After"), text))
		case resp.StatusCode != http.StatusOK:
			l.failed(resp.StatusCode, string(text))
		case label(text) != digit:
			l.failed(http.StatusOK, fmt.Sprintf("%d for a picture of %d", label(text), digit))
		default:
			l.good.Add(1)
		}
	}
}

func (l *load) refusedEarly(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.early = append(l.early, text)
	fmt.Println(strings.TrimSpace(text))
}

func (l *load) failed(status int, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if status == http.StatusOK {
		l.wrong = append(l.wrong, text)
		return
	}
	l.bad[status]++
	fmt.Println(status, strings.TrimSpace(text))
}

// answers waits for n more right ones.
func (l *load) answers(n int64) error {
	want := l.good.Load() + n
	for deadline := time.Now().Add(time.Minute); l.good.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not %d answers in a minute", n)
		}
	}
	return nil
}

var pictures = regexp.MustCompile(`"data":\s*\[([^\]]*)\]`)

// request is recorded picture n modulo 8 with a little noise in one pixel, and
// the label that was recorded for it.
func request(n int64) (body []byte, digit int) {
	name := fmt.Sprintf("requests/digits/%d", n%8+1)
	body, err := os.ReadFile(filepath.Join("examples/digits", name+".json"))
	if err != nil {
		panic(err)
	}
	want, err := os.ReadFile(filepath.Join("examples/digits", name+".want.json"))
	if err != nil {
		panic(err)
	}
	at := pictures.FindSubmatchIndex(body)
	first, rest, _ := strings.Cut(string(body[at[2]:at[3]]), ",")
	v, err := strconv.ParseFloat(strings.TrimSpace(first), 64)
	if err != nil {
		panic(err)
	}
	data := strconv.FormatFloat(v+float64(n)/(1<<20), 'g', -1, 64) + "," + rest
	return slices.Concat(body[:at[2]], []byte(data), body[at[3]:]), label(want)
}

// label is the first element of the output of that name.
func label(text []byte) int {
	var doc struct {
		Outputs []struct {
			Name string
			Data []json.Number
		}
	}
	if json.Unmarshal(text, &doc) != nil {
		return -1
	}
	for _, o := range doc.Outputs {
		if o.Name == "label" && len(o.Data) > 0 {
			n, _ := strconv.Atoi(o.Data[0].String())
			return n
		}
	}
	return -1
}

// worker waits for a child of the server that is not the last one.
func worker(server, last int) (int, error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", server))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			for _, field := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil && pid != last {
					return pid, nil
				}
			}
		}
	}
	return 0, errors.New("no worker in a minute")
}

// settled is after how many kills the server has all that it needs, and slack
// how many more descriptors it may have at another moment: connections come
// and go.
const (
	settled = 8
	slack   = 2 * clients
)

// left is what a process has and may forget to give back.
type left struct{ descriptors, mappings, threads, kilobytes int }

func (l left) String() string {
	return fmt.Sprintf("%d descriptors, %d shared mappings, %d threads and %d KiB", l.descriptors, l.mappings, l.threads, l.kilobytes)
}

func leftIn(pid int) (l left, err error) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return l, err
	}
	maps, err := os.ReadFile(filepath.Join(proc, "maps"))
	if err != nil {
		return l, err
	}
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return l, err
	}
	l.descriptors, l.mappings = len(fds), strings.Count(string(maps), "memfd:godwit")
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "Threads: %d", &l.threads)
		fmt.Sscanf(line, "VmRSS: %d", &l.kilobytes)
	}
	return l, nil
}

var counter = regexp.MustCompile(`(?m)^godwit_worker_restarts_total (\d+)$`)

func (l *load) restarts(want int) error {
	resp, err := http.Get(l.url + "/metrics")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	m := counter.FindSubmatch(text)
	if m == nil {
		return errors.New("no godwit_worker_restarts_total")
	}
	if n, _ := strconv.Atoi(string(m[1])); n != want {
		return fmt.Errorf("godwit_worker_restarts_total is %d, want %d", n, want)
	}
	return nil
}
