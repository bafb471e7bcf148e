package predict

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// measured is what the entries of c really sum up to.
func (c *cache) measured() (sum int64) {
	for _, e := range c.entries {
		sum += e.weight
	}
	return sum
}

func TestCacheKeepsItsBound(t *testing.T) {
	const most = 100_000
	c, random := newCache(most), rand.New(rand.NewPCG(1, 2))
	for i := range 50_000 {
		k := key{uint64(random.ExpFloat64() * 100), 0}
		if i%3 == 0 {
			k = key{0, random.Uint64()} // of a flood
		}
		if a := c.get(k); a != nil {
			if a.timing.Rows != int(k[0]) {
				t.Fatalf("key %v gives the answer of %d", k, a.timing.Rows)
			}
			continue
		}
		c.put(k, &kept{timing: infer.Timing{Rows: int(k[0])}}, 512+random.Int64N(40_000))
		held, sum := c.held.Load(), c.measured()
		if held != sum || held > most {
			t.Fatalf("after %d: %d bytes held, %d measured, want equal and at most %d", i, held, sum, most)
		}
		if in := c.short.list.Len() + c.long.list.Len(); in != len(c.entries) || len(c.ghosts) != c.left.Len() || len(c.ghosts) > most/512 {
			t.Fatalf("after %d: %d in queues, %d entries, %d and %d ghosts", i, in, len(c.entries), len(c.ghosts), c.left.Len())
		}
	}
	c.close()
	if c.put(key{}, &kept{}, 512); c.held.Load() != 0 || c.get(key{}) != nil || len(c.entries)+len(c.ghosts) != 0 {
		t.Error("a closed cache still keeps something")
	}
}

// What is asked for all the time stays when many come once.
func TestAFloodDoesNotWashOut(t *testing.T) {
	c := newCache(100 * 1000)
	ask := func(k key) bool {
		if c.get(k) != nil {
			return true
		}
		c.put(k, &kept{}, 1000)
		return false
	}
	hits := 0
	for i := range uint64(20_000) {
		if ask(key{i % 40, 1}) && i > 1000 {
			hits++
		}
		ask(key{i, 2})
		ask(key{i, 3})
	}
	if hits < 18_000 {
		t.Errorf("%d of 19,000 were there, want at least 18,000", hits)
	}
}

// What was asked for twice stays, though nobody asks for it during a flood.
func TestTwiceAskedForStays(t *testing.T) {
	c := newCache(100 * 1000)
	for i := range uint64(20) {
		c.put(key{i, 1}, &kept{}, 1000)
		c.get(key{i, 1})
	}
	for i := range uint64(10_000) {
		c.put(key{i, 2}, &kept{}, 1000)
	}
	for i := range uint64(20) {
		if c.get(key{i, 1}) == nil {
			t.Errorf("%d is gone", i)
		}
	}
}

// The bytes of what is told apart may not depend on where one part ends.
func TestKeysTellApart(t *testing.T) {
	s := newSeeds()
	sig := &driver.Signature{
		Inputs:  []driver.TensorInfo{{Name: "a", Type: tensor.Bytes}, {Name: "b", Type: tensor.Bytes}},
		Outputs: []driver.TensorInfo{{Name: "y"}, {Name: "z"}},
	}
	ofNumbers := &driver.Signature{Inputs: []driver.TensorInfo{{Name: "a"}}}
	strings := func(a, b []string) *infer.Request {
		return &infer.Request{Inputs: []tensor.Tensor{
			tensor.OfStrings("a", []int64{int64(len(a))}, a...), tensor.OfStrings("b", []int64{int64(len(b))}, b...)}}
	}
	long := func(n int, last byte) string {
		b := make([]byte, n)
		b[n-1] = last
		return string(b)
	}
	many := func(last string) []string {
		all := make([]string, 2000)
		for i := range all {
			all[i] = fmt.Sprint(i)
		}
		return append(all, last)
	}
	wanted := func(names ...string) *infer.Request {
		r := strings([]string{"x"}, []string{"y"})
		r.Outputs = []infer.OutputRequest{}
		for _, n := range names {
			r.Outputs = append(r.Outputs, infer.OutputRequest{Name: n})
		}
		return r
	}
	number := func(t tensor.Tensor) *infer.Request { return &infer.Request{Inputs: []tensor.Tensor{t}} }
	f := []float32{1, 2}
	same := map[key]string{}
	for name, req := range map[string]*infer.Request{
		"ab c":       strings([]string{"ab"}, []string{"c"}),
		"a bc":       strings([]string{"a"}, []string{"bc"}),
		"a,b c":      strings([]string{"a", "b"}, []string{"c"}),
		"a b,c":      strings([]string{"a"}, []string{"b", "c"}),
		"empty":      strings([]string{""}, []string{""}),
		"none":       strings(nil, nil),
		"long 1":     strings([]string{long(longest+1, 1)}, nil),
		"long 2":     strings([]string{long(longest+1, 2)}, nil),
		"longer 1":   strings([]string{long(longest+2, 1)}, nil),
		"many 1":     strings(many("1"), nil),
		"many 2":     strings(many("2"), nil),
		"no outputs": wanted(),
		"all":        strings([]string{"x"}, []string{"y"}),
		"y":          wanted("y"),
		"z":          wanted("z"),
		"z,y":        wanted("z", "y"),
		"y, then yz": wanted("y", "yz"),
		"yy, then z": wanted("yy", "z"),
		"long name":  wanted(long(3000, 1)),
		"other name": wanted(long(3000, 2)),
		"fp32 2":     number(tensor.Of("a", []int64{2}, f)),
		"fp32 1 2":   number(tensor.Of("a", []int64{1, 2}, f)),
		"fp32 2 1":   number(tensor.Of("a", []int64{2, 1}, f)),
		"int32 2":    number(tensor.Tensor{Name: "a", Type: tensor.Int32, Shape: []int64{2}, Data: tensor.Of("", []int64{2}, f).Data}),
	} {
		of := sig
		if len(req.Inputs) == 1 {
			of = ofNumbers
		}
		k, ok := s.key(of, req)
		again, _ := s.key(of, req)
		if !ok || again != k {
			t.Fatalf("%s: no key, or two", name)
		}
		if other, there := same[k]; there {
			t.Errorf("%q has the key of %q", name, other)
		}
		same[k] = name
	}
}

func BenchmarkKey(b *testing.B) {
	s := newSeeds()
	sig := &driver.Signature{Inputs: []driver.TensorInfo{{Name: "x"}}, Outputs: []driver.TensorInfo{{Name: "y"}}}
	for _, n := range []int64{64, 1024, 150_528} {
		req := &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, n}, make([]float32, n))}}
		b.Run(fmt.Sprintf("%d bytes", 4*n), func(b *testing.B) {
			b.SetBytes(4 * n)
			b.ReportAllocs()
			for b.Loop() {
				s.key(sig, req)
			}
		})
	}
}
