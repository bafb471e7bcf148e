package adaptertest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/trigger"
)

var (
	done      = func() infer.Params { return infer.Params{} }
	permanent = func() infer.Params { return infer.Params{Fail: fault.Unprocessable.String()} }
	transient = func() infer.Params { return infer.Params{Fail: fault.Unavailable.String()} }
)

func allDone(e *events) {
	items, states := e.work(done(), done(), done())
	e.deliver(e.start(e.t, nil), items, states)
}

func allFail(e *events) {
	c := e.start(e.t, nil)
	for _, how := range []func() infer.Params{transient, permanent} {
		items, states := e.work(how(), how(), how())
		e.deliver(c, items, states)
	}
	items, states := e.work(done(), done())
	e.deliver(c, items, states)
}

func mixed(e *events) {
	c := e.start(e.t, nil)
	all := []infer.Params{done(), permanent(), done(), nil, transient(), done()}
	if e.caps.NoBroken {
		all[3] = permanent()
	}
	items, states := e.work(all...)
	e.deliver(c, items, states)
}

func everyCode(e *events) {
	var all []infer.Params
	for _, code := range fault.Codes() {
		all = append(all, infer.Params{Fail: code.String()}, done())
	}
	items, states := e.work(all...)
	c := e.start(e.t, nil)
	if e.caps.Order == trigger.Unordered && !e.caps.Whole {
		e.deliver(c, items, states)
		return
	}
	for i := range items { // one would hide the next
		e.deliver(c, items[i:i+1], states[i:i+1])
	}
}

// anyBatch delivers batches of random outcomes, the same every time.
func anyBatch(e *events) {
	c := e.start(e.t, nil)
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []func() infer.Params{done, done, permanent, transient, func() infer.Params { return nil }, func() infer.Params { return infer.Params{Panic: true} }}
	if e.caps.NoBroken {
		kinds[4] = done
	}
	for range 30 {
		var all []infer.Params
		for range 1 + random.IntN(9) {
			all = append(all, kinds[random.IntN(len(kinds))]())
		}
		items, states := e.work(all...)
		e.deliver(c, items, states)
	}
}

func panicsAlone(e *events) {
	all := make([]infer.Params, 10)
	for i := range all {
		all[i] = done()
	}
	all[2] = infer.Params{Panic: true}
	items, states := e.work(all...)
	c := e.start(e.t, nil)
	e.deliver(c, items, states)
	items, states = e.work(done())
	e.deliver(c, items, states)
}

// nothingOvertakes fails one item and looks at the order in which the handler
// got the others, and that none of those behind it counts as done.
func nothingOvertakes(e *events) {
	c, r := e.start(e.t, nil), newReader(e.t)
	all := make([]infer.Params, 8)
	for i := range all {
		all[i] = infer.Params{Tell: r.address()}
	}
	all[3][Fail] = fault.Unavailable.String()
	items, states := e.work(all...)
	size := e.caps.Items
	if size == 0 || size > len(items) {
		size = len(items)
	}
	e.check(items[:size], e.one(c, items[:size]), e.repeated(items[:size], states[:size]))
	last := map[string]int{}
	for range size {
		a, ok := r.next(100 * time.Millisecond)
		if !ok {
			break // a handler may leave out what must wait
		}
		var n struct{ N int }
		if err := json.Unmarshal(a.Data, &n); err != nil {
			e.t.Fatal(err)
		}
		if before, ok := last[a.Group]; ok && before > n.N {
			e.t.Errorf("of group %q item %d came behind %d", a.Group, n.N, before)
		}
		last[a.Group] = n.N
		if a.Order != e.caps.Order {
			e.t.Errorf("want the order %v, got %v", e.caps.Order, a.Order)
		}
	}
}

func reaches(e *events) {
	c, r := e.start(e.t, nil), newReader(e.t)
	attributes := map[string]string{"model": "iris", "kind": "a b+c%20/é"}
	if e.caps.NoAttributes {
		attributes = nil
	}
	items := []Item{
		{ID: "first", Group: e.group(0), Data: payload(infer.Params{Tell: r.address(), "n": 0}), Attributes: attributes},
		{ID: "second", Group: e.group(1), Data: payload(infer.Params{Tell: r.address(), "n": 1})},
	}
	states := []trigger.State{trigger.Done, trigger.Done}
	e.deliver(c, items, states)
	got := r.all(len(items))
	for i, item := range items {
		a, ok := got[string(item.Data)]
		if !ok {
			e.t.Fatalf("want the payload %s, got %v", item.Data, got)
		}
		if a.ID == "" || a.Key == "" || a.Kind == "" || a.Source == "" {
			e.t.Errorf("want an item with id, key, kind and source, got %+v", a)
		}
		if e.caps.Order == trigger.Grouped && a.Group != item.Group {
			e.t.Errorf("want the group %q, got %q", item.Group, a.Group)
		}
		if i == 0 && !e.caps.NoAttributes {
			for name, value := range attributes {
				if a.Attributes[name] != value {
					e.t.Errorf("want the attribute %s %q, got %q", name, value, a.Attributes[name])
				}
			}
		}
		for name := range a.Attributes {
			if i == 1 && attributes[name] != "" {
				e.t.Errorf("an item has the attribute %s of another", name)
			}
		}
	}
	first, second := got[string(items[0].Data)], got[string(items[1].Data)]
	if first.Key == second.Key {
		e.t.Errorf("want keys of their own, got %q twice", first.Key)
	}
}

// payloads sends what an envelope may change, and a large one.
func payloads(e *events) {
	c, r := e.start(e.t, nil), newReader(e.t)
	for i, text := range []string{
		"", `{"inputs":[]}`, `"quoted"`, "\\\"", "AAEC", "eyJhIjoxfQ==", "a+b%2Fc%20d", "é\u2028\U0001F426", "<&>'", "\n\t", "\x00", "{{x}}", strings.Repeat("0123456789", 10000),
	} {
		// With space that a second encoding of the JSON would lose.
		data := append([]byte(" "), payload(infer.Params{Tell: r.address(), "text": text})...)
		item := Item{ID: fmt.Sprintf("text%d", i), Group: e.group(0), Data: append(data, "\n "...)}
		e.deliver(c, []Item{item}, []trigger.State{trigger.Done})
		if _, ok := r.all(1)[string(item.Data)]; !ok {
			e.t.Errorf("the payload with %.40q was changed", text)
		}
	}
	var raw []string
	if e.caps.Opaque || e.caps.Binary {
		raw = append(raw, "AAEC", "eyJhIjoxfQ==", `"quoted"`, `"{\"a\":1}"`, `{"a":1}{`, "a+b%2Fc%20d", " \n", "plain", "é", "null", "<a/>", "{\"message\":{\"data\":\"AAEC\"}}")
	}
	if e.caps.Binary {
		raw = append(raw, "\x00", "\xff\xfe\x00", "\xef\xbb\xbf{}", "a\r\nb")
	}
	for i, data := range raw {
		item := Item{ID: fmt.Sprintf("raw%d", i), Group: e.group(0), Data: []byte(data), Attributes: map[string]string{tellAttribute: r.address()}}
		e.deliver(c, []Item{item}, []trigger.State{trigger.Done})
		if got := r.all(1); len(got) != 1 || string(slices.Collect(maps.Values(got))[0].Data) != data {
			e.t.Errorf("the payload %q was changed: %q", data, slices.Collect(maps.Keys(got)))
		}
	}
}

// again delivers the same twice: it is the same to the handler.
func again(e *events) {
	c, r := e.start(e.t, nil), newReader(e.t)
	item := Item{ID: "again", Group: e.group(0), Data: payload(infer.Params{Tell: r.address()})}
	if !e.caps.NoAttributes {
		item.Attributes = map[string]string{"model": "iris"}
	}
	var keys []string
	for range 2 {
		e.deliver(c, []Item{item}, []trigger.State{trigger.Done})
		a, ok := r.all(1)[string(item.Data)]
		if !ok {
			e.t.Fatal("the payload was changed")
		}
		keys = append(keys, a.Key)
	}
	if keys[0] != keys[1] {
		e.t.Errorf("want the same key both times, got %q", keys)
	}
	item.ID = "other"
	e.deliver(c, []Item{item}, []trigger.State{trigger.Done})
	if a := r.all(1)[string(item.Data)]; a.Key == keys[0] {
		e.t.Errorf("want another key for another item, got %q", a.Key)
	}
}

func concurrentDeliveries(e *events) {
	c := e.start(e.t, nil)
	var wg sync.WaitGroup
	for caller := range 6 {
		r := newReader(e.t)
		wg.Go(func() {
			for i := range 8 {
				item := Item{ID: fmt.Sprintf("c%di%d", caller, i), Group: e.group(0)}
				item.Data = payload(infer.Params{Tell: r.address(), "text": strings.Repeat(string(rune('a'+caller)), 1+(i*531)%4000)})
				want := []string(nil)
				if i%3 == 2 {
					item.Data = payload(infer.Params{Tell: r.address(), Fail: fault.Unavailable.String()})
					want = []string{item.ID}
				}
				v, err := c.Deliver(e.t.Context(), []Item{item})
				if err != nil {
					e.t.Errorf("Deliver: %v", err)
					return
				}
				e.check([]Item{item}, v, want)
				if a, ok := r.next(patience); !ok || string(a.Data) != string(item.Data) {
					e.t.Errorf("caller %d got %.80s", caller, a.Data)
					return
				}
			}
		})
	}
	wg.Wait()
}

// noTime has an item wait for the end of the platform's time: the handler's
// context ends, and what was not done is delivered again.
func noTime(e *events) {
	for limit := 250 * time.Millisecond; ; limit *= 2 {
		c, g := e.start(e.t, &Setup{Timeout: limit}), newGate(e.t)
		items, _ := e.work(infer.Params{Gate: g.address()}, done(), done())
		states := []trigger.State{trigger.Retry, trigger.Retry, trigger.Retry}
		if e.caps.Items == 1 {
			items, states = items[:1], states[:1]
		}
		var v *Verdict
		var err error
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			v, err = c.Deliver(e.t.Context(), items)
		}()
		conn := g.begun(ended)
		if conn == nil && limit < patience { // too little time even to begin, on a busy machine
			continue
		} else if conn == nil {
			e.t.Fatalf("want a delivery that begins within %v, got %v", limit, err)
		}
		if got := reason(e.t, conn); !strings.HasPrefix(got, "context ") {
			e.t.Errorf("want a context that ended, got %q", got)
		}
		<-ended
		if err != nil {
			e.t.Fatalf("Deliver: %v", err)
		}
		e.check(items, v, e.repeated(items, states))
		return
	}
}

// noTriggers delivers to a function that no event may start: nothing counts as done.
func noTriggers(e *events) {
	c := e.start(e.t, &Setup{NoEvents: true})
	items, _ := e.work(done(), done())
	if e.caps.Items == 1 {
		items = items[:1]
	}
	v := e.one(c, items)
	if e.caps.Aside {
		if v.Status >= 200 && v.Status < 300 {
			e.t.Errorf("want a refusal, got status %d: %s", v.Status, v.Body)
		}
		return
	}
	e.check(items, v, e.repeated(items, []trigger.State{trigger.Permanent, trigger.Permanent}[:len(items)]))
}

// A reader is where a subject tells what has reached it. It reads at once: an
// answer may be more than fits into a connection that nobody reads.
type reader struct {
	t    testing.TB
	ln   net.Listener
	told chan Answer
}

func newReader(t testing.TB) *reader {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t, ln, make(chan Answer, 256)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			r.read(conn)
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return r
}

func (r *reader) read(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	var a Answer
	text, err := io.ReadAll(conn)
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		r.t.Errorf("the subject tells %.200q: %v", text, err)
		return
	}
	r.told <- a
}

// address is the value of the parameter Tell.
func (r *reader) address() string { return r.ln.Addr().String() }

// next is the next answer; false when there is none in that time.
func (r *reader) next(wait time.Duration) (Answer, bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case a := <-r.told:
		return a, true
	case <-timer.C:
		return Answer{}, false
	}
}

// all are the next n answers by their payload.
func (r *reader) all(n int) map[string]Answer {
	r.t.Helper()
	got := map[string]Answer{}
	for range n {
		a, ok := r.next(patience)
		if !ok {
			r.t.Fatalf("want %d items to reach the handler, got %d", n, len(got))
		}
		got[string(a.Data)] = a
	}
	return got
}
