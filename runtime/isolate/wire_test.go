package isolate

import (
	"bytes"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

func TestFaultsCrossUnchanged(t *testing.T) {
	for _, code := range fault.Codes() {
		e := fault.New(code, "ort.Run", `input "x"`, "want 1, got %d", 2).WithHint("Send 1.")
		w := &writer{}
		w.fault(e)
		b, err := w.finish()
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseFault(b[header:])
		if err != nil || got.Code != code || got.Error() != e.Error() || got.Hint != e.Hint {
			t.Errorf("%v came as %v with %q, %v", e, got, got.Hint, err)
		}
		if got := tell(e).fault(); got.Code != code || got.Error() != e.Error() || got.Hint != e.Hint {
			t.Errorf("%v came by the control socket as %v with %q", e, got, got.Hint)
		}
	}
}

// FuzzReply decodes what a worker says of a run, as the parent does: nothing
// but an error or blocks within the segment.
func FuzzReply(f *testing.F) {
	for _, how := range Lies {
		if b := lie(how); len(b) > header {
			f.Add(b[4], b[header:])
		}
	}
	w := &writer{}
	w.start(kindOK)
	w.u32(2)
	w.block(tensor.FP32, []int64{2, 3}, 64, 24)
	w.block(tensor.Bytes, []int64{2}, 128, 11)
	f.Add(byte(kindOK), bytes.Clone(w.b[header:]))
	w.fault(fault.New(fault.Invalid, "a", "b", "c"))
	f.Add(byte(kindError), bytes.Clone(w.b[header:]))
	mem := bytes.Repeat([]byte{3, 0, 0, 0, 'a', 'b', 'c'}, 64)
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		switch kind {
		case kindOK:
			blocks, err := parseReply(payload, nil, 2, len(mem))
			if err != nil {
				return
			}
			w := &writer{}
			w.start(kindOK)
			w.u32(uint32(len(blocks)))
			for _, b := range blocks {
				part := mem[b.off : b.off+b.size]
				if n, _ := tensor.Elements(b.shape); b.dtype == tensor.Bytes {
					if all, err := takeStrings(part, n); err == nil {
						back := make([]byte, b.size)
						put(back, &tensor.Tensor{Type: tensor.Bytes, Strings: all})
						if !bytes.Equal(back, part) {
							t.Errorf("%d strings of %q come back as %q", n, part, back)
						}
					}
				}
				w.block(b.dtype, b.shape, b.off, b.size)
			}
			if !bytes.Equal(w.b[header:], payload) {
				t.Errorf("%x was read as %x", payload, w.b[header:])
			}
		case kindError:
			if e, err := parseFault(payload); err == nil && e.Code.HTTP() < 400 {
				t.Errorf("an error of code %v", e.Code)
			}
		case kindSpace:
			if n, err := parseSpace(payload); err == nil && n < 0 {
				t.Errorf("%d bytes", n)
			}
		}
	})
}

// FuzzRun decodes what the parent asks for, as the worker does.
func FuzzRun(f *testing.F) {
	w := &writer{}
	w.start(kindRun)
	w.u64(7)
	w.u32(1)
	w.u8(1)
	w.u32(3)
	w.u32(1)
	w.block(tensor.Int64, []int64{1}, 64, 8)
	w.u32(1)
	w.u32(0)
	f.Add(bytes.Clone(w.b[header:]))
	mem := make([]byte, 1<<10)
	f.Fuzz(func(t *testing.T, payload []byte) {
		q := &run{}
		got, err := q.parse(payload, func(id uint32) []byte {
			if id == 3 {
				return mem
			}
			return nil
		})
		if err != nil {
			return
		}
		for _, b := range q.in {
			_ = got[b.off : b.off+b.size]
		}
	})
}

// FuzzOpened takes a worker's word for what a model is.
func FuzzOpened(f *testing.F) {
	good, err := json.Marshal(&message{ID: 1, Signature: &driver.Signature{
		Inputs:  []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Shape: []int64{-1, 3}, Symbols: []string{"N", ""}}},
		Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.Bytes, Unranked: true}},
	}, Providers: []string{"cpu"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"signature":{"Inputs":[{"Type":99}]}}`))
	f.Add([]byte(`{"signature":{"Inputs":[{"Type":1,"Shape":[-2]}]},"fault":{"code":200}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m := &message{}
		if json.Unmarshal(text, m) != nil {
			return
		}
		if m.Fault != nil && m.Fault.fault().Code.HTTP() < 400 {
			t.Errorf("an error of code %v", m.Fault.Code)
		}
		s := &session{}
		if s.opened(m) != nil {
			return
		}
		zeros := len(s.Providers())
		if zeros == 0 {
			t.Error("no provider")
		}
		for _, info := range s.sig.Inputs {
			if !info.Type.Valid() {
				t.Errorf("input %q of type %d", info.Name, info.Type)
			}
		}
	})
}

func TestPoisonIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPoison(10 * time.Minute)
		in := func(v int64) []tensor.Tensor { return []tensor.Tensor{tensor.Of("x", []int64{1}, []int64{v})} }
		if p.crashed("m", in(1)) {
			t.Error("one crash is enough")
		}
		if !p.crashed("m", in(1)) || !p.refused("m", in(1)) {
			t.Error("two crashes are not enough")
		}
		if p.refused("m", in(2)) || p.refused("other", in(1)) {
			t.Error("other inputs, or those of another model, are refused")
		}
		as := in(1)
		as[0].Shape = []int64{1, 1}
		if p.refused("m", as) {
			t.Error("another shape is refused")
		}
		<-time.After(10*time.Minute + time.Second)
		if p.refused("m", in(1)) {
			t.Error("refused after ten minutes")
		}
		if p.crashed("m", in(1)) {
			t.Error("crashes from before count")
		}
		p.absolve("m", in(1))
		if p.crashed("m", in(1)) {
			t.Error("inputs that were absolved count")
		}
		for v := range int64(3 * maxSuspects) {
			<-time.After(time.Millisecond)
			p.crashed("flood", in(v))
			p.crashed("flood", in(v))
		}
		if n := len(p.table); n > maxSuspects {
			t.Errorf("%d entries, want at most %d", n, maxSuspects)
		}
		if p.refused("flood", in(0)) || !p.refused("flood", in(3*maxSuspects-1)) {
			t.Error("not the oldest made room")
		}
	})
}

func TestBoolIsOneBit(t *testing.T) {
	b := []byte{0, 1, 2, 255, 0}
	oneBit(b)
	if diff := cmp.Diff([]byte{0, 1, 1, 1, 0}, b); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStringsLieInTheirTensor(t *testing.T) {
	want := [][]byte{{}, []byte("grün"), []byte("a\x00b")}
	x := tensor.Tensor{Type: tensor.Bytes, Shape: []int64{3}, Strings: want}
	mem := make([]byte, sizeOf(&x))
	put(mem, &x)
	got, err := takeStrings(mem, 3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("strings (-want +got):\n%s", diff)
	}
	for _, n := range []int{0, 1, 2} {
		if _, err := takeStrings(mem, n); err == nil {
			t.Errorf("%d strings are all that is there", n)
		}
	}
	mem[0] = 200
	if _, err := takeStrings(mem, 3); err == nil {
		t.Error("a length beyond the end is taken")
	}
}
