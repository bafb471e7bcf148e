package edge_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	ce "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/edge"
	"godwit.dev/runtime/fault"
)

// receiver remembers what was sent on, and fails as told.
type receiver struct {
	mu    sync.Mutex
	got   []string
	fails map[string]error
	ended func() // after each; nil: nothing
}

func (r *receiver) forward(_ context.Context, name string, answer []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, name+"="+string(answer))
	if r.ended != nil {
		defer r.ended()
	}
	return r.fails[name]
}

func open(t *testing.T, o *edge.QueueOptions) *edge.Queue {
	t.Helper()
	q, err := edge.OpenQueue(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func put(t *testing.T, q *edge.Queue, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := q.Put(t.Context(), name, []byte("of "+name)); err != nil {
			t.Fatal(err)
		}
	}
}

// drain runs the queue until nothing waits.
func drain(t *testing.T, q *edge.Queue, r *receiver) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() { defer close(ended); q.Run(ctx) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for q.Len() > 0 {
		<-tick.C
	}
	cancel()
	<-ended
}

func TestAnswersAreSentOnInTheirOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "queue")
	r := &receiver{}
	q := open(t, &edge.QueueOptions{Dir: dir, Forward: r.forward})
	put(t, q, "b", "a", "b")
	if err := q.Put(t.Context(), "a", []byte("another")); err != nil {
		t.Errorf("the same name again: %v", err)
	}
	if _, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a second queue in the folder: %v", err)
	}
	q.Close()
	q = open(t, &edge.QueueOptions{Dir: dir, Forward: r.forward}) // another process
	put(t, q, "c", "b")
	q.Close()
	q = open(t, &edge.QueueOptions{Dir: dir, Forward: r.forward})
	if err := q.Put(t.Context(), "empty", nil); err != nil {
		t.Error(err)
	}
	drain(t, q, r)
	if diff := cmp.Diff([]string{"b=of b", "a=of a", "c=of c", "empty="}, r.got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	put(t, q, "a") // what was sent on may come again
	if q.Len() != 1 {
		t.Errorf("%d answers wait, want the new one", q.Len())
	}
	drain(t, q, r)
	q.Close()
	if q = open(t, &edge.QueueOptions{Dir: dir}); q.Len() != 0 {
		t.Errorf("%d answers wait after they were sent on", q.Len())
	}
}

func TestNamesOfAnswers(t *testing.T) {
	q := open(t, &edge.QueueOptions{Dir: t.TempDir()})
	for _, name := range []string{"", "a/b", "../x", "a\x00", strings.Repeat("x", 201), "ä"} {
		if err := q.Put(t.Context(), name, nil); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Put(ctx, "x", nil); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("after its time: %v", err)
	}
	for _, name := range strings.Split("/ : @ [ ` { ^", " ") { // beside those that may be
		if err := q.Put(t.Context(), name, nil); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	put(t, q, strings.Repeat("0a", 32)+".json", strings.Repeat("x", 200), "-", "..", "a", "z", "A", "Z", "0", "9", "_")
}

// Failures that may pass hold the queue up, for longer each time up to the
// bound; those for good set one answer aside.
func TestFailuresWait(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []time.Duration
		fails := 8
		q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir, Wait: time.Second, MaxWait: 20 * time.Second, Forward: func(_ context.Context, name string, _ []byte) error {
			if name == "broken" {
				return fault.New(fault.Invalid, "test", "", "never")
			}
			at = append(at, time.Since(begun))
			if fails--; fails >= 0 || fails == -2 {
				return fault.New(fault.Unavailable, "test", "", "no network")
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		put(t, q, "broken", "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); q.Run(ctx) }()
		for q.Len() > 0 {
			<-time.After(time.Second) // of the bubble's clock
		}
		cancel()
		<-ended
		if len(at) != 11 {
			t.Fatalf("sent %d times, want 8 failures, an answer, a failure and another: %v", len(at), at)
		}
		if got := at[10] - at[9]; got > time.Second {
			t.Errorf("%v after the first failure since one was sent on", got)
		}
		for i, most := range []time.Duration{1, 2, 4, 8, 16, 20, 20, 20} {
			if got := at[i+1] - at[i]; got > most*time.Second || got < most*time.Second*3/4 {
				t.Errorf("after %d failures %v, want up to %d s", i+1, got, most)
			}
		}
		if at[9] != at[8] {
			t.Errorf("%v after what was sent on", at[9]-at[8])
		}
	})
	aside, err := filepath.Glob(filepath.Join(dir, "refused", "*-broken"))
	if err != nil || len(aside) != 1 {
		t.Errorf("%v (%v) were set aside, want one", aside, err)
	}
}

// A disk that lost power holds anything: what is whole is sent on.
func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	r := &receiver{}
	q := open(t, &edge.QueueOptions{Dir: dir, Forward: r.forward})
	put(t, q, "cut", "empty", "changed", "gone", "whole")
	q.Close()
	files, err := filepath.Glob(filepath.Join(dir, "0*"))
	if err != nil || len(files) != 5 {
		t.Fatal(files, err)
	}
	slices.Sort(files)
	for i, change := range []func(string) error{
		func(f string) error { return os.Truncate(f, 33) },
		func(f string) error { return os.Truncate(f, 0) },
		func(f string) error { return os.WriteFile(f, make([]byte, 50), 0o600) },
		func(string) error { return nil },
	} {
		if err := change(files[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".writing-1", "refused/.writing-2", "notes", "0-x", "0000000000000AAA-x", "ffffffffffffffff-x", "000000000000000-x", "0000000000000001-x y", "000000000000000g-x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	q = open(t, &edge.QueueOptions{Dir: dir, Forward: r.forward})
	if diff := cmp.Diff(edge.Stats{Waiting: 5, Bytes: 4 * 4096}, q.Stats()); diff != "" { // one is empty
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := os.Remove(files[3]); err != nil {
		t.Fatal(err)
	}
	drain(t, q, r)
	put(t, q, "after")
	drain(t, q, r)
	if diff := cmp.Diff([]string{"whole=of whole", "after=of after"}, r.got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range left {
		names = append(names, f.Name())
	}
	if diff := cmp.Diff([]string{"0-x", "000000000000000-x", "0000000000000001-x y", "000000000000000g-x", "0000000000000AAA-x", "ffffffffffffffff-x", "lock", "notes", "refused"}, names); diff != "" {
		t.Errorf("others' files stay, halves go (-want +got)\n%s", diff)
	}
}

// child is the process that TestKilledProcess kills: it keeps answers and sends
// them on, and says of each that it is kept.
func child() {
	post, err := edge.Post(os.Getenv("EDGE_TEST_URL"), "/test")
	if err != nil {
		panic(err)
	}
	q, err := edge.OpenQueue(&edge.QueueOptions{Dir: os.Getenv("EDGE_TEST_DIR"), Forward: post})
	if err != nil {
		panic(err)
	}
	go q.Run(context.Background())
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-%d", os.Getenv("EDGE_TEST_RUN"), i)
		if err := q.Put(context.Background(), name, []byte(`{"answer": "`+name+`"}`)); err != nil {
			panic(err)
		}
		fmt.Println(name)
	}
}

// Whatever was said to be kept is sent on, whenever the process is killed.
func TestKilledProcess(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("Ce-Id")
		if err == nil && string(body) != `{"answer": "`+id+`"}` {
			t.Errorf("%s came as %q", id, body)
		}
		if got[id]++; len(got)%7 == 0 && got[id] == 1 { // the network is not always there
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	var kept []string
	for run := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "EDGE_TEST_DIR="+dir, "EDGE_TEST_URL="+server.URL, fmt.Sprintf("EDGE_TEST_RUN=%d", run))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ { // to the end: what it said before it died
			kept = append(kept, lines.Text())
			if n == 20+13*run {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	if len(kept) < 60 {
		t.Fatalf("%d answers were kept: the processes did not get far", len(kept))
	}
	post, err := edge.Post(server.URL, "/test")
	if err != nil {
		t.Fatal(err)
	}
	q := open(t, &edge.QueueOptions{Dir: dir, Forward: post, Wait: time.Millisecond})
	drain(t, q, nil)
	server.CloseClientConnections()
	for _, name := range kept {
		if got[name] == 0 {
			t.Errorf("%s was kept, and never came", name)
		}
	}
}

func TestAnswersAreSentOnAsEvents(t *testing.T) {
	var seen *ce.Event
	status := http.StatusAccepted
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if seen, err = binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r)); err != nil {
			t.Error(err)
		}
		if user, password, _ := r.BasicAuth(); r.Method != http.MethodPost || user != "u" || password != "geheim" {
			t.Errorf("%s as %s", r.Method, user)
		}
		w.WriteHeader(status)
	}))
	address := strings.Replace(server.URL, "http://", "http://u:geheim@", 1)
	post, err := edge.Post(address, "/godwit/device-1/digits")
	if err != nil {
		t.Fatal(err)
	}
	if err := post(t.Context(), "0a1b.json", []byte(`{"outputs":[]}`)); err != nil {
		t.Fatal(err)
	}
	want := ce.New()
	want.SetID("0a1b")
	want.SetSource("/godwit/device-1/digits")
	want.SetType("dev.godwit.answer")
	if err := want.SetData("application/json", map[string]any{"outputs": []int{}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), seen.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for said, code := range map[int]fault.Code{200: fault.OK, 204: fault.OK, 400: fault.Invalid, 413: fault.TooLarge, 415: fault.UnsupportedMedia, 422: fault.Unprocessable,
		300: fault.Unavailable, 299: fault.OK, 401: fault.Unavailable, 403: fault.Unavailable, 404: fault.Unavailable, 405: fault.Unavailable, 429: fault.Unavailable, 500: fault.Unavailable, 503: fault.Unavailable} {
		status = said
		if err := post(t.Context(), "x", []byte("{}")); fault.CodeOf(err) != code {
			t.Errorf("%d: %v, want %v", said, err, code)
		}
	}
	server.Close()
	if err := post(t.Context(), "x", nil); fault.CodeOf(err) != fault.Unavailable || strings.Contains(err.Error(), "geheim") {
		t.Errorf("without a network: %v", err)
	}
	if err := post(t.Context(), "x\n", nil); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("an event that is none: %v", err)
	}
	if _, err := edge.Post("https://x/y", "/s"); err != nil {
		t.Error(err)
	}
	for _, address := range []string{"", "ftp://x/y", "https://", "::", "http:///x"} {
		if _, err := edge.Post(address, "/s"); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := edge.OpenQueue(&edge.QueueOptions{Dir: "/dev/null/x"}); fault.CodeOf(err) != fault.Unavailable || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that cannot be: %v", err)
	}
}
