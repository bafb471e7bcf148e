package predict

import (
	"encoding/binary"
	"hash/maphash"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// A key stands for what a model is asked: the wanted outputs and the inputs'
// types, shapes and bytes, in the signature's order. How the request travelled,
// who sent it and its parameters are not part of it. The model is not either:
// each has keys of its own.
//
// Requests with one key are taken to be equal without comparing them. Both
// halves are hashes with seeds of their own, drawn when the process starts, so
// no one can look for two requests with the same key outside the process, and
// by chance a pair in 2^128 has one.
type key [2]uint64

// seeds make keys. They are copied freely and never change.
type seeds [2]maphash.Seed

func newSeeds() seeds { return seeds{maphash.MakeSeed(), maphash.MakeSeed()} }

func (s *seeds) sum(b []byte) key {
	return key{maphash.Bytes(s[0], b), maphash.Bytes(s[1], b)}
}

// key is the key of req for a model with the signature. ok is false when req
// does not have exactly the signature's inputs; the model says what is wrong.
func (s *seeds) key(sig *driver.Signature, req *infer.Request) (k key, ok bool) {
	if len(req.Inputs) != len(sig.Inputs) {
		return k, false
	}
	w := keyWriter{seeds: s}
	w.outputs(sig, req.Outputs)
	at := 0
	for i := range sig.Inputs {
		t := find(req.Inputs, at, sig.Inputs[i].Name)
		if t < 0 {
			return k, false
		}
		w.tensor(&req.Inputs[t])
		at = t + 1
	}
	return s.sum(w.room[:w.n]), true
}

// find looks from at onwards and around: requests mostly have the signature's order.
func find(inputs []tensor.Tensor, at int, name string) int {
	for range inputs {
		if at == len(inputs) {
			at = 0
		}
		if inputs[at].Name == name {
			return at
		}
		at++
	}
	return -1
}

// longest is what is copied into the room; the hash of anything longer stands for it.
const longest = 128

// A keyWriter collects the bytes that make a key. It never allocates: when its
// room is full, the hash of what is there takes its place. Its methods are
// written so that the compiler sees that it can live on the stack.
type keyWriter struct {
	seeds *seeds
	n     int
	room  [2 * longest]byte
}

// free returns room for n bytes, at most longest.
func (w *keyWriter) free(n int) []byte {
	if len(w.room)-w.n < n {
		k := w.seeds.sum(w.room[:w.n])
		w.n = 0
		w.number(int(k[0]))
		w.number(int(k[1]))
	}
	w.n += n
	return w.room[w.n-n : w.n]
}

func (w *keyWriter) number(n int) {
	binary.LittleEndian.PutUint64(w.free(8), uint64(n))
}

// bytes writes the length too, so that neighbours cannot be told apart wrongly.
func (w *keyWriter) bytes(b []byte) {
	w.number(len(b))
	if len(b) > longest {
		k := w.seeds.sum(b)
		w.number(int(k[0]))
		w.number(int(k[1]))
		return
	}
	copy(w.free(len(b)), b)
}

func (w *keyWriter) outputs(sig *driver.Signature, wanted []infer.OutputRequest) {
	if all(sig, wanted) {
		w.number(-1)
		return
	}
	w.number(len(wanted))
	for i := range wanted {
		w.number(len(wanted[i].Name))
		for name := wanted[i].Name; name != ""; {
			n := min(len(name), longest)
			copy(w.free(n), name)
			name = name[n:]
		}
	}
}

// all tells whether wanted is every output in the signature's order: asking
// for them by name is asking for the same.
func all(sig *driver.Signature, wanted []infer.OutputRequest) bool {
	if wanted == nil {
		return true
	}
	if len(wanted) != len(sig.Outputs) {
		return false
	}
	for i := range wanted {
		if wanted[i].Name != sig.Outputs[i].Name {
			return false
		}
	}
	return true
}

func (w *keyWriter) tensor(t *tensor.Tensor) {
	w.number(int(t.Type)<<32 | len(t.Shape))
	for _, d := range t.Shape {
		w.number(int(d))
	}
	if t.Type != tensor.Bytes {
		w.bytes(t.Data)
		return
	}
	w.number(len(t.Strings))
	for _, s := range t.Strings {
		w.bytes(s)
	}
}
